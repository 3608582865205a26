use proptest::prelude::*;

use super::*;

fn order(job: i64, log: i64, strategy: &str) -> Order {
    let executor_block_strategy = Some(strategy.to_owned()).filter(|name| !name.is_empty());
    let trigger = Trigger { job_id: job, log_id: log, executor_block_strategy, ..Trigger::default() };
    Order { trigger, side: Side::Baseline }
}

fn run(job: i64, log: i64) -> RunKey {
    RunKey { job, log, date: 0 }
}

/// The second run of a job, while the first runs and `waiting` others wait.
#[test]
fn strategies() {
    for (strategy, waiting, expect) in [
        ("SERIAL_EXECUTION", 0, Ok(Taken::Waits)),
        ("SERIAL_EXECUTION", 1, Ok(Taken::Waits)),
        ("SERIAL_EXECUTION", 2, Err(Refusal::QueueFull(2))),
        ("", 0, Ok(Taken::Waits)),
        ("SOMETHING_NEW", 0, Ok(Taken::Waits)),
        ("DISCARD_LATER", 0, Err(Refusal::Discarded)),
        ("DISCARD_LATER", 2, Err(Refusal::Discarded)),
        ("COVER_EARLY", 0, Ok(Taken::Covers { stop: run(1, 1), dropped: vec![] })),
        ("COVER_EARLY", 2, Ok(Taken::Covers { stop: run(1, 1), dropped: vec![run(1, 101), run(1, 102)] })),
    ] {
        let mut desk = Desk::new(Limits { waiting_of_job: 2, ..Limits::default() });
        assert_eq!(desk.offer(order(1, 1, strategy)), Ok(Taken::Start(order(1, 1, strategy))), "an idle job starts");
        for log in 0..waiting {
            assert_eq!(desk.offer(order(1, 101 + log, "SERIAL_EXECUTION")), Ok(Taken::Waits));
        }
        assert_eq!(desk.offer(order(1, 2, strategy)), expect, "{strategy:?} behind {waiting}");
        // No other job is concerned.
        assert_eq!(desk.offer(order(2, 3, strategy)), Ok(Taken::Start(order(2, 3, strategy))));
    }
}

#[test]
fn runs_of_a_job_start_one_after_the_other() {
    let mut desk = Desk::new(Limits::default());
    for log in 1..=3 {
        desk.offer(order(1, log, "")).expect("taken");
    }
    assert!(desk.is_busy(1));
    assert_eq!(desk.ended(run(1, 1), true), Some(order(1, 2, "")));
    assert_eq!(desk.ended(run(1, 1), true), None, "a run ends once");
    assert_eq!(desk.ended(run(1, 2), false), Some(order(1, 3, "")));
    assert_eq!(desk.ended(run(1, 3), true), None);
    assert!(!desk.is_busy(1));
}

#[test]
fn a_run_is_not_repeated_unless_it_failed() {
    let mut desk = Desk::new(Limits::default());
    let repeated = Err(Refusal::Repeated(1));
    desk.offer(order(1, 1, "")).expect("taken");
    assert_eq!(desk.offer(order(1, 1, "")), repeated, "it runs");
    desk.offer(order(1, 2, "")).expect("taken");
    assert_eq!(desk.offer(order(1, 2, "")), Err(Refusal::Repeated(2)), "it waits");
    desk.ended(run(1, 1), false);
    assert_eq!(desk.offer(order(1, 1, "")), Ok(Taken::Waits), "it failed: the scheduler may try again");
    desk.ended(run(1, 2), true);
    desk.ended(run(1, 1), true);
    assert_eq!(desk.offer(order(1, 1, "")), repeated, "it has succeeded");
    let mut of_another_time = order(1, 1, "");
    of_another_time.trigger.log_date_time = Some(5);
    assert!(desk.offer(of_another_time).is_ok(), "the number of another run, of a scheduler that counts anew");
}

#[test]
fn a_kill_ends_what_runs_and_what_waits() {
    let mut desk = Desk::new(Limits::default());
    assert_eq!(desk.kill(1), Killed::default());
    for log in 1..=3 {
        desk.offer(order(1, log, "")).expect("taken");
    }
    let killed = Killed { stop: Some(run(1, 1)), dropped: vec![run(1, 2), run(1, 3)] };
    assert_eq!(desk.kill(1), killed);
    assert!(desk.is_busy(1), "until it has ended");
    assert_eq!(desk.ended(run(1, 1), false), None);
    assert!(!desk.is_busy(1));
}

#[test]
fn there_is_room_for_so_much() {
    let mut desk = Desk::new(Limits { jobs: 2, waiting_of_job: 10, waiting: 3, ..Limits::default() });
    let busy = Err(Refusal::Busy(3, 2));
    for job in 1..=2 {
        desk.offer(order(job, 1, "")).expect("taken");
    }
    assert_eq!(desk.offer(order(3, 1, "")), busy, "a third job");
    for log in 2..=4 {
        desk.offer(order(1, log, "")).expect("taken");
    }
    assert_eq!(desk.offer(order(2, 2, "")), busy, "a fourth that waits");
    desk.kill(1);
    assert_eq!(desk.offer(order(2, 2, "")), Ok(Taken::Waits), "there is room again");
}

#[test]
fn parameters_of_runs_that_wait_are_bounded() {
    let with_params = |log: i64, bytes: usize| {
        let order = order(1, log, "");
        Order { trigger: Trigger { executor_params: Some("x".repeat(bytes)), ..order.trigger }, ..order }
    };
    let mut desk = Desk::new(Limits { bytes: 10_000, ..Limits::default() });
    assert!(desk.offer(with_params(1, 20_000)).is_ok(), "it does not wait");
    assert_eq!(desk.offer(with_params(2, 4_000)), Ok(Taken::Waits));
    assert_eq!(desk.offer(with_params(3, 4_000)), Ok(Taken::Waits));
    assert!(matches!(desk.offer(with_params(4, 4_000)), Err(Refusal::Heavy(bytes)) if bytes < 10_000));
    assert_eq!(desk.offer(with_params(4, 10)), Ok(Taken::Waits), "a small one has room");
    desk.ended(run(1, 1), true);
    assert_eq!(desk.offer(with_params(5, 4_000)), Ok(Taken::Waits), "one has started");
}

#[derive(Clone, Debug)]
enum Step {
    Offer(i64, i64, usize),
    End(i64, bool),
    Kill(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3_i64, 0..40_i64, 0..3_usize).prop_map(|(job, log, strategy)| Step::Offer(job, log, strategy)),
        3 => (0..3_i64, any::<bool>()).prop_map(|(job, good)| Step::End(job, good)),
        1 => (0..3_i64).prop_map(Step::Kill),
    ]
}

proptest! {
    /// Whatever happens: each run that was taken ends once, by running or by being dropped, and a job has one run at a time.
    #[test]
    fn nothing_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..200)) {
        let mut desk = Desk::new(Limits { jobs: 2, waiting_of_job: 3, waiting: 4, ..Limits::default() });
        let (mut taken, mut over) = (Vec::new(), Vec::new());
        let mut running: HashMap<i64, RunKey> = HashMap::new();
        let end = |desk: &mut Desk, running: &mut HashMap<i64, RunKey>, over: &mut Vec<RunKey>, job, good| {
            let Some(run) = running.remove(&job) else { return };
            over.push(run);
            running.extend(desk.ended(run, good).map(|next| (job, next.key())));
        };
        for step in steps {
            match step {
                Step::Offer(job, log, strategy) => {
                    let order = order(job, log, ["", "DISCARD_LATER", "COVER_EARLY"][strategy]);
                    let key = order.key();
                    match desk.offer(order) {
                        Ok(Taken::Start(order)) => prop_assert_eq!(running.insert(job, order.key()), None),
                        Ok(Taken::Waits) => prop_assert!(running.contains_key(&job)),
                        Ok(Taken::Covers { stop, dropped }) => {
                            prop_assert_eq!(running.get(&job), Some(&stop));
                            over.extend(dropped);
                        }
                        Err(_) => continue,
                    }
                    taken.push(key);
                }
                Step::End(job, good) => end(&mut desk, &mut running, &mut over, job, good),
                Step::Kill(job) => over.extend(desk.kill(job).dropped),
            }
            prop_assert!(desk.waiting <= 5 && desk.jobs.len() <= 2);
            let waiting = || desk.jobs.values().flat_map(|job| &job.queue);
            prop_assert_eq!(desk.waiting, waiting().count());
            prop_assert_eq!(desk.bytes, waiting().map(Order::bytes).sum::<usize>());
        }
        for job in 0..3 {
            while running.contains_key(&job) {
                end(&mut desk, &mut running, &mut over, job, true);
            }
        }
        prop_assert!(desk.jobs.is_empty());
        let sorted = |mut runs: Vec<RunKey>| {
            runs.sort_by_key(|run| (run.job, run.log));
            runs
        };
        prop_assert_eq!(sorted(taken), sorted(over));
    }
}
