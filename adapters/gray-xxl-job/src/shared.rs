//! What the tasks of an executor share: handlers, the desk, logs, callbacks, and where the process belongs.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use gray_core::Side;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    desk::{Desk, Limits},
    journal::{self, Journal},
    outbox::Outbox,
    release::Rules,
    run::Handler,
    side::Membership,
    telemetry,
    wire::{Callback, RunKey},
};

/// Everything that outlives one request and one run.
pub(crate) struct Shared {
    pub(crate) handlers: HashMap<String, Handler>,
    pub(crate) rules: Rules,
    pub(crate) floor: Mutex<Floor>,
    pub(crate) journal: Arc<Mutex<Journal>>,
    outbox: Mutex<Outbox>,
    /// Something is in the outbox.
    pub(crate) posted: Notify,
    /// Nothing is in the outbox.
    pub(crate) emptied: Notify,
    membership: Mutex<Membership>,
    began: Instant,
    /// Runs are not taken any more.
    is_closed: AtomicBool,
    /// The last run has ended.
    pub(crate) idle: Notify,
}

/// The runs that are here.
pub(crate) struct Floor {
    pub(crate) desk: Desk,
    /// How each that runs is told to stop.
    pub(crate) stops: HashMap<RunKey, watch::Sender<Option<&'static str>>>,
    /// One task for each job that runs.
    pub(crate) tasks: JoinSet<()>,
}

/// Callbacks that are kept while the scheduler is away.
const MOST_CALLBACKS: usize = 10_000;

impl Shared {
    pub(crate) fn new(handlers: HashMap<String, Handler>, rules: Rules) -> Self {
        let floor = Floor { desk: Desk::new(Limits::default()), stops: HashMap::new(), tasks: JoinSet::new() };
        Self {
            handlers,
            rules,
            floor: Mutex::new(floor),
            journal: Arc::new(Mutex::new(Journal::new(journal::Limits::default()))),
            outbox: Mutex::new(Outbox::new(MOST_CALLBACKS)),
            posted: Notify::new(),
            emptied: Notify::new(),
            membership: Mutex::default(),
            began: Instant::now(),
            is_closed: AtomicBool::new(false),
            idle: Notify::new(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes the side that counts from now on; whether it is another.
    pub(crate) fn become_one_of(&self, side: Option<Side>) -> bool {
        locked(&self.membership).become_one_of(side, self.now_ms())
    }

    /// The group to register in.
    pub(crate) fn side(&self) -> Option<Side> {
        locked(&self.membership).current()
    }

    /// The groups from which the registration has yet to be removed.
    pub(crate) fn to_leave(&self, overlap_ms: u64) -> Vec<Side> {
        locked(&self.membership).to_leave(self.now_ms(), overlap_ms).collect()
    }

    /// The scheduler knows that we have left a group.
    pub(crate) fn told(&self, side: Side) {
        locked(&self.membership).told(side);
    }

    /// Whether runs for this group are taken.
    pub(crate) fn takes(&self, side: Side) -> bool {
        !self.is_closed.load(Relaxed) && locked(&self.membership).takes(side, self.now_ms())
    }

    /// Takes no more runs.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    /// Tells the scheduler, sooner or later, how a run has ended.
    pub(crate) fn report(&self, callback: Callback) {
        let (dropped, waiting) = {
            let mut outbox = locked(&self.outbox);
            (outbox.push(callback), outbox.len())
        };
        metrics::gauge!(telemetry::CALLBACKS_WAITING).set(waiting as f64);
        if let Some(dropped) = dropped {
            metrics::counter!(telemetry::CALLBACKS_DROPPED_TOTAL).increment(1);
            tracing::warn!(
                log = dropped.log_id,
                "the scheduler is away for too long: the end of a run is not reported"
            );
        }
        self.posted.notify_one();
    }

    /// The callbacks to send next.
    pub(crate) fn to_send(&self) -> Vec<Callback> {
        locked(&self.outbox).send().to_vec()
    }

    /// What became of those that were sent.
    pub(crate) fn sent(&self, is_taken: bool) {
        let mut outbox = locked(&self.outbox);
        if is_taken {
            outbox.acknowledged();
        } else {
            outbox.refused();
        }
        metrics::gauge!(telemetry::CALLBACKS_WAITING).set(outbox.len() as f64);
        if outbox.len() == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// How many callbacks the scheduler has not acknowledged.
    pub(crate) fn unsent(&self) -> usize {
        locked(&self.outbox).len()
    }

    /// How many jobs run.
    pub(crate) fn running(&self) -> usize {
        locked(&self.floor).stops.len()
    }
}

/// Nothing panics while it holds one of our locks; if it did, what is in there would still be whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
