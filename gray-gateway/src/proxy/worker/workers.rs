//! Start and stop of all workers.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
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
    local::Worker,
    stage::{Stage, Stages},
    stats::Stats,
};
use crate::{
    proxy::{
        ProxyOptions,
        access_log::{self, Reopen},
        listener::{
            accept::{self, Listeners, Peers},
            admission::Clients,
            listen::{self, Sockets},
        },
    },
    snapshot::Snapshot,
};

/// What a worker may take beyond the drain to take itself apart.
const GRACE: Duration = Duration::from_secs(2);

/// The running proxy. Dropping it stops the workers at once; [`shutdown`](Self::shutdown) is the polite way.
#[derive(Debug)]
pub struct Workers {
    local: SocketAddr,
    local_tls: Option<SocketAddr>,
    stage: watch::Sender<Stage>,
    ended: Vec<oneshot::Receiver<usize>>,
    /// Told when the access log is written.
    logged: Option<oneshot::Receiver<()>>,
    log: Option<access_log::Control>,
}

/// Binds the ports and starts the workers.
///
/// # Errors
/// When a port cannot be bound (the error holds a [`ListenError`](crate::proxy::ListenError)), and as [`start_on`].
pub fn start(options: ProxyOptions, snapshot: Arc<ArcSwap<Snapshot>>, stats: &Stats) -> io::Result<Workers> {
    let sockets = Sockets::bind(&options)?;
    let workers = start_on(sockets, options, snapshot, stats)?;
    workers.open();
    Ok(workers)
}

/// Starts the workers on sockets that are there; they accept nothing before [`Workers::open`].
///
/// # Errors
/// When the access log cannot be opened (the error holds an [`AccessLogError`](crate::proxy::AccessLogError)), or a thread or its
/// runtime cannot be created.
pub fn start_on(
    sockets: Sockets,
    options: ProxyOptions,
    snapshot: Arc<ArcSwap<Snapshot>>,
    stats: &Stats,
) -> io::Result<Workers> {
    let count = options.workers.max(1);
    if stats.workers() < count {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("counters for {} workers, but {count} to start", stats.workers()),
        ));
    }
    let Sockets { plain, tls } = sockets;
    let local = plain.first().map_or(Ok(options.bind), TcpListener::local_addr)?;
    let local_tls = tls.first().map(TcpListener::local_addr).transpose()?;
    let acceptor = options.tls.as_ref().map(|listener| listener.tls.acceptor());
    let listeners = listen::share_out(plain, count)?.into_iter().zip(listen::share_out(tls, count)?);
    let (mut access_logs, mut logged, mut log) = (Vec::new().into_iter(), None, None);
    if let Some(options) = &options.access_log {
        let (halves, write, control) = access_log::open(options, count, stats)?;
        log = Some(control);
        let (end, has_ended) = oneshot::channel();
        thread::Builder::new().name("access-log".into()).spawn(move || {
            write();
            let _told = end.send(());
        })?;
        (access_logs, logged) = (halves.into_iter(), Some(has_ended));
    }
    let clients = Arc::new(Clients::default());
    let (stage, stages) = watch::channel(Stage::Waiting);
    let stages = Stages::new(stages);
    let (report, reports) = mpsc::channel();
    let mut ended = Vec::new();
    for (index, ((plain, tls), peers)) in listeners.zip(Peers::new(count, stats)).enumerate() {
        let listeners = Listeners { plain, tls: acceptor.clone().map(|acceptor| (tls, acceptor)) };
        let (end, has_ended) = oneshot::channel();
        let (limits, snapshot, stats) = (options.limits.clone(), Arc::clone(&snapshot), stats.clone());
        let (records, access_log, clients) = (options.records.clone(), access_logs.next(), Arc::clone(&clients));
        let (upstream_tls, stages, report) = (Arc::clone(&options.upstream_tls), stages.clone(), report.clone());
        let shared_rates = options.shared_rates.clone();
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let ready = runtime(listeners);
            let (ready, outcome) = match ready {
                Ok(parts) => (Some(parts), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // There is no receiver when `start` failed on another worker; then we end by `stages`.
            let _told = report.send(outcome);
            if let Some((runtime, listeners)) = ready {
                let worker = Worker::new(limits, clients, upstream_tls, snapshot, stats, index, records, access_log);
                let worker = Rc::new(worker.sharing(shared_rates));
                let cut_off = runtime.block_on(run(Rc::clone(&worker), listeners, peers, stages));
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
    Ok(Workers { local, local_tls, stage, ended, logged, log })
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

    /// A handle to have the access log opened anew; `None` without one.
    pub fn log_reopener(&self) -> Option<Reopen> {
        self.log.as_ref().map(access_log::Control::reopen)
    }

    /// Begins to accept.
    pub fn open(&self) {
        self.stage.send_replace(Stage::Serving);
    }

    /// From now on answers ask clients to give up their connections (`Connection: close`, GOAWAY); new ones are accepted.
    pub fn leave(&self) {
        self.stage.send_replace(Stage::Leaving);
    }

    /// Accepts nothing more. Besides, as [`leave`](Self::leave): connections without a request stay open, since a request
    /// may be on its way to them.
    pub fn close(&self) {
        self.stage.send_replace(Stage::Closed);
    }

    /// Stops accepting, answers what has been asked with `Connection: close`, and ends after `drain` at the latest.
    /// Returns how many connections were cut off by that.
    pub async fn shutdown(self, drain: Duration) -> usize {
        self.shutdown_after(Duration::ZERO, drain).await
    }

    /// The same, but connections without a request are left open for `wait`, in case one is on its way to them; `drain`
    /// begins after that.
    pub async fn shutdown_after(mut self, wait: Duration, drain: Duration) -> usize {
        self.close();
        drop(self.log.take());
        let ended = std::mem::take(&mut self.ended);
        let mut all = pin!(async {
            let mut cut_off = 0;
            for ended in ended {
                match ended.await {
                    Ok(count) => cut_off += count,
                    Err(_) => tracing::error!("a worker did not end properly"),
                }
            }
            cut_off
        });
        let mut cut_off = tokio::time::timeout(wait, &mut all).await.ok();
        if cut_off.is_none() {
            let now = Instant::now();
            self.stage.send_replace(Stage::Draining(now.checked_add(drain).unwrap_or(now)));
            cut_off = tokio::time::timeout(drain.saturating_add(GRACE), all).await.ok();
        }
        if cut_off.is_none() {
            tracing::error!("a worker takes too long to end");
        }
        if let Some(logged) = self.logged
            && tokio::time::timeout(GRACE, logged).await.is_err()
        {
            tracing::error!("the access log takes too long to write: its last lines are lost");
        }
        cut_off.unwrap_or_default()
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
    mut stages: Stages,
) -> usize {
    let (sweeper, leaver, sharer, mut leaving) =
        (Rc::clone(&worker), Rc::clone(&worker), Rc::clone(&worker), stages.clone());
    tokio::task::spawn_local(async move { sweeper.sweep().await });
    tokio::task::spawn_local(async move { sharer.share_rates().await });
    tokio::task::spawn_local(async move {
        leaving.leaving().await;
        leaver.leave();
    });
    accept::run(&worker, listeners, peers, stages.clone()).await;
    tokio::select! {
        () = stages.draining() => {}
        () = worker.closed() => {}
    }
    worker.drain();
    let _in_time = tokio::time::timeout_at(stages.deadline().into(), worker.closed()).await;
    worker.hand_over();
    worker.open()
}
