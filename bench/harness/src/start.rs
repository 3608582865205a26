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
    chain,
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
    /// Where it takes HTTP/2.
    pub(crate) http2: SocketAddr,
    /// Where its metrics are, when they are to be read during the load.
    pub(crate) metrics: Option<SocketAddr>,
    /// What it writes a line per request to.
    pub(crate) access_log: Option<PathBuf>,
    /// Its processes, by program.
    pub(crate) parts: Vec<(&'static str, Vec<u32>)>,
    pub(crate) programs: Vec<Program>,
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

    /// All its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.parts.iter().flat_map(|(_, pids)| pids).copied().collect()
    }
}

/// Starts the backend and waits until it answers. With `all_loopback` it answers on 127.0.0.0/8.
pub(crate) async fn backend(site: &Site, all_loopback: bool) -> Result<(SocketAddr, Program)> {
    let [port] = free_ports()?;
    let own = std::env::current_exe()?;
    let mut args = vec![format!("--port={port}"), format!("--workers={}", site.workers)];
    args.extend(all_loopback.then(|| "--all-loopback".to_owned()));
    let mut program = Program::start("backend", own.with_file_name("bench-backend").as_os_str(), &args, &site.dir)?;
    let address = local(port);
    ready(address, "/small", &mut program).await?;
    Ok((address, program))
}

/// Starts a proxy in front of the backend, waits until it answers, and looks at what it forwards.
pub(crate) async fn peer(site: &Site, peer: Peer, backend: SocketAddr) -> Result<Running> {
    let dir = site.dir.join(peer.name());
    // Of the load before; an access log is large.
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir)?;
    if let Peer::Chain = peer {
        return chain::gray(site, &dir, &["V1"]).await;
    }
    if let Peer::PlainChain = peer {
        return chain::plain(site, &dir).await;
    }
    let [port, http2, admin] = free_ports()?;
    let own = std::env::current_exe()?;
    let plain = || -> Vec<OsString> {
        let args = [format!("--port={port}"), format!("--backend={backend}"), format!("--workers={}", site.workers)];
        args.map(OsString::from).into()
    };
    let file = |name: &str| template(site, &dir, name, [port, http2], backend);
    let haproxy = |conf: PathBuf| ("haproxy".into(), vec!["-db".into(), "-q".into(), "-f".into(), conf.into()]);
    let (program, args): (OsString, Vec<OsString>) = match peer {
        Peer::Nginx => {
            let conf = file("nginx.conf")?;
            ("nginx".into(), vec!["-p".into(), dir.clone().into(), "-c".into(), conf.into()])
        }
        Peer::HaproxyHttp => haproxy(file("haproxy-http.conf")?),
        Peer::HaproxyTcp => haproxy(file("haproxy-tcp.conf")?),
        Peer::Pingora => (own.with_file_name("pingora-proxy").into(), plain()),
        Peer::Axum => (own.with_file_name("axum-proxy").into(), plain()),
        Peer::Jvm => ("java".into(), jvm(site, port, backend)),
        // All that is left has a size: it is the gateway.
        _ => {
            let size = peer.size().with_context(|| format!("{} cannot be started alone", peer.name()))?;
            let load = peer != Peer::GatewayOff;
            fs::write(dir.join("gateway-app.yaml"), documents::gateway(load, size, backend))?;
            fs::write(dir.join("gray-rules.yaml"), documents::rules(size))?;
            let mut args = gateway(site, &dir, port, admin);
            if peer == Peer::GatewayFull {
                args.extend([ACCESS_LOG_FLAG.into(), dir.join("access.log").into()]);
            }
            (site.programs.join("gray-gateway").into(), args)
        }
    };
    let mut program = Program::start(peer.name(), &program, &args, &site.dir)?;
    let address = local(port);
    ready(address, "/echo", &mut program).await?;
    let mut running = Running {
        peer,
        address,
        http2: if matches!(peer, Peer::Nginx | Peer::HaproxyHttp) { local(http2) } else { address },
        metrics: matches!(peer, Peer::GatewayRules | Peer::GatewayFull).then(|| local(admin)),
        access_log: (peer == Peer::GatewayFull).then(|| dir.join("access.log")),
        parts: Vec::new(),
        programs: vec![program],
    };
    preflight(&running, false).await?;
    running.parts = vec![("proxy", running.programs.iter().flat_map(Program::tree).collect())];
    Ok(running)
}

/// The gateway's arguments.
pub(crate) fn gateway(site: &Site, config: &Path, port: u16, admin: u16) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--bind".into(), "127.0.0.1".into(), "--config-dir".into(), config.into()];
    args.extend([format!("--port={port}"), format!("--admin-port={admin}")].map(Into::into));
    args.extend(
        [format!("--workers={}", site.workers), "--drain-wait=0".into(), "--drain=1s".into()].map(Into::into),
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

/// Waits for an answer of 200.
pub(crate) async fn ready(address: SocketAddr, path: &str, program: &mut Program) -> Result<()> {
    let until = Instant::now() + READY;
    loop {
        program.check()?;
        match get(address, path, false).await {
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
pub(crate) async fn preflight(running: &Running, http2: bool) -> Result<()> {
    if !running.peer.knows_http() {
        return Ok(());
    }
    let address = if http2 { running.http2 } else { running.address };
    let answer = get(address, "/echo", http2).await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    ensure!(answer.status().is_success(), "/echo was answered with {}: {text}", answer.status());
    let value = |name: &str| {
        text.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
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
fn template(site: &Site, dir: &Path, name: &str, ports: [u16; 2], backend: SocketAddr) -> Result<PathBuf> {
    let from = site.bench.join("peers").join(name);
    let text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let file = dir.join(name);
    // Two files per connection, and some for everything else.
    let connections = site.files.saturating_sub(500) / 2;
    let text = text
        .replace("{{dir}}", &dir.display().to_string())
        .replace("{{port}}", &ports[0].to_string())
        .replace("{{h2_port}}", &ports[1].to_string())
        .replace("{{backend}}", &backend.to_string())
        .replace("{{workers}}", &site.workers.to_string())
        .replace("{{files}}", &site.files.to_string())
        .replace("{{connections}}", &connections.to_string());
    fs::write(&file, text)?;
    Ok(file)
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Unused ports, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<_> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
