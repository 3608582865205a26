//! Tests of `health`, beside it because tests/interleavings.rs takes that file in with other atomics.

use proptest::prelude::*;

use super::{Change, Outcome, OutlierPolicy, Reason, health::Health};

const POLICY: OutlierPolicy =
    OutlierPolicy { consecutive_failures: 3, slow_ms: 0, eject_ms: 100, max_eject_ms: 800, panic_percent: 50 };

#[test]
fn refused_once_is_out_and_one_trial_brings_it_back() {
    let health = Health::default();
    let report = |outcome, is_trial, now| health.report(outcome, is_trial, &POLICY, now);
    assert_eq!(report(Outcome::Unreachable, false, 1_000), Some(Change::Ejected(Reason::Unreachable)));
    assert_eq!(health.ejection(), Some(Reason::Unreachable));
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
    for wait in [100, 200, 400, 800, 800, 800] {
        health.report(Outcome::Unreachable, true, &POLICY, now);
        assert!(!health.claim_trial(now + wait - 1, &POLICY));
        assert!(health.claim_trial(now + wait, &POLICY));
        now += wait;
    }
    // A trial without a report is due again.
    assert!(health.claim_trial(now + POLICY.eject_ms, &POLICY));
    // In for long enough, it begins anew.
    health.report(Outcome::Good, true, &POLICY, now);
    health.report(Outcome::Unreachable, false, &POLICY, now + 800);
    assert!(!health.claim_trial(now + 899, &POLICY) && health.claim_trial(now + 900, &POLICY));
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
    assert_eq!(health.ejection(), Some(Reason::Check));
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
        }
        prop_assert!(health.is_in() || health.claim_trial(now + POLICY.max_eject_ms, &POLICY));
    }
}
