//! The executor at a real scheduler, ratchjob, and beside Java's own executor. `make test-jobs` builds what it takes; the ports are
//! fixed, so the tests run one after the other.

mod chain;
mod java;
mod ratchjob;

use std::{fs, time::Duration};

use gray_core::balance::{Fallback, VersionPolicy};
use gray_xxl_job::{Executor, ExecutorBuilder, JobRules, Run, StopLimits};
use serde_json::json;
use tokio::sync::watch;

use crate::ratchjob::{Ratchjob, TOKEN, until};

const LIMIT: Duration = Duration::from_secs(60);

/// The executor `jobs-app` with the jobs that the tests run.
pub(crate) fn builder(scheduler: &str) -> ExecutorBuilder {
    Executor::builder("jobs-app")
        .scheduler(scheduler)
        .token(TOKEN)
        .bind(([127, 0, 0, 1], 0).into())
        .job("echo", async |run: Run| {
            run.log(format_args!("{:?} runs it", run.side()));
            Ok::<_, std::io::Error>(format!("rust {:?} {}", run.side(), run.params()))
        })
        .job("hang", async |_: Run| std::future::pending::<Result<String, std::io::Error>>().await)
}

pub(crate) fn quick() -> StopLimits {
    StopLimits::default().with_linger(Duration::ZERO).with_runs(Duration::ZERO)
}

fn rules(prod: &str, gray: &str) -> Option<JobRules> {
    Some(JobRules::new(VersionPolicy::new(true, prod, gray, Fallback::Prod)))
}

/// What a run has told: ratchjob keeps the message of a failed one, and that of one that succeeded is in the executor's log.
pub(crate) async fn told(scheduler: &Ratchjob, run: &serde_json::Value) -> String {
    let number = |key: &str| run[key].as_u64().expect("a number");
    match run["status"].as_str() {
        Some("SUCCESS") => scheduler.log(number("jobId"), number("taskId")).await,
        _ => run["callbackMessage"].as_str().unwrap_or_default().to_owned(),
    }
}

#[tokio::test]
#[ignore = "takes a scheduler: make test-jobs"]
async fn at_a_real_scheduler() {
    let scheduler = Ratchjob::start(22_010).await;
    let executor = builder(&scheduler.url()).start().await.expect("starts");
    let own = vec![format!("http://{}/", executor.local_addr())];
    until("registered", LIMIT, async || (scheduler.executors("jobs-app").await == own).then_some(())).await;

    // By the clock.
    let by_clock = scheduler
        .job("jobs-app", "echo", json!({"scheduleType": "INTERVAL", "intervalSecond": 1, "triggerParam": "tick"}))
        .await;
    for run in scheduler.ended(by_clock, 3).await {
        assert!(told(&scheduler, &run).await.contains("end: success: rust Baseline tick"), "{run}");
    }
    // By hand, with other parameters, and its log.
    let by_hand = scheduler.job("jobs-app", "echo", json!({})).await;
    scheduler.run(by_hand, "by hand").await;
    let run = scheduler.ended(by_hand, 1).await.remove(0);
    let log = told(&scheduler, &run).await;
    assert!(log.contains("Baseline runs it") && log.contains("end: success: rust Baseline by hand"), "{log}");

    // A timeout, an unknown job, a script.
    let slow = scheduler.job("jobs-app", "hang", json!({"timeoutSecond": 1})).await;
    scheduler.run(slow, "").await;
    let run = scheduler.ended(slow, 1).await.remove(0);
    assert_eq!(run["status"], "FAIL", "{run}");
    // ratchjob has a clock of its own, and says so first.
    let task = run["taskId"].as_u64().expect("a number");
    let is_told = async || scheduler.log(slow, task).await.contains("not done within 1 s").then_some(());
    until("the executor has stopped it", LIMIT, is_told).await;
    let unknown = scheduler.job("jobs-app", "nothing", json!({})).await;
    scheduler.run(unknown, "").await;
    let run = scheduler.ended(unknown, 1).await.remove(0);
    assert!(run["triggerMessage"].as_str().is_some_and(|text| text.contains("has no job `nothing`")), "{run}");
    let owned = std::env::temp_dir().join(format!("gray-xxl-job-{}", std::process::id()));
    let script = json!({"runMode": "GLUE_SHELL", "glueSource": format!("touch {}", owned.display())});
    let script = scheduler.job("jobs-app", "echo", script).await;
    scheduler.run(script, "").await;
    let run = scheduler.ended(script, 1).await.remove(0);
    assert!(run["triggerMessage"].as_str().is_some_and(|text| text.contains("runs no scripts")), "{run}");
    assert!(fs::metadata(owned).is_err(), "nothing was run");

    // A kill; ratchjob sends none, so it is sent as xxl-job's admin does.
    let hanging = scheduler.job("jobs-app", "hang", json!({})).await;
    scheduler.run(hanging, "").await;
    until("it runs", LIMIT, async || (executor.running() == 1).then_some(())).await;
    let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build().expect("a client");
    let kill = client.post(format!("{}kill", own[0])).header("XXL-JOB-ACCESS-TOKEN", TOKEN);
    assert!(kill.json(&json!({"jobId": hanging})).send().await.is_ok_and(|answer| answer.status() == 200));
    let run = scheduler.ended(hanging, 1).await.remove(0);
    assert!(told(&scheduler, &run).await.contains("stopped by the scheduler"), "{run}");

    let stopped = executor.stop(quick()).await;
    assert_eq!(stopped.unreported, 0);
    until("it has left", LIMIT, async || scheduler.executors("jobs-app").await.is_empty().then_some(())).await;
}

/// Two versions, a job of each group every second; V2 is promoted while they run.
#[tokio::test]
#[ignore = "takes a scheduler: make test-jobs"]
async fn a_promotion_at_a_real_scheduler() {
    let scheduler = Ratchjob::start(22_020).await;
    let (sender, followed) = watch::channel(rules("V1", "V2"));
    let start = async |version: &str| {
        builder(&scheduler.url()).version(version).rules(followed.clone()).start().await.expect("starts")
    };
    let (first, second) = (start("V1").await, start("V2").await);
    let at = |executor: &Executor, path: &str| vec![format!("http://{}/{path}", executor.local_addr())];
    let is_at = async |group: &str, expect: Vec<String>| {
        let what = format!("{group} at {expect:?}");
        until(&what, LIMIT, async || (scheduler.executors(group).await == expect).then_some(())).await;
    };
    is_at("jobs-app", at(&first, "")).await;
    is_at("jobs-app-gray", at(&second, "gray/")).await;
    let every_second = || json!({"scheduleType": "INTERVAL", "intervalSecond": 1});
    let ordinary = scheduler.job("jobs-app", "echo", every_second()).await;
    let gray = scheduler.job("jobs-app-gray", "echo", every_second()).await;
    for run in scheduler.ended(gray, 3).await {
        assert!(told(&scheduler, &run).await.contains("end: success: rust Gray "), "{run}");
    }
    scheduler.ended(ordinary, 3).await;
    // V3 is the next gray version, and no process has it yet.
    sender.send_replace(rules("V2", "V3"));
    is_at("jobs-app", at(&second, "")).await;
    is_at("jobs-app-gray", Vec::new()).await;
    let so_far = scheduler.runs(ordinary).await.len();
    let runs = scheduler.ended(ordinary, so_far + 3).await;
    let lost: Vec<_> = runs.iter().filter(|run| run["status"] != "SUCCESS").collect();
    assert!(lost.is_empty(), "ordinary runs that did not succeed: {lost:?}");
    let addresses: std::collections::BTreeSet<_> = runs.iter().filter_map(|run| run["instanceAddr"].as_str()).collect();
    assert_eq!(addresses.len(), 2, "first by V1, then by V2: {addresses:?}");
    first.stop(quick()).await;
    second.stop(quick()).await;
}
