//! Connections that are mostly idle: each asks once in a while.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Between two requests of one connection.
const EVERY: Duration = Duration::from_secs(10);
/// How the answer to `/small` ends.
pub(crate) const END: &[u8] = b"\"fail\":false}";
/// How every answer begins.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 ";
/// Opened at once; fewer than any backlog.
const BATCH: u32 = 100;

/// The connections; dropping them closes them.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    connections: JoinSet<Result<()>>,
    asked: Arc<AtomicU64>,
}

impl IdleConnections {
    /// Opens them, and lets each ask once so that it is known to be served.
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let asked = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let request: Arc<str> = format!("GET /small HTTP/1.1\r\nhost: {address}\r\n\r\n").into();
        let count = u32::try_from(count)?;
        for first in (0..count).step_by(BATCH as usize) {
            let mut batch = JoinSet::new();
            for index in first..count.min(first + BATCH) {
                let request = Arc::clone(&request);
                batch.spawn(async move {
                    let mut socket = TcpStream::connect(address).await?;
                    ask(&mut socket, &request).await?;
                    Ok::<_, anyhow::Error>((index, socket))
                });
            }
            while let Some(opened) = batch.join_next().await {
                let (index, socket) = opened?.context("cannot open the idle connections")?;
                let start = Instant::now() + EVERY * index / count.max(1);
                connections.spawn(live(socket, Arc::clone(&request), start, Arc::clone(&asked)));
            }
        }
        Ok(Self { connections, asked })
    }

    /// Requests that were answered since they were opened.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits for a connection to fail.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        match self.connections.join_next().await {
            Some(Ok(Err(error))) => error.context("an idle connection failed"),
            Some(_) => anyhow::anyhow!("an idle connection ended"),
            None => std::future::pending().await,
        }
    }
}

async fn live(mut socket: TcpStream, request: Arc<str>, start: Instant, asked: Arc<AtomicU64>) -> Result<()> {
    let mut next = start;
    loop {
        sleep_until(next).await;
        ask(&mut socket, &request).await?;
        asked.fetch_add(1, Ordering::Relaxed);
        next += EVERY;
    }
}

async fn ask(socket: &mut TcpStream, request: &str) -> Result<()> {
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(END) {
        if socket.read_buf(&mut answer).await? == 0 {
            bail!("closed after {:?}", String::from_utf8_lossy(&answer));
        }
        ensure!(answer.len() < 16 * 1024, "an answer that does not end");
    }
    ensure!(answer.starts_with(OK), "answered {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}
