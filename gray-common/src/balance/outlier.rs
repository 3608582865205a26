//! Passive health: an instance that cannot be reached, or fails again and again, is left out for a while and then tried
//! with one request.
//!
//! The names are Envoy's (outlier detection) and those of the circuit breaker pattern: out is open, a trial is
//! half-open. All times are milliseconds on the clock of [`Draw::now_ms`](super::Draw).

use std::{
    fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// When an instance is left out, and for how long: `outlier.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// Failed answers in a row that eject; 0 = they never do.
    pub consecutive_failures: u32,
    /// An answer that took longer counts as failed; 0 = none does.
    pub slow_ms: u64,
    /// How long the first ejection lasts; each one that follows soon lasts twice as long. 0 = nobody is ever ejected.
    pub eject_ms: u64,
    /// The longest ejection.
    pub max_eject_ms: u64,
    /// When a smaller part (in percent) of those who may answer is left, those that only fail are used all the same.
    pub panic_percent: u8,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self { consecutive_failures: 5, slow_ms: 0, eject_ms: 2_000, max_eject_ms: 10_000, panic_percent: 50 }
    }
}

/// How a request to an instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection: refused, or not in time. One is enough to eject: the next one would not be either.
    Unreachable,
    /// An answer that says that the instance fails (5xx), none in time, or a connection that broke before it.
    Failed,
    /// Any other answer.
    Good,
}

/// Why an instance is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It accepted no connection.
    Unreachable,
    /// So many answers in a row have failed.
    Failures,
    /// The active health check says so.
    Check,
}

impl Reason {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Failures, Self::Check];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Failures => "failures",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "it accepts no connections",
            Self::Failures => "too many of its answers in a row have failed",
            Self::Check => "its health check fails",
        })
    }
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The instance is out.
    Ejected(Reason),
    /// It is in again.
    Readmitted,
}

/// What is known of one instance's health. Relaxed atomics: of several reports at once one wins, and whichever it is
/// was true a moment ago.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// 0 = in. Else the time of the next trial, and why it is out.
    out: AtomicU64,
    ejected_ms: AtomicU64,
    readmitted_ms: AtomicU64,
    failures: AtomicU32,
    /// Ejections that followed each other soon.
    streak: AtomicU32,
}

const REASON_BITS: u64 = 2;
/// No trial: the check has to say that it is well.
const NEVER: u64 = u64::MAX >> REASON_BITS;

fn packed(until_ms: u64, reason: Reason) -> u64 {
    (until_ms.min(NEVER) << REASON_BITS) | (reason as u64 + 1)
}

fn unpacked(out: u64) -> Option<(u64, Reason)> {
    let place = (out & ((1 << REASON_BITS) - 1)).checked_sub(1)?;
    Some((out >> REASON_BITS, *Reason::ALL.get(usize::try_from(place).ok()?)?))
}

impl Health {
    pub(super) fn is_in(&self) -> bool {
        self.out.load(Relaxed) == 0
    }

    /// Why it is out, and when it is tried next.
    pub(super) fn ejection(&self) -> Option<(Reason, u64)> {
        unpacked(self.out.load(Relaxed)).map(|(until, reason)| (reason, until))
    }

    /// Whether the caller is the one who may try it now. The next trial is due after a while, should he never report.
    pub(super) fn claim_trial(&self, now_ms: u64, policy: &OutlierPolicy) -> bool {
        let out = self.out.load(Relaxed);
        match unpacked(out) {
            Some((until, reason)) if now_ms >= until => {
                let next = packed(now_ms.saturating_add(policy.eject_ms.max(1)), reason);
                self.out.compare_exchange(out, next, Relaxed, Relaxed).is_ok()
            }
            _ => false,
        }
    }

    /// Takes in how a request went; `is_trial` says that it was sent although the instance was out.
    pub(super) fn report(
        &self,
        outcome: Outcome,
        is_trial: bool,
        policy: &OutlierPolicy,
        now_ms: u64,
    ) -> Option<Change> {
        match outcome {
            Outcome::Good => {
                if self.failures.load(Relaxed) != 0 {
                    self.failures.store(0, Relaxed);
                }
                match self.ejection()?.0 {
                    // It may be answering what it got before it stopped to accept connections.
                    Reason::Unreachable if !is_trial => None,
                    Reason::Check => None,
                    Reason::Unreachable | Reason::Failures => self.readmit(now_ms),
                }
            }
            Outcome::Unreachable => self.eject(Reason::Unreachable, policy, now_ms),
            Outcome::Failed => {
                let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
                let is_too_many = policy.consecutive_failures > 0 && failures >= policy.consecutive_failures;
                // Of one that is out, a single failure is enough.
                if is_too_many || !self.is_in() { self.eject(Reason::Failures, policy, now_ms) } else { None }
            }
        }
    }

    fn eject(&self, reason: Reason, policy: &OutlierPolicy, now_ms: u64) -> Option<Change> {
        if policy.eject_ms == 0 {
            return None;
        }
        let out = self.out.load(Relaxed);
        let lasts = |streak: u32| {
            let doubled = policy.eject_ms.saturating_mul(1_u64.checked_shl(streak).unwrap_or(u64::MAX));
            doubled.min(policy.max_eject_ms.max(policy.eject_ms))
        };
        let streak = match unpacked(out) {
            // Many may fail at once; that is one ejection.
            Some(_) if now_ms < self.ejected_ms.load(Relaxed).saturating_add(lasts(self.streak.load(Relaxed))) => {
                return None;
            }
            Some((_, Reason::Check)) => return None,
            Some(_) => self.streak.load(Relaxed).saturating_add(1),
            None => match self.readmitted_ms.load(Relaxed) {
                0 => 0,
                at if now_ms >= at.saturating_add(policy.max_eject_ms) => 0,
                _ => self.streak.load(Relaxed).saturating_add(1),
            },
        };
        let next = packed(now_ms.saturating_add(lasts(streak)), reason);
        self.out.compare_exchange(out, next, Relaxed, Relaxed).ok()?;
        self.ejected_ms.store(now_ms, Relaxed);
        self.streak.store(streak, Relaxed);
        (out == 0).then_some(Change::Ejected(reason))
    }

    fn readmit(&self, now_ms: u64) -> Option<Change> {
        self.readmitted_ms.store(now_ms.max(1), Relaxed);
        self.failures.store(0, Relaxed);
        (self.out.swap(0, Relaxed) != 0).then_some(Change::Readmitted)
    }

    /// Takes in what the active check says. That it is well ends an ejection of its own, and one for accepting no
    /// connections; what it answers to requests is not for a check to judge.
    pub(super) fn checked(&self, is_well: bool, now_ms: u64) -> Option<Change> {
        if is_well {
            return self
                .ejection()
                .filter(|(reason, _)| *reason != Reason::Failures)
                .and_then(|_| self.readmit(now_ms));
        }
        let before = self.out.swap(packed(NEVER, Reason::Check), Relaxed);
        (before == 0).then_some(Change::Ejected(Reason::Check))
    }

    /// The check is not made any more: what it said last is no reason.
    pub(super) fn unchecked(&self, now_ms: u64) -> Option<Change> {
        self.ejection().filter(|(reason, _)| *reason == Reason::Check).and_then(|_| self.readmit(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: OutlierPolicy =
        OutlierPolicy { consecutive_failures: 3, slow_ms: 0, eject_ms: 100, max_eject_ms: 800, panic_percent: 50 };

    #[test]
    fn refused_once_is_out_and_one_trial_brings_it_back() {
        let health = Health::default();
        let report = |outcome, is_trial, now| health.report(outcome, is_trial, &POLICY, now);
        assert_eq!(report(Outcome::Unreachable, false, 1_000), Some(Change::Ejected(Reason::Unreachable)));
        assert_eq!(health.ejection(), Some((Reason::Unreachable, 1_100)));
        assert_eq!(report(Outcome::Unreachable, false, 1_001), None, "one ejection");
        assert_eq!(report(Outcome::Good, false, 1_050), None, "an older request");
        assert!(!health.claim_trial(1_099, &POLICY));
        assert!(health.claim_trial(1_100, &POLICY));
        assert!(!health.claim_trial(1_101, &POLICY), "one at a time");
        assert_eq!(report(Outcome::Good, true, 1_110), Some(Change::Readmitted));
        assert!(health.is_in());
    }

    #[test]
    fn a_trial_that_fails_waits_twice_as_long() {
        let health = Health::default();
        let mut now = 1_000;
        let mut waits = Vec::new();
        for _ in 0..6 {
            health.report(Outcome::Unreachable, true, &POLICY, now);
            let (_, until) = health.ejection().expect("out");
            waits.push(until - now);
            now = until;
            assert!(health.claim_trial(now, &POLICY));
        }
        assert_eq!(waits, [100, 200, 400, 800, 800, 800]);
        // A trial that nobody reports on is due again.
        assert!(health.claim_trial(now + POLICY.eject_ms, &POLICY));
        // In for long enough, it begins anew.
        health.report(Outcome::Good, true, &POLICY, now);
        health.report(Outcome::Unreachable, false, &POLICY, now + 800);
        assert_eq!(health.ejection(), Some((Reason::Unreachable, now + 900)));
    }

    #[test]
    fn failures_count_in_a_row() {
        let health = Health::default();
        let report = |outcome| health.report(outcome, false, &POLICY, 5);
        for outcome in [Outcome::Failed, Outcome::Failed, Outcome::Good, Outcome::Failed, Outcome::Failed] {
            assert_eq!(report(outcome), None);
        }
        assert_eq!(report(Outcome::Failed), Some(Change::Ejected(Reason::Failures)));
        assert_eq!(report(Outcome::Good), Some(Change::Readmitted), "it answers again");
    }

    #[test]
    fn what_is_off_never_ejects() {
        let (health, off) = (Health::default(), OutlierPolicy { eject_ms: 0, ..POLICY });
        let no_failures = OutlierPolicy { consecutive_failures: 0, ..POLICY };
        for now in 0..100 {
            assert_eq!(health.report(Outcome::Unreachable, false, &off, now), None);
            assert_eq!(health.report(Outcome::Failed, false, &off, now), None);
            assert_eq!(health.report(Outcome::Failed, false, &no_failures, now), None);
        }
        assert!(health.is_in());
    }

    #[test]
    fn the_check_has_the_last_word() {
        let health = Health::default();
        assert_eq!(health.checked(true, 1), None);
        assert_eq!(health.checked(false, 1), Some(Change::Ejected(Reason::Check)));
        assert_eq!(health.checked(false, 2), None);
        assert!(!health.claim_trial(u64::MAX >> 3, &POLICY));
        assert_eq!(health.report(Outcome::Good, true, &POLICY, 3), None);
        assert_eq!(health.report(Outcome::Unreachable, true, &POLICY, 3), None);
        assert_eq!(health.ejection().map(|(reason, _)| reason), Some(Reason::Check));
        assert_eq!(health.checked(true, 4), Some(Change::Readmitted));
        health.checked(false, 5);
        assert_eq!(health.unchecked(6), Some(Change::Readmitted));
        health.report(Outcome::Unreachable, false, &POLICY, 7);
        assert_eq!(health.unchecked(8), None, "requests have said so");
        assert_eq!(health.checked(true, 9), Some(Change::Readmitted));
        for _ in 0..3 {
            health.report(Outcome::Failed, false, &POLICY, 2_000);
        }
        assert_eq!(health.checked(true, 2_001), None, "it answers checks, and fails requests");
    }

    proptest! {
        /// Whatever happens, a trial is possible within the longest ejection, unless the check forbids it.
        #[test]
        fn nobody_is_out_for_ever(reports in prop::collection::vec((0_u8..3, any::<bool>(), 0_u64..500), 0..200)) {
            let (health, mut now) = (Health::default(), 1);
            for (outcome, is_trial, wait) in reports {
                now += wait;
                let outcome = [Outcome::Unreachable, Outcome::Failed, Outcome::Good][usize::from(outcome)];
                health.report(outcome, is_trial, &POLICY, now);
                if let Some((_, until)) = health.ejection() {
                    prop_assert!(until <= now + POLICY.max_eject_ms);
                    prop_assert!(until > 0);
                }
            }
            prop_assert!(health.is_in() || health.claim_trial(now + POLICY.max_eject_ms, &POLICY));
        }
    }
}
