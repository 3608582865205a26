//! How slow a body may be: so long without a byte, and no slower than a rate on average.
//!
//! Time is bought with bytes: each one buys what it may take at the lowest rate, up to the rest that a sender may take.
//! So a fast sender may pause, and one that sends a byte now and then runs out of time.

use super::clock::Clock;

/// Limits of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Ticks until the first byte, and what there is to begin with.
    grace: u64,
    /// Ticks that can be bought at most.
    rest: u64,
    /// Bytes that buy a second; 0: each byte buys the whole rest.
    rate: u64,
}

/// Ticks of a second.
const SECOND: u64 = 10;

impl Pace {
    pub(super) fn new(grace: u64, rest: u64, rate: u32) -> Self {
        Self { grace, rest, rate: rate.into() }
    }

    pub(super) fn rest(&self) -> u64 {
        self.rest
    }
}

/// One body's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    pace: Pace,
    /// The tick at which time is up; 0: not running.
    until: u64,
    /// Bytes that have bought less than a tick.
    change: u64,
}

impl Meter {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, until: 0, change: 0 }
    }

    /// From now on; returns when time is up.
    pub(super) fn start(&mut self, clock: &Clock) -> u64 {
        self.change = 0;
        self.until = clock.deadline(self.pace.grace);
        self.until
    }

    /// So many bytes have passed; returns when time is up.
    pub(super) fn passed(&mut self, count: u64, clock: &Clock) -> u64 {
        let latest = clock.deadline(self.pace.rest);
        if count > 0 {
            let paid = self.change.saturating_add(count.saturating_mul(SECOND));
            let bought = paid.checked_div(self.pace.rate).unwrap_or(u64::MAX);
            self.until = self.until.saturating_add(bought).min(latest);
            self.change = paid.checked_rem(self.pace.rate).unwrap_or(0);
        }
        self.until
    }

    pub(super) fn is_running(&self) -> bool {
        self.until > 0
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        self.is_running() && now >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tick at which a sender of `bytes` every `every` ticks is cut off, if it is within an hour.
    fn cut_off(pace: Pace, first: u64, bytes: u64, every: u64) -> Option<u64> {
        let clock = Clock::new();
        let mut meter = Meter::new(pace);
        meter.start(&clock);
        meter.passed(first, &clock);
        (1..36_000).find(|tick| {
            clock.set(*tick);
            if meter.is_over(*tick) {
                return true;
            }
            if tick % every == 0 {
                meter.passed(bytes, &clock);
            }
            false
        })
    }

    #[test]
    fn a_trickle_runs_out_of_time_and_an_honest_sender_does_not() {
        let pace = Pace::new(60, 80, 500);
        // Nothing at all.
        assert_eq!(cut_off(pace, 0, 0, 1), Some(61));
        // As slowhttptest does it.
        assert_eq!(cut_off(pace, 0, 24, 10), Some(63));
        assert!(cut_off(pace, 0, 1, 1).is_some_and(|tick| tick < 64));
        // Much at first, then nothing: the rest and no more.
        assert_eq!(cut_off(pace, 1 << 20, 0, 1), Some(81));
        // 600 bytes a second, however they come.
        assert_eq!(cut_off(pace, 0, 60, 1), None);
        assert_eq!(cut_off(pace, 0, 2_400, 40), None);
        // A burst now and then, with pauses that are allowed.
        assert_eq!(cut_off(pace, 4_000, 4_000, 75), None);
        // Slower than allowed, for longer than there is time.
        assert!(cut_off(pace, 0, 400, 10).is_some());
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let pace = Pace::new(50, 50, 0);
        assert_eq!(cut_off(pace, 0, 1, 40), None);
        assert_eq!(cut_off(pace, 0, 0, 1), Some(51));
    }
}
