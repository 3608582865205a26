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
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{oneshot, watch},
};

use super::{
    ProxyOptions, TlsListener,
    accept::{self, Listeners, Peers, Stopping},
    access_log,
    admission::Clients,
    listen,
    stats::Stats,
    worker::Worker,
};
use crate::snapshot::Snapshot;

/// What a worker may take beyond the drain to take itself apart.
const GRACE: Duration = Duration::from_secs(2);

/// The running proxy. Dropping it stops the workers at once; [`shutdown`](Self::shutdown) is the polite way.
#[derive(Debug)]
pub struct Workers {
    local: SocketAddr,
    local_tls: Option<SocketAddr>,
    stop: watch::Sender<Option<Instant>>,
    ended: Vec<oneshot::Receiver<usize>>,
    /// Told when the access log is written.
    logged: Option<oneshot::Receiver<()>>,
}

/// Binds the ports and starts the workers.
///
/// # Errors
/// When a port cannot be bound (the error holds a [`ListenError`](super::ListenError)), the access log cannot be opened
/// (an [`AccessLogError`](super::AccessLogError)), or a thread or its runtime cannot be created.
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
    let mut tls_listeners = Vec::new().into_iter();
    let (mut local_tls, mut acceptor) = (None, None);
    if let Some(TlsListener { bind, tls }) = &options.tls {
        let bound = listen::bind(*bind, count, options.share_port)?;
        local_tls = bound.first().map(TcpListener::local_addr).transpose()?;
        tls_listeners = bound.into_iter();
        acceptor = Some(tls.acceptor());
    }
    let (mut access_logs, mut logged) = (Vec::new().into_iter(), None);
    if let Some(options) = &options.access_log {
        let (halves, write) = access_log::open(options, count, stats)?;
        let (end, has_ended) = oneshot::channel();
        thread::Builder::new().name("access-log".into()).spawn(move || {
            write();
            let _told = end.send(());
        })?;
        (access_logs, logged) = (halves.into_iter(), Some(has_ended));
    }
    let clients = Arc::new(Clients::default());
    let (stop, stopping) = watch::channel(None);
    let (report, reports) = mpsc::channel();
    let mut ended = Vec::new();
    for (index, (plain, peers)) in listeners.into_iter().zip(Peers::new(count, stats)).enumerate() {
        let listeners = Listeners { plain, tls: tls_listeners.next().zip(acceptor.clone()) };
        let (end, has_ended) = oneshot::channel();
        let (limits, snapshot, stats) = (options.limits.clone(), Arc::clone(&snapshot), stats.clone());
        let (records, access_log, clients) = (options.records.clone(), access_logs.next(), Arc::clone(&clients));
        let (upstream_tls, stopping, report) = (Arc::clone(&options.upstream_tls), stopping.clone(), report.clone());
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let ready = runtime(listeners);
            let (ready, outcome) = match ready {
                Ok(parts) => (Some(parts), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Nobody listens when `start` failed on another worker; then we end by `stopping`.
            let _told = report.send(outcome);
            if let Some((runtime, listeners)) = ready {
                let worker = Worker::new(limits, clients, upstream_tls, snapshot, stats, index, records, access_log);
                let worker = Rc::new(worker);
                let cut_off = runtime.block_on(run(Rc::clone(&worker), listeners, peers, stopping));
                // Takes every task along, and with it the rest of the connections.
                drop(runtime);
                let _told = end.send(cut_off);
                if let Some(log) = &worker.access_log {
                    log.finish();
                }
            }
        })?;
        ended.push(has_ended);
    }
    drop(report);
    for outcome in reports.iter().take(count) {
        outcome?;
    }
    tracing::info!(address = %local, workers = count, "listening");
    if let Some(address) = local_tls {
        tracing::info!(%address, "listening for TLS");
    }
    Ok(Workers { local, local_tls, stop, ended, logged })
}

impl Workers {
    /// Where it listens; the real port when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where it listens for TLS, if it does.
    pub fn local_tls_addr(&self) -> Option<SocketAddr> {
        self.local_tls
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
        if let Some(logged) = self.logged
            && tokio::time::timeout(GRACE, logged).await.is_err()
        {
            tracing::error!("the access log takes too long to write: its last lines are lost");
        }
        cut_off
    }
}

fn runtime(listeners: Listeners<TcpListener>) -> io::Result<(LocalRuntime, Listeners<tokio::net::TcpListener>)> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let listeners = {
        let _inside = runtime.enter();
        listeners.into_tokio()?
    };
    Ok((runtime, listeners))
}

/// One worker's life; returns how many connections were still open at its end.
async fn run(
    worker: Rc<Worker>,
    listeners: Listeners<tokio::net::TcpListener>,
    peers: Peers,
    stopping: Stopping,
) -> usize {
    let sweeper = Rc::clone(&worker);
    tokio::task::spawn_local(async move { sweeper.sweep().await });
    accept::run(&worker, listeners, peers, stopping.clone()).await;
    worker.drain();
    // No deadline: the handle was dropped.
    let deadline = stopping.borrow().unwrap_or_else(Instant::now);
    let _in_time = tokio::time::timeout_at(deadline.into(), worker.closed()).await;
    worker.hand_over();
    worker.open()
}
