//! How slow a body may be: so long without a byte, and no slower than a rate on average.
//!
//! Time is bought with bytes: each one buys what it may take at the lowest rate, up to the pause that the client may make.
//! So a steady sender may pause, and one that sends a byte now and then runs out of time. Who has been fast on average may
//! pause for long, as a paused video does; a pause is judged as it begins, by the time that was the client's to use.

use crate::proxy::worker::clock::Clock;

/// Ticks of a second.
const SECOND: u64 = 10;
/// Bytes per second on average from which on a client may pause for long.
const FAST: u64 = 16 * 1024;

/// Limits of a body, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Until the first byte, and what there is to begin with.
    pub(super) grace: u64,
    /// Longest pause of anybody.
    pub(in crate::proxy) short: u64,
    /// Longest pause of a client that is fast.
    pub(in crate::proxy) long: u64,
    /// Bytes that buy a second; 0: each byte buys the whole pause.
    pub(super) rate: u64,
    /// Bytes that may lie in buffers on the way, and say nothing about the client.
    pub(super) unseen: u64,
}

impl Pace {
    /// How long a pause may last that begins when so many bytes have passed in so many ticks.
    pub(in crate::proxy) fn pause(&self, passed: u64, ticks: u64) -> u64 {
        let seen = passed.saturating_sub(self.unseen);
        let is_fast = seen.saturating_mul(SECOND) >= ticks.max(SECOND).saturating_mul(FAST);
        if is_fast { self.long.max(self.short) } else { self.short }
    }
}

/// One body's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    pace: Pace,
    passed: u64,
    /// Ticks that were the client's to use, before the turn that it has now.
    spent: u64,
    /// When this turn began.
    since: u64,
    /// When something last passed.
    moved: u64,
    /// The tick at which time is up; 0: others are to move.
    until: u64,
    /// Bytes that have bought less than a tick.
    change: u64,
}

impl Meter {
    /// For a body of which so many bytes have passed.
    pub(in crate::proxy) fn new(pace: Pace, passed: u64) -> Self {
        Self { pace, passed, ..Self::default() }
    }

    /// From now on it is for the client to move; returns when time is up.
    pub(in crate::proxy) fn start(&mut self, clock: &Clock) -> u64 {
        (self.since, self.moved, self.change) = (clock.now(), clock.now(), 0);
        let pause = self.pause(clock.now());
        self.until = clock.deadline(if pause > self.pace.short { pause } else { self.pace.grace });
        self.until
    }

    /// It is for others to move, while so many more bytes pass.
    pub(super) fn stop(&mut self, count: u64, now: u64) {
        self.passed += count;
        if self.is_running() {
            self.spent += now.saturating_sub(self.since);
            self.until = 0;
        }
    }

    /// So many more bytes have passed in its turn; returns when time is up.
    pub(in crate::proxy) fn moved(&mut self, count: u64, clock: &Clock) -> u64 {
        if count == 0 {
            return self.until;
        }
        self.passed += count;
        self.moved = clock.now();
        let paid = self.change.saturating_add(count.saturating_mul(SECOND));
        let bought = paid.checked_div(self.pace.rate).unwrap_or(u64::MAX);
        self.change = paid.checked_rem(self.pace.rate).unwrap_or(0);
        let pause = self.pause(clock.now());
        let latest = clock.deadline(pause);
        self.until = if pause > self.pace.short { latest } else { self.until.saturating_add(bought).min(latest) };
        self.until
    }

    /// How long the pause may last that begins now.
    pub(in crate::proxy) fn pause(&self, now: u64) -> u64 {
        let turn = if self.is_running() { now.saturating_sub(self.since) } else { 0 };
        self.pace.pause(self.passed, self.spent + turn)
    }

    /// Whether it was never started.
    pub(super) fn is_new(&self) -> bool {
        self.pace.short == 0
    }

    pub(super) fn is_running(&self) -> bool {
        self.until > 0
    }

    /// Whether time is up; `pressed`: long pauses cannot be afforded now.
    pub(in crate::proxy) fn is_over(&self, now: u64, pressed: bool) -> bool {
        let is_long = || now > self.moved.saturating_add(self.pace.short);
        self.is_running() && (now >= self.until || (pressed && is_long()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn pace(grace: u64, short: u64, rate: u64) -> Pace {
        Pace { grace, short, long: 600, rate, unseen: 0 }
    }

    /// The tick at which a sender of `bytes` every `every` ticks is cut off, if it is within an hour.
    fn cut_off(pace: Pace, first: u64, bytes: u64, every: u64) -> Option<u64> {
        let clock = Clock::new();
        let mut meter = Meter::new(pace, 0);
        meter.start(&clock);
        meter.moved(first, &clock);
        (1..36_000).find(|tick| {
            clock.set(*tick);
            if meter.is_over(*tick, false) {
                return true;
            }
            if tick % every == 0 {
                meter.moved(bytes, &clock);
            }
            false
        })
    }

    #[test]
    fn a_trickle_runs_out_of_time_and_an_honest_sender_does_not() {
        let pace = pace(60, 80, 500);
        // Nothing at all.
        assert_eq!(cut_off(pace, 0, 0, 1), Some(61));
        // As slowhttptest does it.
        assert_eq!(cut_off(pace, 0, 24, 10), Some(63));
        assert!(cut_off(pace, 0, 1, 1).is_some_and(|tick| tick < 64));
        // Much at first, but not so much as to be fast, then nothing: the rest and no more.
        assert_eq!(cut_off(pace, 16_000, 0, 1), Some(81));
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
        let pace = pace(50, 50, 0);
        assert_eq!(cut_off(pace, 0, 1, 40), None);
        assert_eq!(cut_off(pace, 0, 0, 1), Some(51));
    }

    #[test]
    fn how_long_a_pause_may_last() {
        let upload = pace(75, 100, 500);
        let download = Pace { unseen: 256 * KIB, ..upload };
        let strict = Pace { long: 50, ..upload };
        for (pace, passed, ticks, expect) in [
            (upload, 0, 0, 100),
            // 16 KiB a second, counting a second at least.
            (upload, 16 * KIB, 0, 600),
            (upload, 16 * KIB, 10, 600),
            (upload, 16 * KIB - 1, 1, 100),
            (upload, 16 * KIB, 11, 100),
            (upload, 160 * KIB, 100, 600),
            (upload, 160 * KIB, 101, 100),
            (upload, u64::MAX, u64::MAX, 600),
            (upload, 1, u64::MAX, 100),
            // What buffers take was not taken by the client.
            (download, 256 * KIB, 1, 100),
            (download, 272 * KIB, 10, 600),
            (download, 272 * KIB, 20, 100),
            // Less than anybody's: that of anybody.
            (strict, 16 * KIB, 10, 100),
        ] {
            assert_eq!(pace.pause(passed, ticks), expect, "{passed} bytes in {ticks} ticks");
        }
    }

    #[test]
    fn a_fast_sender_may_pause_for_long_unless_there_is_pressure() {
        let clock = Clock::new();
        let mut meter = Meter::new(pace(75, 100, 500), 0);
        assert_eq!(meter.start(&clock), 76);
        clock.set(20);
        assert_eq!(meter.moved(100 * KIB, &clock), 621);
        assert!(!meter.is_over(620, false) && meter.is_over(621, false));
        assert!(!meter.is_over(120, true) && meter.is_over(121, true));
        // The pause counts: on average it has become slow, and runs out of time like anybody.
        clock.set(520);
        assert_eq!(meter.moved(1, &clock), 621);
        assert!(meter.is_over(622, false));
    }

    #[test]
    fn what_others_take_their_time_for_is_not_the_clients() {
        let clock = Clock::new();
        let mut meter = Meter::new(pace(75, 100, 500), 0);
        meter.start(&clock);
        clock.set(10);
        meter.moved(32 * KIB, &clock);
        meter.stop(32 * KIB, clock.now());
        assert!(!meter.is_running());
        // A minute later it is its turn again, and it is as fast as it was.
        clock.set(610);
        assert_eq!(meter.start(&clock), 610 + 601);
        clock.set(650);
        assert_eq!(meter.pause(clock.now()), 100, "64 KiB in 5 s");
    }
}
