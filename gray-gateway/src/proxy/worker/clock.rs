//! A coarse clock per worker: deadlines cost a load and a store per request instead of a timer.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use gray_live::clock::uptime_ms;

/// Resolution of all deadlines on client connections and pools.
pub(super) const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 100;

/// Ticks since the worker began, counted by its sweeper. One is never shorter than it should be, and a worker that was held
/// up does not catch up: so nothing ends early because it was seen late.
#[derive(Debug)]
pub(in crate::proxy) struct Clock {
    counted: Cell<Instant>,
    now: Cell<u64>,
    uptime_ms: Cell<u64>,
}

impl Clock {
    pub(in crate::proxy) fn new() -> Self {
        Self { counted: Instant::now().into(), now: Cell::new(0), uptime_ms: Cell::new(uptime_ms()) }
    }

    /// The tick as of now, or a moment ago.
    pub(in crate::proxy) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The clock that all workers share, in milliseconds, as of the last tick.
    pub(in crate::proxy) fn uptime_ms(&self) -> u64 {
        self.uptime_ms.get()
    }

    /// A tick has passed; returns which.
    pub(in crate::proxy) fn tick(&self) -> u64 {
        self.pass(1)
    }

    /// Counts the ticks in which this was not done: there was nothing to wait for.
    pub(in crate::proxy) fn catch_up(&self) {
        let missed = u64::try_from(self.counted.get().elapsed().as_millis()).unwrap_or(0) / TICK_MS;
        if missed > 0 {
            self.pass(missed);
        }
    }

    fn pass(&self, ticks: u64) -> u64 {
        self.counted.set(Instant::now());
        self.now.set(self.now.get() + ticks);
        self.uptime_ms.set(uptime_ms());
        self.now.get()
    }

    #[cfg(test)]
    pub(in crate::proxy) fn set(&self, now: u64) {
        self.now.set(now);
    }

    /// The tick by which `after` has passed for certain.
    pub(in crate::proxy) fn deadline(&self, after: u64) -> u64 {
        self.now().saturating_add(after).saturating_add(1)
    }
}

/// A limit in whole ticks, rounded up: nothing ends early.
pub(in crate::proxy) fn ticks(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).map_or(u64::MAX, |millis| millis.div_ceil(TICK_MS))
}

/// So many ticks.
pub(in crate::proxy) fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(TICK_MS))
}
