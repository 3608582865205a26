//! How long it takes after Nacos was cut off until our instance is listed again, and until a follower knows what happened
//! meanwhile.
//!
//! `cargo run -p e2e-tests --example outage -- HOST:PORT [seconds] [user password]` against a Nacos that runs (gRPC port +1000).
//! Two kinds of cut: connections refused, and connections on which nothing comes through.

#![expect(clippy::disallowed_methods, reason = "a tool has no release context")]

use std::{
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use e2e_tests::ports;
use gray_core::Instance;
use gray_nacos::{NacosOptions, NacosRegistry};
use gray_registry::Registry as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Open,
    Refused,
    Silent,
}

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let server = args.next().context("HOST:PORT of Nacos")?;
    let seconds = args.next().map_or(Ok(120), |text| text.parse())?;
    let credentials = args.next().zip(args.next());
    let address: SocketAddr = server.parse()?;
    let port = ports::nacos_pair()?;
    let (line, state) = watch::channel(Line::Open);
    for offset in [0, 1000] {
        let to = SocketAddr::new(address.ip(), address.port() + offset);
        tokio::spawn(cable(port + offset, to, state.clone()));
    }
    let registry = |server: String| {
        let mut options = NacosOptions::new(server);
        options.username = credentials.as_ref().map(|(user, _)| user.clone());
        options.password = credentials.as_ref().map(|(_, password)| password.clone());
        options.hold = Duration::ZERO;
        NacosRegistry::connect(options)
    };
    let (direct, far) = (registry(server.clone()), registry(format!("127.0.0.1:{port}")));
    let mut out = std::io::stdout();
    for kind in [Line::Refused, Line::Silent] {
        let service = format!("outage-{kind:?}-{}", std::process::id()).to_lowercase();
        let (mut seen_direct, mut seen_far) = (direct.watch(&service), far.watch(&service));
        let (one, two) = (Instance::new("10.0.0.1", 1), Instance::new("10.0.0.2", 2));
        let lists = |ports: &'static [u16]| {
            move |state: &gray_registry::ServiceState| {
                let mut listed: Vec<_> = state.as_deref().unwrap_or_default().iter().map(|one| one.port).collect();
                listed.sort_unstable();
                listed == ports
            }
        };
        far.register(&service, &one).await?;
        tokio::time::timeout(PATIENCE, seen_direct.wait_for(lists(&[1]))).await??;
        tokio::time::timeout(PATIENCE, seen_far.wait_for(lists(&[1]))).await??;
        line.send_replace(kind);
        let cut = Instant::now();
        tokio::time::timeout(PATIENCE, seen_direct.wait_for(lists(&[]))).await??;
        writeln!(out, "{kind:?}: Nacos dropped our instance after {:.1?}", cut.elapsed())?;
        let mut health = far.health();
        let down = |health: &gray_registry::Health| *health != gray_registry::Health::Up;
        tokio::time::timeout(PATIENCE, health.wait_for(down)).await??;
        writeln!(out, "{kind:?}: we know that it is away since {:.1?} after the cut at most", cut.elapsed())?;
        direct.register(&service, &two).await?;
        tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(cut.elapsed())).await;
        line.send_replace(Line::Open);
        let healed = Instant::now();
        let back = async {
            seen_direct.wait_for(lists(&[1, 2])).await?;
            anyhow::Ok(healed.elapsed())
        };
        let followed = async {
            seen_far.wait_for(lists(&[1, 2])).await?;
            anyhow::Ok(healed.elapsed())
        };
        let both = tokio::time::timeout(PATIENCE, async { tokio::try_join!(back, followed) }).await;
        let (back, followed) = both.context("not healed in time")??;
        writeln!(
            out,
            "{kind:?} for {seconds} s: listed again after {back:.1?}, follower up to date after {followed:.1?}"
        )?;
        far.deregister(&service, &one).await?;
        direct.deregister(&service, &two).await?;
    }
    Ok(())
}

async fn cable(port: u16, to: SocketAddr, mut line: watch::Receiver<Line>) -> Result<()> {
    loop {
        let state = *line.borrow_and_update();
        if state == Line::Refused {
            line.changed().await?;
            continue;
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            tokio::select! {
                changed = line.changed() => {
                    changed?;
                    if *line.borrow_and_update() == Line::Refused {
                        break;
                    }
                }
                accepted = listener.accept() => {
                    let (near, line) = (accepted?.0, line.clone());
                    tokio::spawn(forward(near, to, line));
                }
            }
        }
    }
}

async fn forward(near: TcpStream, to: SocketAddr, mut line: watch::Receiver<Line>) -> Result<()> {
    if *line.borrow() == Line::Silent {
        // Accepted by the kernel, and that was all.
        line.wait_for(|line| *line != Line::Silent).await?;
        return Ok(());
    }
    let far = TcpStream::connect(to).await?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let (up, down) = (line.clone(), line.clone());
    let cut = async {
        // What was open when nothing came through is of no use afterwards.
        line.wait_for(|line| *line != Line::Open).await?;
        line.wait_for(|line| *line != Line::Silent).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        _ = pump(near_read, far_write, up) => {}
        _ = pump(far_read, near_write, down) => {}
        _ = cut => {}
    }
    Ok(())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        line.wait_for(|line| *line == Line::Open).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
