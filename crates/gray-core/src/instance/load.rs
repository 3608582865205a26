//! What the gateway or client itself measures about one endpoint.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Change, Outcome, OutlierPolicy, Reason, health::Health};

/// Weight of the newest sample in the moving average, as 1/8 (TCP's smoothed RTT, RFC 6298, uses the same).
const EWMA_SHIFT: u64 = 3;

/// Requests in flight and a moving average of the response time.
///
/// Relaxed counters: a pick may be based on a figure that is a moment old, never on a torn one.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: AtomicUsize,
    ewma_us: AtomicU64,
    since_ms: u64,
    health: Health,
}

impl Load {
    /// Of an endpoint that was first seen at this time; 0 when it was always there.
    pub(super) fn since(since_ms: u64) -> Self {
        Self { since_ms, ..Self::default() }
    }

    /// When the endpoint was first seen; 0 when it was there from the beginning.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Counts a request until the handle is dropped, so that a cancelled request counts down too. `now_us` is the time in
    /// microseconds, on a clock of the caller's that never goes back.
    pub fn begin(self: &Arc<Self>, now_us: u64) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { load: Arc::clone(self), began_us: now_us }
    }

    /// Requests that have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Moving average of the response time in microseconds; 0 until something was measured.
    pub fn ewma_us(&self) -> u64 {
        self.ewma_us.load(Relaxed)
    }

    /// Adds one response time. A lost update between two cores costs one sample, nothing else.
    pub fn observe(&self, elapsed: Duration) {
        let sample = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX >> EWMA_SHIFT).max(1);
        let old = self.ewma_us.load(Relaxed);
        let new = if old == 0 { sample } else { (old - (old >> EWMA_SHIFT)).saturating_add(sample >> EWMA_SHIFT) };
        self.ewma_us.store(new.max(1), Relaxed);
    }

    /// Whether it is in rotation: neither requests nor health checks have ejected it.
    pub fn is_in(&self) -> bool {
        self.health.is_in()
    }

    /// Why it is out of rotation.
    pub fn ejection(&self) -> Option<Reason> {
        self.health.ejection()
    }

    /// Since when it is out of rotation, in milliseconds on the clock of picks ([`Draw::now_ms`](crate::balance::Draw)).
    pub fn ejected_since_ms(&self) -> Option<u64> {
        self.health.ejected_since_ms()
    }

    /// Failed requests in a row, since the last one that went well.
    pub fn failures(&self) -> u32 {
        self.health.failures()
    }

    /// Whether the caller is the one to try an endpoint that is out.
    pub(crate) fn claim_trial(&self, now_ms: u64, policy: &OutlierPolicy) -> bool {
        self.health.claim_trial(now_ms, policy)
    }

    /// Takes in how a request went; `is_trial` as [`Chosen`](crate::balance::Chosen) has it. Says what that has changed.
    pub fn report(&self, outcome: Outcome, is_trial: bool, policy: &OutlierPolicy, now_ms: u64) -> Option<Change> {
        self.health.report(outcome, is_trial, policy, now_ms)
    }

    /// Takes in what an active health check says: a bad answer overrules what requests have seen, a good one all but
    /// failing answers. Says what that has changed.
    pub fn checked(&self, is_well: bool, now_ms: u64) -> Option<Change> {
        self.health.checked(is_well, now_ms)
    }

    /// No check is made any more, so what it said last is no reason to leave the endpoint out.
    pub fn unchecked(&self, now_ms: u64) -> Option<Change> {
        self.health.unchecked(now_ms)
    }

    /// Expected cost of one more request: average response time times the queue it would join.
    pub(crate) fn cost(&self) -> u64 {
        self.ewma_us().saturating_mul(self.in_flight() as u64 + 1)
    }
}

/// A request in flight; keep it as long as the response lives.
#[derive(Debug)]
pub struct InFlight {
    load: Arc<Load>,
    began_us: u64,
}

impl InFlight {
    /// Records the time since the request began (call when the response head arrives), and returns it. `now_us` as at its
    /// [beginning](Load::begin).
    pub fn responded(&self, now_us: u64) -> Duration {
        let took = self.took(now_us);
        self.load.observe(took);
        took
    }

    /// The time since the request began; `now_us` as at its [beginning](Load::begin).
    pub fn took(&self, now_us: u64) -> Duration {
        Duration::from_micros(now_us.saturating_sub(self.began_us))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_request_counts_down() {
        let load = Arc::new(Load::default());
        let (one, two) = (load.begin(0), load.begin(1));
        assert_eq!(load.in_flight(), 2);
        drop(one);
        drop(two);
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn a_request_takes_as_long_as_its_caller_says() {
        let load = Arc::new(Load::default());
        let request = load.begin(1_000);
        assert_eq!((request.responded(1_700), load.ewma_us()), (Duration::from_micros(700), 700));
        assert_eq!(request.took(4_000), Duration::from_micros(3_000));
        assert_eq!(request.took(999), Duration::ZERO, "not on the same clock");
    }

    #[test]
    fn the_average_follows_the_samples() {
        let load = Load::default();
        load.observe(Duration::from_micros(800));
        assert_eq!(load.ewma_us(), 800);
        load.observe(Duration::from_micros(1600));
        assert_eq!(load.ewma_us(), 900);
        for _ in 0..100 {
            load.observe(Duration::from_micros(8));
        }
        assert!(load.ewma_us() < 20, "{}", load.ewma_us());
    }
}
