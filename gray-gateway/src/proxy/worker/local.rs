//! What one thread owns: its view of the snapshot, its upstream pool, its connections, its counters.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};
use gray_core::{GrayStatus, balance::RetryBudget};
use gray_rules::{Decision, Facts};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::sync::Notify;

use super::{
    buffer::Buffers,
    clock::{Clock, TICK},
    descriptors::Descriptors,
    held::Held,
    sample::{HandedOver, Sampler},
    stats::{Stats, WorkerStats},
};
use crate::{
    proxy::{
        Limits,
        access_log::{AccessLog, Entry},
        downstream::state::{Connections, State, Times},
        listener::admission::{Admission, Clients},
        upstream::pool::Pool,
    },
    rates::{SharedCounting, SharedRates},
    record::RecordSender,
    snapshot::Snapshot,
    tls::UpstreamTls,
};

/// Ticks between two looks at the idle upstream connections.
const POOL_SWEEP_TICKS: u64 = 10;
/// How often buffers that were of no use are given up: longer than most peaks are apart.
const TRIM_TICKS: u64 = 10 * POOL_SWEEP_TICKS;
/// Ticks between two warnings about the same thing.
const WARN_TICKS: u64 = 10;
/// Things remembered as warned about.
const MAX_WARNED: usize = 1024;

type Shared = Arc<ArcSwap<Snapshot>>;

/// One thread's belongings. Never shared between threads.
pub(in crate::proxy) struct Worker {
    pub(in crate::proxy) limits: Limits,
    pub(in crate::proxy) pool: Pool,
    pub(in crate::proxy) buffers: Rc<Buffers>,
    /// `None`: requests are not logged, and nothing that is only logged needs to be found out.
    pub(in crate::proxy) access_log: Option<AccessLog>,
    pub(in crate::proxy) admission: Admission,
    pub(in crate::proxy) descriptors: Rc<Descriptors>,
    pub(in crate::proxy) clock: Rc<Clock>,
    pub(in crate::proxy) times: Rc<Times>,
    /// The `Date` line, as of a tick.
    date: RefCell<(u64, String)>,
    stats: Stats,
    index: usize,
    turn: Cell<usize>,
    snapshots: RefCell<Cache<Shared, Arc<Snapshot>>>,
    current: RefCell<Rc<Held>>,
    pub(in crate::proxy) connections: Rc<Connections>,
    /// Connections and tunnels that are not over.
    open: Cell<usize>,
    leaving: Cell<bool>,
    draining: Cell<bool>,
    /// Told when the first connection opens and when the last one closes.
    changed: Notify,
    warned: RefCell<HashMap<Box<str>, u64>>,
    /// By service or authority; looked at only when something has failed.
    pub(in crate::proxy) budgets: RefCell<HashMap<Box<str>, RetryBudget>>,
    sampler: Sampler,
    /// `None`: rates are counted in this process alone.
    pub(in crate::proxy) shared_rates: Option<SharedCounting>,
}

impl Worker {
    #[expect(clippy::too_many_arguments, reason = "called once")]
    pub(in crate::proxy) fn new(
        limits: Limits,
        clients: Arc<Clients>,
        tls: Arc<UpstreamTls>,
        shared: Shared,
        stats: Stats,
        index: usize,
        records: Option<RecordSender>,
        access_log: Option<AccessLog>,
    ) -> Self {
        let mut snapshots = Cache::new(shared);
        let current = RefCell::new(Rc::new(Held::new(Arc::clone(snapshots.load()))));
        let clock = Rc::new(Clock::new());
        let descriptors = Descriptors::new(stats.clone(), index, limits.max_descriptors);
        Self {
            pool: Pool::new(&limits, tls, Rc::clone(&clock), Rc::clone(&descriptors)),
            descriptors,
            buffers: Rc::default(),
            times: Rc::new(Times::new(&limits)),
            limits,
            access_log,
            admission: Admission::new(clients, stats.workers()),
            clock,
            date: RefCell::default(),
            stats,
            index,
            turn: Cell::new(fastrand::usize(..)),
            snapshots: RefCell::new(snapshots),
            current,
            connections: Rc::default(),
            open: Cell::new(0),
            leaving: Cell::new(false),
            draining: Cell::new(false),
            changed: Notify::new(),
            warned: RefCell::default(),
            budgets: RefCell::default(),
            sampler: Sampler::new(records),
            shared_rates: None,
        }
    }

    /// The same, with rates that are counted in a Redis.
    pub(in crate::proxy) fn sharing(self, rates: Option<Arc<SharedRates>>) -> Self {
        Self { shared_rates: rates.map(SharedCounting::new), ..self }
    }

    /// Keeps the connection to that Redis, if there is to be one.
    pub(super) async fn share_rates(&self) {
        if let Some(counting) = &self.shared_rates {
            counting.run(|is_connected| self.stats().redis_connected.set(is_connected.into())).await;
        }
    }

    pub(in crate::proxy) fn state(&self, is_pipe: bool) -> Rc<State> {
        Rc::new(State::new(Rc::clone(&self.clock), Rc::clone(&self.times), is_pipe))
    }

    /// Appends the `Date` line (RFC 9110, 6.6.1).
    pub(in crate::proxy) fn write_date(&self, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        let now = self.clock.now();
        if date.0 != now || date.1.is_empty() {
            *date = (now, date_line());
        }
        out.extend_from_slice(date.1.as_bytes());
    }

    /// The newest snapshot.
    pub(in crate::proxy) fn snapshot(&self) -> Rc<Held> {
        let mut snapshots = self.snapshots.borrow_mut();
        let newest = snapshots.load();
        let mut current = self.current.borrow_mut();
        if !current.is(newest) {
            *current = Rc::new(Held::new(Arc::clone(newest)));
        }
        Rc::clone(&current)
    }

    /// Counts a decision, and what the called service is told of it.
    pub(in crate::proxy) fn decided(&self, snapshot: &Snapshot, decision: &Decision<'_>, tag: GrayStatus) {
        self.stats().decided(tag);
        let place = decision.rule_place.unwrap_or(snapshot.rule_tallies.len().saturating_sub(1));
        if let Some((_, tally)) = snapshot.rule_tallies.get(place) {
            tally.add(self.index, 0);
        }
    }

    pub(in crate::proxy) fn stats(&self) -> &WorkerStats {
        self.stats.worker(self.index)
    }

    /// Keeps the facts of a request for replays, if it is in the sample.
    pub(in crate::proxy) fn sample(&self, snapshot: &Snapshot, facts: &impl Facts) {
        self.sampler.sample(self.clock.now(), &snapshot.plan, facts, snapshot.city.is_some());
    }

    /// Passes on what was sampled.
    pub(in crate::proxy) fn hand_over(&self) {
        let HandedOver { kept, dropped } = self.sampler.hand_over();
        self.stats().recorded.add_many(kept as u64);
        self.stats().unrecorded.add_many(dropped as u64);
    }

    /// The tick.
    pub(in crate::proxy) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Logs a request, if requests are logged.
    pub(in crate::proxy) fn log(&self, entry: &Entry<'_>) {
        if let Some(log) = &self.access_log {
            log.log(entry);
        }
    }

    /// The last turn that was taken.
    pub(in crate::proxy) fn turn(&self) -> usize {
        self.turn.get()
    }

    /// Grows by one each time.
    pub(in crate::proxy) fn next_turn(&self) -> usize {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        turn
    }

    /// The clock that snapshots were built with, as of the last tick.
    pub(in crate::proxy) fn uptime_ms(&self) -> u64 {
        self.clock.uptime_ms()
    }

    /// Its place among the workers.
    pub(in crate::proxy) fn index(&self) -> usize {
        self.index
    }

    /// How many workers there are.
    pub(in crate::proxy) fn workers(&self) -> usize {
        self.stats.workers()
    }

    /// Whether a warning about this may be logged now: once a second.
    pub(in crate::proxy) fn may_warn(&self, about: &str) -> bool {
        let now = self.clock.now();
        let mut warned = self.warned.borrow_mut();
        match warned.get_mut(about) {
            Some(last) if now < last.saturating_add(WARN_TICKS) => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                // Addresses come and go; what was warned about long ago may be warned about again.
                if warned.len() >= MAX_WARNED {
                    warned.clear();
                }
                warned.insert(about.into(), now);
                true
            }
        }
    }

    /// Whether every answer is the last one of its connection.
    pub(in crate::proxy) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Open connections of all workers.
    pub(in crate::proxy) fn connections_of_all(&self) -> u64 {
        self.stats.open()
    }

    /// Whether connections without a request are closed.
    pub(in crate::proxy) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Asks every connection to end after the request that it is serving, or the next one.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
        self.connections.wake_all();
    }

    /// Asks every connection to end after the request that it is serving.
    pub(super) fn drain(&self) {
        self.leaving.set(true);
        self.draining.set(true);
        self.connections.wake_all();
    }

    /// A connection or tunnel has begun.
    pub(in crate::proxy) fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.stats().connections.add();
        if self.open.get() == 1 {
            self.changed.notify_waiters();
        }
    }

    /// One has ended.
    pub(in crate::proxy) fn ended(&self) {
        self.open.set(self.open.get() - 1);
        self.stats().disconnections.add();
        if self.open.get() == 0 {
            self.changed.notify_waiters();
        }
    }

    pub(in crate::proxy) fn open(&self) -> usize {
        self.open.get()
    }

    /// Returns when nothing is open any more.
    pub(in crate::proxy) async fn closed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open.get() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Moves the clock, ends what is overdue, forgets unused upstream connections; rests while nothing is open.
    pub(in crate::proxy) async fn sweep(&self) {
        let (mut pool_swept, mut trimmed) = (0, 0);
        loop {
            let changed = self.changed.notified();
            let is_logged = self.access_log.as_ref().is_none_or(AccessLog::is_empty);
            if self.open.get() == 0 && self.pool.is_empty() && is_logged {
                changed.await;
            }
            tokio::time::sleep(TICK).await;
            let now = self.clock.tick();
            self.hand_over();
            if let Some(log) = &self.access_log {
                log.flush();
            }
            let held = self.connections.sweep(now);
            self.pool.trim();
            self.stats().held.set(held);
            self.times.press(self.limits.are_pressed(self.stats.open(), self.stats.held()));
            if now >= pool_swept + POOL_SWEEP_TICKS {
                pool_swept = now;
                self.pool.sweep();
            }
            if now >= trimmed + TRIM_TICKS {
                trimmed = now;
                self.buffers.trim();
            }
        }
    }
}

fn date_line() -> String {
    match DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()) {
        Ok(date) => format!("date: {date}\r\n"),
        // The clock is thousands of years off.
        Err(_) => String::new(),
    }
}
