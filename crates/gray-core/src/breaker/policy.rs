//! When a circuit breaker opens and closes.

/// Most calls that are remembered.
const MAX_WINDOW: u32 = 10_000;
/// Longest window of time, in seconds: each call looks at all of them.
const MAX_SECONDS: u32 = 600;
/// A rate that no calls reach.
const NEVER: u32 = u32::MAX;

/// When a circuit breaker opens and closes: Resilience4j's settings. Rates are in hundredths of a percent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BreakerPolicy {
    /// `slidingWindowSize`: so many calls are judged, the last ones; or those of so many seconds.
    pub window: u32,
    /// `slidingWindowType`: whether the window is one of time.
    pub is_timed: bool,
    /// `minimumNumberOfCalls`: none are judged before there were so many.
    pub min_calls: u32,
    /// `failureRateThreshold`: it opens when so many of them have failed.
    pub failure_rate: u32,
    /// `slowCallRateThreshold`: it opens when so many of them were slow.
    pub slow_rate: u32,
    /// `slowCallDurationThreshold`: what takes longer is slow.
    pub slow_ms: u64,
    /// `waitDurationInOpenState`: how long no call is made.
    pub open_ms: u64,
    /// `permittedNumberOfCallsInHalfOpenState`: so many calls are made then, and judged.
    pub trials: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: 100,
            is_timed: false,
            min_calls: 100,
            failure_rate: 5_000,
            slow_rate: 10_000,
            slow_ms: 60_000,
            open_ms: 60_000,
            trials: 10,
        }
    }
}

impl BreakerPolicy {
    /// Most calls that are remembered, and most trials.
    pub const MAX_WINDOW: u32 = MAX_WINDOW;

    /// Longest window of time, in seconds.
    pub const MAX_SECONDS: u32 = MAX_SECONDS;

    /// As it can be kept to: no more calls are awaited than are remembered, and a rate of 0 is not reached by none.
    pub(super) fn bounded(mut self) -> Self {
        self.window = self.window.clamp(1, if self.is_timed { MAX_SECONDS } else { MAX_WINDOW });
        self.min_calls = self.min_calls.clamp(1, if self.is_timed { MAX_WINDOW } else { self.window });
        self.trials = self.trials.clamp(1, MAX_WINDOW);
        for rate in [&mut self.failure_rate, &mut self.slow_rate] {
            if *rate == 0 {
                *rate = NEVER;
            }
        }
        self
    }
}
