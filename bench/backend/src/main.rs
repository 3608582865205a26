//! What stands behind every proxy of the comparison: a tiny HTTP/1.1 server, one runtime and one socket per thread, so
//! that it is never what limits a proxy.

mod answer;
mod body;

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel accepts on our behalf.
const BACKLOG: i32 = 4096;

/// Answers `/small`, `/bytes/N`, `/sink` and `/echo` on 127.0.0.1, or on every loopback address.
#[derive(Debug, Parser)]
struct Args {
    /// Port to listen on
    #[arg(long)]
    port: u16,
    /// Threads, each with its own connections
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Answer on 127.0.0.0/8, not on 127.0.0.1 alone
    #[arg(long)]
    all_loopback: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    // No socket listens on a network; who is not of this machine is turned away.
    let ip = if args.all_loopback { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let address = SocketAddr::from((ip, args.port));
    let listeners: Vec<_> = (0..args.workers.max(1)).map(|_| listen(address)).collect::<Result<_>>()?;
    let threads: Vec<_> = listeners.into_iter().map(|listener| thread::spawn(move || serve(listener))).collect();
    for thread in threads {
        match thread.join() {
            Ok(outcome) => outcome?,
            Err(_) => anyhow::bail!("a worker panicked"),
        }
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (socket, client) = listener.accept().await?;
            if !client.ip().is_loopback() {
                continue;
            }
            socket.set_nodelay(true)?;
            let service = service_fn(async |request| Ok::<_, Infallible>(answer::to(request).await));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            // A client that goes away in the middle is no concern of ours.
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
    })
}
