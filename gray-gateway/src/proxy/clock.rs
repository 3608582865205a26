//! A coarse clock per worker: deadlines cost a load and a store per request instead of a timer.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Resolution of all deadlines on client connections and pools.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Ticks since the worker began, advanced by its sweeper.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    now: Cell<u64>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), now: Cell::new(0) }
    }

    /// The tick as of the last [`advance`](Self::advance).
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Reads the real clock.
    pub(super) fn advance(&self) -> u64 {
        let now = ticks(self.began.elapsed());
        self.now.set(now);
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
