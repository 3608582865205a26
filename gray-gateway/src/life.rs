//! A gateway's life once it is built: it takes over from another, serves, and leaves in order or to a successor.

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use gray_common::service::{self, Phase, Registration, RegistrationState, StopLimits, StopSignals, Stoppable};
use gray_registry::{ConfigSource, Health, Registry};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    control::Warmth,
    handover::{Listening, Offer, Predecessor, Successor},
    proxy::{Reopen, Stats, Workers},
};

/// How long a gateway that could serve waits to hear the rest before it takes over.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long a handover waits for the registry to have us; it may be away.
const REGISTER_LIMIT: Duration = Duration::from_secs(5);
/// How often a gateway that takes over says that it is not ready yet.
const REMIND: Duration = Duration::from_secs(30);
/// How long connections without a request stay open after a handover, at least: their clients learn from the next answer
/// that they should open another, and lose no request that is on its way.
const UNUSED_LIMIT: Duration = Duration::from_secs(10);

/// What a life consists of.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) workers: Workers,
    pub(crate) registration: Registration,
    /// How much of settings and instances is known.
    pub(crate) warmth: watch::Receiver<Warmth>,
    /// Whether the registry answers.
    pub(crate) registry: watch::Receiver<Health>,
    /// Told when the admin side is to be served, and the instance to be announced.
    pub(crate) opened: watch::Sender<bool>,
    /// For the admin side; what it shows of the start it finds out by the registration.
    pub(crate) phase: watch::Sender<Phase>,
    /// Told when the admin side is to accept no more.
    pub(crate) admin_closed: watch::Sender<bool>,
    /// What goes on beside, to the very end.
    pub(crate) background: JoinSet<io::Result<()>>,
    pub(crate) limits: StopLimits,
    pub(crate) stats: Arc<Stats>,
    /// Who accepts from our sockets still.
    pub(crate) predecessor: Option<Predecessor>,
    /// Where our sockets are offered, and duplicates of them.
    pub(crate) handover: Option<(PathBuf, Listening)>,
    pub(crate) offer: Option<Offer>,
    /// Until it is wired.
    pub(crate) on_signal: Option<OnSignal>,
}

/// What the signals that do not stop it are about.
#[derive(Debug)]
pub(crate) struct OnSignal {
    pub(crate) config: Arc<dyn ConfigSource>,
    pub(crate) registry: Arc<dyn Registry>,
    /// Changed when certificates and city data are to be read again.
    pub(crate) reload: watch::Sender<u64>,
    pub(crate) log: Option<Reopen>,
}

impl OnSignal {
    fn wire(self, signals: &mut StopSignals) {
        let Self { config, registry, reload, log } = self;
        signals.on_reload(move || {
            config.refresh();
            registry.refresh();
            reload.send_modify(|count| *count += 1);
        });
        if let Some(log) = log {
            signals.on_reopen(move || log.request());
        }
    }
}

/// What ends the long part.
enum End {
    Signal(&'static str),
    Successor(Successor),
}

impl Life {
    /// Accepts, unless there is a predecessor.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        if self.predecessor.is_some() {
            self.phase.send_replace(Phase::TakingOver);
        } else {
            if let Some((path, listening)) = self.handover.take() {
                self.offer = Some(Offer::open(&path, listening)?);
            }
            self.open();
        }
        Ok(())
    }

    /// Lives until a signal or a successor.
    pub(crate) async fn run(mut self, mut signals: StopSignals) {
        if let Some(on_signal) = self.on_signal.take() {
            on_signal.wire(&mut signals);
        }
        let end = tokio::select! {
            signal = signals.next() => End::Signal(signal),
            successor = self.serve() => End::Successor(successor),
        };
        match end {
            End::Signal(signal) if self.predecessor.is_some() => {
                tracing::info!(signal, "stopping before the takeover: the running gateway keeps serving");
                self.registration.leave_to_successor().await;
                // Dropped, not shut down: they never accepted, and what waits to be accepted is not theirs.
                drop(self.workers);
            }
            End::Signal(signal) => self.leave(signal, signals).await,
            End::Successor(successor) if successor.address == self.registration.instance().authority() => {
                self.yield_to(successor, signals).await;
            }
            End::Successor(successor) => {
                tracing::info!(process = successor.process, "the successor is known by another address: leaving ours");
                self.admin_closed.send_replace(true);
                told(successor).await;
                self.leave("succeeded", signals).await;
            }
        }
    }

    async fn serve(&mut self) -> Successor {
        if self.predecessor.is_some() {
            self.take_over().await;
        }
        match &mut self.offer {
            Some(offer) => offer.taken().await,
            None => std::future::pending().await,
        }
    }

    fn open(&self) {
        self.phase.send_replace(Phase::Starting);
        self.workers.open();
        self.opened.send_replace(true);
    }

    /// Gets ready, then accepts, then tells the predecessor.
    async fn take_over(&mut self) {
        let Some(predecessor) = &self.predecessor else { return };
        let process = predecessor.process;
        tracing::info!(
            process,
            version = predecessor.version,
            "taking over from a gateway that serves until this one is ready"
        );
        let (mut warmth, mut registry) = (self.warmth.clone(), self.registry.clone());
        let ready = async {
            while timeout(REMIND, warmth.wait_for(|warmth| *warmth >= Warmth::Warm)).await.is_err() {
                tracing::warn!(process, "not ready yet: no settings with routes, or no word of a service they name");
            }
            let settled = async {
                let _is_up = registry.wait_for(|health| *health == Health::Up).await.is_ok();
                warmth.wait_for(|warmth| *warmth == Warmth::Settled).await.is_ok()
            };
            if timeout(SETTLE_LIMIT, settled).await.is_err() {
                tracing::warn!(process, "not every registry or namespace has answered; taking over all the same");
            }
        };
        tokio::select! {
            () = ready => {}
            () = predecessor.gone() => tracing::warn!(process, "the other gateway ended before this one was ready: accepting"),
        }
        self.open();
        let mut registered = self.registration.state();
        // A refusal will not turn into anything else within the limit.
        let is_known =
            |state: &RegistrationState| !matches!(state, RegistrationState::Waiting | RegistrationState::Failing(_));
        let known = timeout(REGISTER_LIMIT, registered.wait_for(is_known)).await.is_ok();
        if !known {
            tracing::warn!("the registry does not have this gateway yet; taking over all the same");
        }
        match predecessor.ready(&self.registration.instance().authority()).await {
            Ok(()) => tracing::info!(process, "taken over: the other gateway accepts no more"),
            Err(error) => tracing::warn!(process, "the other gateway has not confirmed that it stops: {error}"),
        }
        self.predecessor = None;
        if let Some((path, listening)) = self.handover.take() {
            match Offer::open(&path, listening) {
                Ok(offer) => self.offer = Some(offer),
                Err(error) => tracing::error!("the next restart cannot take over from this one: {error}"),
            }
        }
    }

    /// Leaves in order: see [`leave`](service::leave).
    async fn leave(self, signal: &str, mut signals: StopSignals) {
        let Self { workers, registration, offer, phase, limits, stats, mut background, .. } = self;
        let serving = Serving { workers: Some(workers), offer, phase, stats };
        let Ok(()) = service::leave(serving, registration, limits, signal, &mut signals).await;
        background.shutdown().await;
    }

    /// Stops accepting at once, and finishes what is in flight. The address is the successor's now.
    async fn yield_to(self, successor: Successor, mut signals: StopSignals) {
        let process = successor.process;
        tracing::info!(process, "succeeded: no longer accepting; finishing what is in flight");
        self.phase.send_replace(Phase::Draining);
        self.admin_closed.send_replace(true);
        self.workers.close();
        self.registration.leave_to_successor().await;
        if let Some(offer) = self.offer {
            offer.close().await;
        }
        told(successor).await;
        let began = Instant::now();
        tokio::select! {
            cut_off = self.workers.shutdown_after(self.limits.drain_wait.max(UNUSED_LIMIT), self.limits.drain) => {
                report(cut_off, began, self.limits.drain);
            }
            signal = signals.next() => tracing::warn!(signal, "signal: cutting off what is in flight"),
        }
    }
}

/// What is to be stopped.
struct Serving {
    /// Until they finish.
    workers: Option<Workers>,
    offer: Option<Offer>,
    phase: watch::Sender<Phase>,
    stats: Arc<Stats>,
}

impl Stoppable for Serving {
    type Error = Infallible;

    fn enter(&mut self, phase: Phase) {
        self.phase.send_replace(phase);
        if let Some(workers) = self.workers.as_ref().filter(|_| phase == Phase::Deregistering) {
            workers.leave();
        }
    }

    fn counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let stats = Arc::clone(&self.stats);
        move || stats.snapshot().in_flight
    }

    /// A successor that is getting ready registers when it finds us gone.
    async fn deregistered(&mut self) {
        if let Some(offer) = self.offer.take() {
            offer.close().await;
        }
    }

    async fn finish(&mut self, limit: Duration) -> Result<u64, Infallible> {
        let Some(workers) = self.workers.take() else { return Ok(0) };
        Ok(workers.shutdown(limit).await as u64)
    }
}

async fn told(successor: Successor) {
    if let Err(error) = successor.closed().await {
        tracing::warn!("the successor cannot be told: {error}");
    }
}

fn report(cut_off: usize, began: Instant, limit: Duration) {
    match cut_off {
        0 => tracing::info!(took = ?began.elapsed(), "stopped"),
        cut_off => tracing::warn!(cut_off, ?limit, "time is up: connections were cut off"),
    }
}
