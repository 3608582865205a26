use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn policy(change: impl FnOnce(&mut BreakerPolicy)) -> BreakerPolicy {
    let mut policy = BreakerPolicy::default();
    change(&mut policy);
    policy
}

/// Four calls are judged, half of them may not fail; closed again after two good trials, 100 ms later.
fn small() -> BreakerPolicy {
    policy(|policy| {
        (policy.window, policy.min_calls, policy.trials) = (4, 4, 2);
        (policy.open_ms, policy.slow_ms) = (100, 10);
    })
}

fn pass(breaker: &Breaker, now_ms: u64) -> Pass {
    breaker.admit(now_ms).pass.expect("admitted")
}

#[test]
fn it_opens_tries_and_closes() {
    let breaker = Breaker::new(small());
    for (has_failed, to) in [(true, None), (false, None), (false, None), (true, Some(Phase::Open))] {
        let pass = pass(&breaker, 1);
        assert_eq!(breaker.record(pass, has_failed, 0, 1).map(|change| change.to), to, "{has_failed}");
    }
    assert_eq!(breaker.look(), (Phase::Open, Counts { calls: 4, failed: 2, slow: 0 }), "what it opened for");
    assert_eq!(breaker.admit(100), Admitted { pass: None, change: None });
    let first = breaker.admit(101);
    assert_eq!(first.change.map(|change| change.to), Some(Phase::HalfOpen));
    let (first, second) = (first.pass.expect("a trial"), pass(&breaker, 101));
    assert_eq!(breaker.admit(101), Admitted { pass: None, change: None }, "two trials, no more");
    // One that nothing is known of is tried again.
    breaker.release(second);
    let second = pass(&breaker, 101);
    assert_eq!(breaker.record(first, false, 0, 102), None);
    let change = breaker.record(second, false, 0, 102).expect("closed");
    assert_eq!((change.to, change.counts), (Phase::Closed, Counts { calls: 2, failed: 0, slow: 0 }));
    assert!(breaker.admit(102).pass.is_some());
}

#[test]
fn trials_that_fail_open_it_again_and_what_began_before_counts_for_nothing() {
    let breaker = Breaker::new(small());
    let early = pass(&breaker, 0);
    for _ in 0..4 {
        breaker.record(pass(&breaker, 0), true, 0, 0);
    }
    let (first, second) = (pass(&breaker, 200), pass(&breaker, 200));
    assert_eq!(breaker.record(early, false, 0, 200), None, "it was begun while the breaker was closed");
    assert_eq!(breaker.record(first, true, 0, 200), None, "not all trials have ended");
    assert_eq!(breaker.record(second, false, 0, 200).map(|change| change.to), Some(Phase::Open), "half of them failed");
    assert_eq!(breaker.admit(299).pass, None);
    assert!(breaker.admit(300).pass.is_some());
}

#[test]
fn slow_calls_count_as_well() {
    let breaker = Breaker::new(small());
    for took_ms in [11, 11, 11] {
        assert_eq!(breaker.record(pass(&breaker, 0), false, took_ms, 0), None);
    }
    assert_eq!(breaker.record(pass(&breaker, 0), false, 10, 0), None, "not slow: three of four are less than all");
    assert_eq!(breaker.look().1, Counts { calls: 4, failed: 0, slow: 3 });
    let change = breaker.record(pass(&breaker, 0), false, 11, 0);
    assert_eq!(change, None, "the last four");
    let slow = policy(|policy| (policy.window, policy.min_calls, policy.slow_rate, policy.slow_ms) = (2, 1, 5_000, 10));
    let breaker = Breaker::new(slow);
    assert_eq!(breaker.record(pass(&breaker, 0), false, 11, 0).map(|change| change.to), Some(Phase::Open));
}

#[test]
fn what_cannot_be_kept_to_is_bounded() {
    let breaker = Breaker::new(policy(|policy| (policy.window, policy.min_calls, policy.trials) = (0, 500, 0)));
    let BreakerPolicy { window, min_calls, trials, .. } = breaker.policy();
    assert_eq!((*window, *min_calls, *trials), (1, 1, 1));
    let breaker = Breaker::new(policy(|policy| (policy.window, policy.failure_rate) = (u32::MAX, 0)));
    assert_eq!(breaker.policy().window, BreakerPolicy::MAX_WINDOW);
    for _ in 0..20_000 {
        assert_eq!(breaker.record(pass(&breaker, 0), false, 0, 0), None, "a rate of 0 is not reached by good calls");
    }
    assert_eq!(breaker.look().1.calls, BreakerPolicy::MAX_WINDOW);
}

/// The same, as it is told.
struct Model {
    policy: BreakerPolicy,
    phase: Phase,
    since_ms: u64,
    /// Of the calls: of which state they are.
    state: usize,
    ring: VecDeque<(bool, bool)>,
    begun: u32,
}

impl Model {
    fn enter(&mut self, phase: Phase, now_ms: u64) {
        (self.phase, self.since_ms, self.begun) = (phase, now_ms, 0);
        self.state += 1;
        self.ring.clear();
    }

    fn admit(&mut self, now_ms: u64) -> Option<usize> {
        if self.phase == Phase::Open && now_ms >= self.since_ms + self.policy.open_ms {
            self.enter(Phase::HalfOpen, now_ms);
        }
        match self.phase {
            Phase::Closed => Some(self.state),
            Phase::Open => None,
            Phase::HalfOpen if self.begun == self.policy.trials => None,
            Phase::HalfOpen => {
                self.begun += 1;
                Some(self.state)
            }
        }
    }

    fn release(&mut self, state: usize) {
        if self.phase == Phase::HalfOpen && state == self.state {
            self.begun -= 1;
        }
    }

    fn record(&mut self, state: usize, failed: bool, took_ms: u64, now_ms: u64) {
        if state != self.state {
            return;
        }
        let is_trial = self.phase == Phase::HalfOpen;
        let size = if is_trial { self.policy.trials } else { self.policy.window };
        let least = if is_trial { size } else { self.policy.min_calls.min(size) };
        self.ring.push_back((failed, took_ms > self.policy.slow_ms));
        if self.ring.len() > size as usize {
            self.ring.pop_front();
        }
        let calls = self.ring.len() as u32;
        if calls < least {
            return;
        }
        let failed = self.ring.iter().filter(|call| call.0).count() as u32;
        let slow = self.ring.iter().filter(|call| call.1).count() as u32;
        let is_reached =
            failed * 10_000 >= self.policy.failure_rate * calls || slow * 10_000 >= self.policy.slow_rate * calls;
        match (is_reached, is_trial) {
            (true, _) => self.enter(Phase::Open, now_ms),
            (false, true) => self.enter(Phase::Closed, now_ms),
            (false, false) => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    Record { which: usize, failed: bool, took_ms: u64 },
    Release { which: usize },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (any::<usize>(), any::<bool>(), 0..20_u64).prop_map(|(which, failed, took_ms)| Step::Record {
        which,
        failed,
        took_ms,
    });
    let step = prop_oneof![
        4 => Just(Step::Admit),
        4 => record,
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => (0..150_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn it_does_what_is_told_of_it(
        (window, min_calls, trials) in (1..8_u32, 1..10_u32, 1..5_u32),
        (failure_rate, slow_rate) in (1..=10_000_u32, 1..=10_000_u32),
        steps in steps(),
    ) {
        let policy = BreakerPolicy {
            window, min_calls, trials, failure_rate, slow_rate, is_timed: false, open_ms: 100, slow_ms: 10,
        };
        let breaker = Breaker::new(policy.clone());
        let mut model = Model { policy, phase: Phase::Closed, since_ms: 0, state: 0, ring: VecDeque::new(), begun: 0 };
        let (mut now_ms, mut passes) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Admit => {
                    let (pass, expected) = (breaker.admit(now_ms).pass, model.admit(now_ms));
                    prop_assert_eq!(pass.is_some(), expected.is_some());
                    passes.extend(pass.zip(expected));
                }
                _ if passes.is_empty() => {}
                Step::Record { which, failed, took_ms } => {
                    let (pass, state) = passes.swap_remove(which % passes.len());
                    breaker.record(pass, failed, took_ms, now_ms);
                    model.record(state, failed, took_ms, now_ms);
                }
                Step::Release { which } => {
                    let (pass, state) = passes.swap_remove(which % passes.len());
                    breaker.release(pass);
                    model.release(state);
                }
            }
            let (phase, counts) = breaker.look();
            prop_assert_eq!(phase, model.phase);
            if phase != Phase::Open {
                prop_assert_eq!(counts.calls as usize, model.ring.len());
            }
        }
    }

    /// Numbers of generations begin again; what is newer is known all the same.
    #[test]
    fn generations_begin_again(one in 0..=GENERATIONS, ahead in 1..=GENERATIONS / 2) {
        let other = one.wrapping_add(ahead) & GENERATIONS;
        prop_assert!(is_newer(other, one) && !is_newer(one, other) && !is_newer(one, one));
    }
}

/// No call is lost and none is counted twice, whoever comes at once.
#[test]
fn threads_count_each_call_once() {
    let breaker = Breaker::new(policy(|policy| (policy.window, policy.min_calls) = (10_000, 10_000)));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let breaker = &breaker;
            scope.spawn(move || {
                for call in 0..2_000_u64 {
                    let pass = pass(breaker, 0);
                    breaker.record(pass, (call + thread) % 4 == 0, 0, 0);
                }
            });
        }
    });
    assert_eq!(breaker.look().1, Counts { calls: 8_000, failed: 2_000, slow: 0 });
    // A short window that everybody writes to: still exact when all is quiet.
    let breaker = Breaker::new(policy(|policy| (policy.window, policy.min_calls, policy.failure_rate) = (3, 3, 0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let breaker = &breaker;
            scope.spawn(move || {
                for call in 0..5_000 {
                    breaker.record(pass(breaker, 0), call % 2 == 0, 0, 0);
                }
            });
        }
    });
    for _ in 0..3 {
        breaker.record(pass(&breaker, 0), true, 0, 0);
    }
    assert_eq!(breaker.look().1, Counts { calls: 3, failed: 3, slow: 0 });
}

/// Three seconds are judged, half of four calls may not fail.
fn timed() -> Breaker {
    Breaker::new(policy(|policy| {
        (policy.window, policy.is_timed, policy.min_calls, policy.trials) = (3, true, 4, 1);
        (policy.open_ms, policy.slow_ms) = (100, 10);
    }))
}

#[test]
fn a_window_of_time_forgets_second_by_second() {
    let breaker = timed();
    let call = |has_failed, now_ms| breaker.record(pass(&breaker, now_ms), has_failed, 0, now_ms);
    for (has_failed, now_ms, calls) in
        [(true, 0, 1), (true, 999, 2), (true, 2_999, 3), (false, 3_000, 2), (false, 5_500, 2), (true, 60_000, 1)]
    {
        assert_eq!(call(has_failed, now_ms), None, "{now_ms}");
        assert_eq!(breaker.look().1.calls, calls, "{now_ms}");
    }
    for now_ms in [60_100, 61_000] {
        assert_eq!(call(false, now_ms), None);
    }
    // Two of four within three seconds.
    let change = call(true, 62_900).expect("open");
    assert_eq!((change.to, change.counts), (Phase::Open, Counts { calls: 4, failed: 2, slow: 0 }));
    assert_eq!(breaker.look(), (Phase::Open, change.counts), "what it opened for");
    // One trial, whenever it ends; what was counted before is gone then, even within the same second.
    let trial = pass(&breaker, 63_000);
    assert_eq!(breaker.record(trial, false, 0, 63_001).map(|change| change.to), Some(Phase::Closed));
    assert_eq!(call(true, 63_002), None);
    assert_eq!(breaker.look().1, Counts { calls: 1, failed: 1, slow: 0 });
}

#[test]
fn windows_of_time_are_bounded() {
    let breaker =
        Breaker::new(policy(|policy| (policy.window, policy.is_timed, policy.min_calls) = (u32::MAX, true, 500)));
    assert_eq!((breaker.policy().window, breaker.policy().min_calls), (BreakerPolicy::MAX_SECONDS, 500));
}

proptest! {
    /// The same as a list of calls with their times.
    #[test]
    fn seconds_are_those_of_a_list(window in 1..6_u32, calls in prop::collection::vec((0..2_500_u64, any::<bool>(), 0..20_u64), 0..200)) {
        let breaker = Breaker::new(policy(|policy| {
            (policy.window, policy.is_timed, policy.failure_rate, policy.slow_rate) = (window, true, 0, 0);
            policy.slow_ms = 10;
        }));
        let (mut now_ms, mut list) = (0, Vec::new());
        for (wait_ms, has_failed, took_ms) in calls {
            now_ms += wait_ms;
            breaker.record(pass(&breaker, now_ms), has_failed, took_ms, now_ms);
            list.push((now_ms / 1_000, has_failed, took_ms > 10));
            let is_in = |(second, ..): &&(u64, bool, bool)| second + u64::from(window) > now_ms / 1_000;
            let count = |is_it: &dyn Fn(&(u64, bool, bool)) -> bool| list.iter().filter(is_in).filter(|call| is_it(call)).count() as u32;
            let expect = Counts { calls: count(&|_| true), failed: count(&|call| call.1), slow: count(&|call| call.2) };
            prop_assert_eq!(breaker.look().1, expect);
        }
    }
}

/// Within one second, none is lost and none counted twice; nor are those of a second that is gone counted again.
#[test]
fn threads_count_each_call_of_a_second_once() {
    let breaker = Breaker::new(policy(|policy| {
        (policy.window, policy.is_timed, policy.failure_rate) = (2, true, 0);
    }));
    for round in 0..50_u64 {
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let breaker = &breaker;
                scope.spawn(move || {
                    for call in 0..50_u64 {
                        breaker.record(pass(breaker, 0), (call + thread) % 2 == 0, 0, round * 2_000);
                    }
                });
            }
        });
        assert_eq!(breaker.look().1, Counts { calls: 200, failed: 100, slow: 0 }, "{round}");
    }
}
