//! What several cores report of one instance at the same time, in every order that the memory model allows (loom).

use gray_core::instance::{Change, Outcome, OutlierPolicy, Reason};
use loom::{
    sync::{Arc, atomic},
    thread,
};

// The code of the crate, on loom's atomics.
#[path = "../src/instance/health.rs"]
#[expect(dead_code, reason = "what only shows it is not called here")]
mod health;
use health::Health;

const POLICY: OutlierPolicy = {
    let mut policy = OutlierPolicy::DEFAULT;
    policy.consecutive_failures = 1;
    policy.eject_ms = 100;
    policy.max_eject_ms = 800;
    policy
};

/// Both at once, on what `before` has left; `after` sees what they returned.
fn together<A: 'static, B: 'static>(
    before: impl Fn(&Health) + Copy + Send + Sync + 'static,
    one: impl Fn(&Health) -> A + Copy + Send + Sync + 'static,
    other: impl Fn(&Health) -> B + Copy + Send + Sync + 'static,
    after: impl Fn(&Health, A, B) + Send + Sync + 'static,
) {
    loom::model(move || {
        let health = Arc::new(Health::default());
        before(&health);
        let its = Arc::clone(&health);
        let thread = thread::spawn(move || one(&its));
        let second = other(&health);
        let first = thread.join().expect("no panic");
        after(&health, first, second);
    });
}

fn refused(health: &Health) -> Option<Change> {
    health.report(Outcome::Unreachable, false, &POLICY, 1_000)
}

/// Ejections less readmissions, as those who count them see it.
fn counted(changes: &[Option<Change>]) -> i32 {
    let each = changes.iter().flatten().map(|change| if matches!(change, Change::Ejected(_)) { 1 } else { -1 });
    each.sum()
}

#[test]
fn refused_twice_at_once_is_one_ejection() {
    together(
        |_| {},
        refused,
        refused,
        |health, one, other| {
            assert_eq!(counted(&[one, other]), 1);
            assert!(!health.claim_trial(1_099, &POLICY));
            assert!(health.claim_trial(1_100, &POLICY), "and no longer than one");
        },
    );
}

#[test]
fn one_of_two_makes_the_trial() {
    let claim = |health: &Health| health.claim_trial(1_100, &POLICY);
    together(|health| assert!(refused(health).is_some()), claim, claim, |_, one, other| assert!(one ^ other));
}

#[test]
fn an_answer_does_not_undo_what_the_check_says() {
    together(
        |health| assert!(refused(health).is_some()),
        |health| health.report(Outcome::Good, true, &POLICY, 1_100),
        |health| health.checked(false, 1_100),
        |health, one, other| {
            assert_eq!(health.ejection(), Some(Reason::Check));
            assert_eq!(1 + counted(&[one, other]), 1);
        },
    );
}

#[test]
fn whatever_is_reported_is_counted_once() {
    together(
        |_| {},
        |health| {
            let failed = health.report(Outcome::Failed, false, &POLICY, 1_000);
            [failed, health.report(Outcome::Good, false, &POLICY, 1_001)]
        },
        |health| [health.checked(false, 1_000), health.checked(true, 1_001)],
        |health, one, other| {
            let sum = counted(&one) + counted(&other);
            assert_eq!(sum, i32::from(!health.is_in()));
        },
    );
}

#[test]
fn without_the_check_nothing_is_left_of_it() {
    together(
        |health| assert!(health.checked(false, 1_000).is_some()),
        |health| health.unchecked(1_001),
        |health| health.report(Outcome::Good, true, &POLICY, 1_001),
        |health, one, other| {
            assert!(health.is_in());
            assert_eq!(counted(&[one, other]), -1);
        },
    );
}
