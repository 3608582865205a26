//! A coarse clock per worker: deadlines cost a load and a store per request instead of a timer.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use gray_common::clock::uptime_ms;

/// Resolution of all deadlines on client connections and pools.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Ticks since the worker began, advanced by its sweeper.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    now: Cell<u64>,
    uptime_ms: Cell<u64>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), now: Cell::new(0), uptime_ms: Cell::new(uptime_ms()) }
    }

    /// The tick as of the last [`advance`](Self::advance).
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The clock that all workers share, in milliseconds, as of the last [`advance`](Self::advance).
    pub(super) fn uptime_ms(&self) -> u64 {
        self.uptime_ms.get()
    }

    /// Reads the real clock.
    pub(super) fn advance(&self) -> u64 {
        let now = ticks(self.began.elapsed());
        self.now.set(now);
        self.uptime_ms.set(uptime_ms());
        now
    }

    #[cfg(test)]
    pub(super) fn set(&self, now: u64) {
        self.now.set(now);
    }

    /// The tick by which `after` has passed for certain.
    pub(super) fn deadline(&self, after: u64) -> u64 {
        self.now().saturating_add(after).saturating_add(1)
    }
}

/// A duration in whole ticks, rounded down but never to nothing.
pub(super) fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}
