//! Start and stop of all workers.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{oneshot, watch},
};

use super::{ProxyOptions, listen, stats::Stats, worker::Worker};
use crate::snapshot::Snapshot;

/// Rest after a failed accept: out of file descriptors, most likely.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// What a worker may take beyond the drain to take itself apart.
const GRACE: Duration = Duration::from_secs(2);

/// The running proxy. Dropping it stops the workers at once; [`shutdown`](Self::shutdown) is the polite way.
#[derive(Debug)]
pub struct Workers {
    local: SocketAddr,
    stop: watch::Sender<Option<Instant>>,
    ended: Vec<oneshot::Receiver<usize>>,
}

/// Binds the port and starts the workers.
///
/// # Errors
/// When the port cannot be bound, or a thread or its runtime cannot be created.
pub fn start(options: ProxyOptions, snapshot: Arc<ArcSwap<Snapshot>>, stats: &Stats) -> io::Result<Workers> {
    let count = options.workers.max(1);
    if stats.workers() < count {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("counters for {} workers, but {count} to start", stats.workers()),
        ));
    }
    let listeners = listen::bind(options.bind, count, options.share_port)?;
    let local = listeners.first().map_or(Ok(options.bind), TcpListener::local_addr)?;
    let (stop, stopping) = watch::channel(None);
    let (report, reports) = mpsc::channel();
    let mut ended = Vec::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        let (end, has_ended) = oneshot::channel();
        let (limits, snapshot, stats) = (options.limits.clone(), Arc::clone(&snapshot), stats.clone());
        let (stopping, report) = (stopping.clone(), report.clone());
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let ready = runtime(listener);
            let (ready, outcome) = match ready {
                Ok(parts) => (Some(parts), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Nobody listens when `start` failed on another worker; then we end by `stopping`.
            let _told = report.send(outcome);
            if let Some((runtime, listener)) = ready {
                let worker = Rc::new(Worker::new(limits, snapshot, stats, index));
                let cut_off = runtime.block_on(run(worker, listener, stopping));
                // Takes every task along, and with it the rest of the connections.
                drop(runtime);
                let _told = end.send(cut_off);
            }
        })?;
        ended.push(has_ended);
    }
    drop(report);
    for outcome in reports.iter().take(count) {
        outcome?;
    }
    tracing::info!(address = %local, workers = count, "listening");
    Ok(Workers { local, stop, ended })
}

impl Workers {
    /// Where it listens; the real port when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops accepting, answers what has been asked with `Connection: close`, and ends after `drain` at the latest.
    /// Returns how many connections were cut off by that.
    pub async fn shutdown(self, drain: Duration) -> usize {
        let now = Instant::now();
        let deadline = now.checked_add(drain).unwrap_or(now);
        self.stop.send_replace(Some(deadline));
        let mut cut_off = 0;
        for ended in self.ended {
            let left = deadline.saturating_duration_since(Instant::now()) + GRACE;
            match tokio::time::timeout(left, ended).await {
                Ok(Ok(count)) => cut_off += count,
                Ok(Err(_)) | Err(_) => tracing::error!("a worker did not end properly"),
            }
        }
        cut_off
    }
}

fn runtime(listener: TcpListener) -> io::Result<(LocalRuntime, tokio::net::TcpListener)> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

/// One worker's life; returns how many connections were still open at its end.
async fn run(
    worker: Rc<Worker>,
    listener: tokio::net::TcpListener,
    mut stopping: watch::Receiver<Option<Instant>>,
) -> usize {
    let sweeper = Rc::clone(&worker);
    tokio::task::spawn_local(async move { sweeper.sweep().await });
    loop {
        tokio::select! {
            biased;
            _ = stopping.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => worker.accept(socket, peer),
                Err(error) => {
                    if worker.may_warn("accept") {
                        tracing::warn!(%error, "cannot accept connections; trying on");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
    }
    // What the kernel has accepted on our behalf belongs to us still.
    while let Some(Ok((socket, peer))) = listener.accept().now_or_never() {
        worker.accept(socket, peer);
    }
    drop(listener);
    worker.drain();
    // No deadline: the handle was dropped.
    let deadline = stopping.borrow().unwrap_or_else(Instant::now);
    let _in_time = tokio::time::timeout_at(deadline.into(), worker.closed()).await;
    worker.open()
}
