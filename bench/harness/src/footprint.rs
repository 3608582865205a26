//! Start-up and memory: of the gateway alone, under many idle connections, and of the demo's five processes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{
    chain,
    client::get,
    idle::IdleConnections,
    peer::Peer,
    proc,
    process::Program,
    run::say,
    start::{self, Site, free_ports, gateway, local},
    stats::Spread,
};

/// How often the gateway is started.
const STARTS: usize = 20;
/// Client connections that have asked once each.
pub(crate) const CONNECTIONS: usize = 10_000;
/// Files that these need in the gateway, and again in the harness.
pub(crate) const FILES: u64 = 21_000;
/// Until the gateway listens.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two attempts to connect; what is added to the time until it listens.
const POLL: Duration = Duration::from_micros(100);

/// What was found. Memory is what is in RAM (RSS), in MiB; what processes share counts for each.
#[derive(Debug, Serialize)]
pub(crate) struct Footprint {
    /// From before the program is started to the first connection, in milliseconds.
    pub(crate) start_millis: Spread,
    /// The gateway with the shipped documents, after its metrics were read once.
    pub(crate) idle_mib: f64,
    /// The gateway with 100 rules and [`CONNECTIONS`] connections of clients.
    pub(crate) connections_mib: f64,
    /// Gateway, order-app and user-app of two versions each, after requests to all; by program.
    pub(crate) demo_mib: BTreeMap<String, f64>,
}

impl Footprint {
    /// All programs of the demo together.
    pub(crate) fn demo_total_mib(&self) -> f64 {
        self.demo_mib.values().sum()
    }
}

/// Measures all of it; takes half a minute.
pub(crate) async fn measure(site: &Site) -> Result<Footprint> {
    say("footprint: starts, idle memory, connections, the demo's processes");
    let (start_millis, idle_mib) = starts(site).await?;
    Ok(Footprint { start_millis, idle_mib, connections_mib: connections(site).await?, demo_mib: demo(site).await? })
}

async fn starts(site: &Site) -> Result<(Spread, f64)> {
    let dir = site.dir.join("footprint");
    fs::create_dir_all(&dir)?;
    let (mut millis, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let [port, admin] = free_ports()?;
        let mut args: Vec<OsString> = gateway(site, &site.bench.join("../deploy/nacos"), port, admin);
        args.extend(["--registry-dir".into(), dir.clone().into()]);
        let began = Instant::now();
        let mut program = Program::start("footprint", site.programs.join("gray-gateway").as_os_str(), &args, &dir)?;
        while TcpStream::connect(local(port)).is_err() {
            program.check()?;
            ensure!(began.elapsed() < LIMIT, "the gateway does not listen:\n{}", program.tail());
            std::thread::sleep(POLL);
        }
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        start::ready(local(admin), "/metrics", &mut program).await?;
        idle.push(proc::rss_kib(&program.tree()) as f64 / 1024.0);
    }
    let spread = |values: Vec<f64>| Spread::of(values).ok_or_else(|| anyhow::anyhow!("nothing was started"));
    Ok((spread(millis)?, spread(idle)?.max))
}

async fn connections(site: &Site) -> Result<f64> {
    ensure!(
        site.files >= FILES,
        "a process may open {} files here, {CONNECTIONS} connections need {FILES}",
        site.files
    );
    let (backend, _program) = start::backend(site, false).await?;
    let running = start::peer(site, Peer::GatewayRules, backend).await?;
    let _open = IdleConnections::open(running.address, CONNECTIONS).await?;
    Ok(proc::rss_kib(&running.pids()) as f64 / 1024.0)
}

async fn demo(site: &Site) -> Result<BTreeMap<String, f64>> {
    let dir = site.dir.join("demo");
    fs::create_dir_all(&dir)?;
    let running = chain::gray(site, &dir, &["V1", "V2"]).await?;
    for _ in 0..100 {
        for path in ["/order-api/order/N0001", "/user-api/user/U0001"] {
            let status = get(running.address, path, false).await?.status();
            ensure!(status.is_success(), "{path} was answered with {status}");
        }
    }
    let mut of = BTreeMap::new();
    for (name, pids) in &running.parts {
        *of.entry((*name).to_owned()).or_insert(0.0) += proc::rss_kib(pids) as f64 / 1024.0;
    }
    Ok(of)
}
