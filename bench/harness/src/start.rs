//! How each proxy is started: its files, its arguments, and a look at what it forwards.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    client::get,
    documents,
    peer::{ACCESS_LOG_FLAG, JAR, Peer},
    process::Program,
};

/// Until a program answers; a JVM on a busy machine takes its time.
const READY: Duration = Duration::from_secs(60);

/// What all proxies of a run share.
#[derive(Debug)]
pub(crate) struct Site {
    /// Temporary files.
    pub(crate) dir: PathBuf,
    /// The gateway's programs.
    pub(crate) programs: PathBuf,
    /// bench/
    pub(crate) bench: PathBuf,
    /// Threads or processes of each proxy.
    pub(crate) workers: usize,
    /// Files that a process may have open.
    pub(crate) files: u64,
}

/// A proxy that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, when they are to be read during the load.
    pub(crate) metrics: Option<SocketAddr>,
    /// Its processes, by program.
    pub(crate) parts: Vec<(&'static str, Vec<u32>)>,
    programs: Vec<Program>,
}

impl Running {
    /// Fails when one of its programs has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.programs.iter_mut().try_for_each(Program::check)
    }

    /// What its programs printed last.
    pub(crate) fn tails(&self) -> String {
        self.programs.iter().map(Program::tail).collect::<Vec<_>>().join("\n")
    }
}

/// Starts the backend and waits until it answers.
pub(crate) async fn backend(site: &Site) -> Result<(SocketAddr, Program)> {
    let [port] = free_ports()?;
    let own = std::env::current_exe()?;
    let args = ["--port".to_owned(), port.to_string(), "--workers".to_owned(), site.workers.to_string()];
    let mut program = Program::start("backend", own.with_file_name("bench-backend").as_os_str(), &args, &site.dir)?;
    let address = local(port);
    ready(address, "/small", &mut program).await?;
    Ok((address, program))
}

/// Starts a proxy in front of the backend, waits until it answers, and looks at what it forwards.
pub(crate) async fn peer(site: &Site, peer: Peer, backend: SocketAddr) -> Result<Running> {
    let dir = site.dir.join(peer.name());
    fs::create_dir_all(&dir)?;
    let [port, admin] = free_ports()?;
    let fill = |text: &str| fill(text, site, &dir, port, backend);
    let own = std::env::current_exe()?;
    let plain = || -> Vec<OsString> {
        let args = [format!("--port={port}"), format!("--backend={backend}"), format!("--workers={}", site.workers)];
        args.map(OsString::from).into()
    };
    let mut metrics = None;
    let (program, args): (OsString, Vec<OsString>) = match peer {
        Peer::Nginx => {
            let conf = template(site, &dir, "nginx.conf", fill)?;
            ("nginx".into(), vec!["-p".into(), dir.clone().into(), "-c".into(), conf.into()])
        }
        Peer::HaproxyHttp => {
            let conf = template(site, &dir, "haproxy-http.conf", fill)?;
            ("haproxy".into(), vec!["-db".into(), "-q".into(), "-f".into(), conf.into()])
        }
        Peer::HaproxyTcp => {
            let conf = template(site, &dir, "haproxy-tcp.conf", fill)?;
            ("haproxy".into(), vec!["-db".into(), "-q".into(), "-f".into(), conf.into()])
        }
        Peer::Pingora => (own.with_file_name("pingora-proxy").into(), plain()),
        Peer::Axum => (own.with_file_name("axum-proxy").into(), plain()),
        Peer::Jvm => ("java".into(), jvm(site, port, backend)),
        Peer::GatewayOff | Peer::GatewayRules | Peer::GatewayAccessLog => {
            let text = fs::read_to_string(site.bench.join("documents/gateway-app.yaml"))?;
            let load = if peer == Peer::GatewayOff { "false" } else { "true" };
            fs::write(dir.join("gateway-app.yaml"), fill(&text).replace("{{load}}", load))?;
            let mut args = gateway(site, &dir, port, admin);
            if peer != Peer::GatewayOff {
                fs::write(dir.join("gray-rules.yaml"), documents::rules())?;
                metrics = Some(local(admin));
            }
            if peer == Peer::GatewayAccessLog {
                args.extend([ACCESS_LOG_FLAG.into(), dir.join("access.log").into()]);
            }
            (site.programs.join("gray-gateway").into(), args)
        }
        Peer::Chain => return chain(site, &dir).await,
    };
    let mut program = Program::start(peer.name(), &program, &args, &site.dir)?;
    let address = local(port);
    ready(address, "/echo", &mut program).await?;
    let mut running = Running { peer, address, metrics, parts: Vec::new(), programs: vec![program] };
    preflight(&running).await.with_context(|| format!("{} does not forward what all must forward", peer.name()))?;
    running.parts = vec![("proxy", running.programs.iter().flat_map(Program::tree).collect())];
    Ok(running)
}

fn gateway(site: &Site, config: &Path, port: u16, admin: u16) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--bind".into(), "127.0.0.1".into(), "--config-dir".into(), config.into()];
    args.extend([format!("--port={port}"), format!("--admin-port={admin}")].map(Into::into));
    args.extend(
        [format!("--workers={}", site.workers), "--drain-wait-ms=0".into(), "--drain-secs=1".into()].map(Into::into),
    );
    args
}

fn jvm(site: &Site, port: u16, backend: SocketAddr) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        vec!["-Xmx256m".into(), format!("-Dreactor.netty.ioWorkerCount={}", site.workers).into()];
    args.extend(["-jar".into(), site.bench.join(JAR).into()]);
    args.extend([format!("--server.port={port}"), format!("--bench.backend=http://{backend}")].map(Into::into));
    args
}

/// The demo's chain: one instance each, in a directory as registry.
async fn chain(site: &Site, dir: &Path) -> Result<Running> {
    let registry = dir.join("registry");
    let config = dir.join("config");
    fs::create_dir_all(&registry)?;
    fs::create_dir_all(&config)?;
    for file in fs::read_dir(site.bench.join("../deploy/nacos"))? {
        let file = file?;
        fs::copy(file.path(), config.join(file.file_name()))?;
    }
    let [port, admin, order, user] = free_ports()?;
    let mut programs = Vec::new();
    for (name, port) in [("user-app", user), ("order-app", order), ("gray-gateway", port)] {
        let mut args = match name {
            "gray-gateway" => gateway(site, &config, port, admin),
            _ => vec![
                format!("--port={port}").into(),
                "--bind=127.0.0.1".into(),
                "--config-dir".into(),
                config.clone().into(),
            ],
        };
        args.extend(["--registry-dir".into(), registry.clone().into(), "--advertise=127.0.0.1".into()]);
        programs.push(Program::start(name, site.programs.join(name).as_os_str(), &args, &site.dir)?);
    }
    let address = local(port);
    if let Some(gateway) = programs.last_mut() {
        ready(address, "/order-api/order/N0001", gateway).await?;
    }
    let parts = ["user-app", "order-app", "gateway"].into_iter().zip(programs.iter().map(Program::tree)).collect();
    Ok(Running { peer: Peer::Chain, address, metrics: None, parts, programs })
}

/// Waits for an answer of 200.
async fn ready(address: SocketAddr, path: &str, program: &mut Program) -> Result<()> {
    let until = Instant::now() + READY;
    loop {
        program.check()?;
        match get(address, path).await {
            Ok(answer) if answer.status().as_u16() == 200 => return Ok(()),
            outcome if Instant::now() > until => {
                let got = outcome.map(|answer| answer.status());
                anyhow::bail!("no 200 from {path} within {READY:?} ({got:?}):\n{}", program.tail());
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Looks at the headers that reach the backend.
async fn preflight(running: &Running) -> Result<()> {
    if !running.peer.knows_http() {
        return Ok(());
    }
    let answer = get(running.address, "/echo").await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let value = |name: &str| {
        text.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let address = running.address;
    let (host, port) = (address.to_string(), address.port().to_string());
    let wanted = [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"), ("x-forwarded-port", &port)];
    for (name, expect) in wanted {
        ensure!(value(name) == Some(expect), "{name} is {:?}, not {expect}; the backend got\n{text}", value(name));
    }
    // A proxy may leave the port out of it, as there is a header of its own for that.
    let forwarded = value("x-forwarded-host").unwrap_or_default();
    ensure!(forwarded == host || forwarded == "127.0.0.1", "x-forwarded-host is {forwarded:?}, not {host}");
    let gray = if running.peer == Peer::GatewayOff { "ALL" } else { "PROD" };
    ensure!(value("gray") == Some(gray), "gray is {:?}, not {gray}; the backend got\n{text}", value("gray"));
    Ok(())
}

/// Writes a peer's configuration file.
fn template(site: &Site, dir: &Path, name: &str, fill: impl Fn(&str) -> String) -> Result<PathBuf> {
    let from = site.bench.join("peers").join(name);
    let text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let file = dir.join(name);
    fs::write(&file, fill(&text))?;
    Ok(file)
}

fn fill(text: &str, site: &Site, dir: &Path, port: u16, backend: SocketAddr) -> String {
    // Two files per connection, and some for everything else.
    let connections = site.files.saturating_sub(500) / 2;
    text.replace("{{dir}}", &dir.display().to_string())
        .replace("{{port}}", &port.to_string())
        .replace("{{backend}}", &backend.to_string())
        .replace("{{workers}}", &site.workers.to_string())
        .replace("{{files}}", &site.files.to_string())
        .replace("{{connections}}", &connections.to_string())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Ports that nobody listens on, all different.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<_> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
