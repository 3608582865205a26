//! The executor on real sockets, with a scheduler inside the test that speaks the recorded wire format.

mod admin;
mod faults;
mod gray;
mod hostile;
mod stopping;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use gray_context::ReleaseContext;
use gray_xxl_job::{Executor, ExecutorBuilder, Run, StopLimits};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::admin::{Admin, TOKEN, ask, trigger};

/// What the handlers of the tests share.
#[derive(Default)]
struct Stage {
    /// Runs that have begun.
    begun: AtomicUsize,
    /// Runs that have ended by themselves.
    done: Mutex<Vec<i64>>,
}

/// Handlers that do what tests need, on a free port of loopback. `hold` waits for a permit of the gate.
fn builder(admin: &Admin, gate: &Arc<Semaphore>, stage: &Arc<Stage>) -> ExecutorBuilder {
    let (gate, stage) = (Arc::clone(gate), Arc::clone(stage));
    Executor::builder("jobs-app")
        .scheduler(admin.url())
        .token(TOKEN)
        .bind(([127, 0, 0, 1], 0).into())
        .job("echo", async |run: Run| {
            let shard = run.shard();
            run.log("one\ntwo");
            let tag = ReleaseContext::current().tag;
            Ok::<_, std::io::Error>(format!("{} {}/{} {tag:?}", run.params(), shard.index, shard.total))
        })
        .job("hold", move |run: Run| {
            let (gate, stage) = (Arc::clone(&gate), Arc::clone(&stage));
            async move {
                stage.begun.fetch_add(1, Relaxed);
                gate.acquire().await?.forget();
                stage.done.lock().expect("no panic inside").push(run.log_id());
                Ok::<_, tokio::sync::AcquireError>("held".to_owned())
            }
        })
        .job("fail", async |_: Run| Err::<String, _>(std::io::Error::other("the disk is full")))
        .job("panic", |run: Run| -> std::future::Ready<Result<String, std::io::Error>> {
            panic!("run {} went wrong", run.log_id())
        })
        .job("hang", async |_: Run| std::future::pending::<Result<String, std::io::Error>>().await)
}

/// A scheduler, an executor that it knows, and where that is.
async fn stage() -> (Admin, Executor, String, Arc<Semaphore>, Arc<Stage>) {
    let (admin, gate, stage) = (Admin::start().await, Arc::new(Semaphore::new(0)), Arc::new(Stage::default()));
    let executor = builder(&admin, &gate, &stage).start().await.expect("starts");
    let at = admin.executor("jobs-app").await;
    (admin, executor, at, gate, stage)
}

fn quick() -> StopLimits {
    StopLimits::default().with_linger(Duration::ZERO)
}

#[tokio::test]
async fn the_whole_protocol() {
    let (admin, executor, at, ..) = stage().await;
    assert_eq!(at, format!("http://{}/", executor.local_addr()));
    let success = json!({"code": 200, "msg": null, "content": null});
    assert_eq!(ask(&at, "beat", &json!("")).await, success);
    assert_eq!(ask(&at, "idleBeat", &json!({"jobId": 1})).await, success);
    assert_eq!(ask(&at, "run", &trigger(1, 11, "echo", "hello", "SERIAL_EXECUTION", 0)).await, success);
    assert_eq!(admin.ended(11).await, (200, "hello 0/1 Some(All)".into()));
    let mut shard = trigger(1, 12, "echo", "x", "", 0);
    (shard["broadcastIndex"], shard["broadcastTotal"]) = (json!(2), json!(5));
    assert_eq!(ask(&at, "run", &shard).await, success);
    assert_eq!(admin.ended(12).await, (200, "x 2/5 Some(All)".into()));
    let log = ask(&at, "log", &json!({"logDateTim": 1_764_400_000_000_i64, "logId": 11, "fromLineNum": 1})).await;
    let content = &log["content"];
    assert_eq!(
        (&content["fromLineNum"], &content["toLineNum"], &content["isEnd"]),
        (&json!(1), &json!(4), &json!(true))
    );
    assert!(content["logContent"].as_str().is_some_and(|text| text.contains("one\ntwo\n")), "{content}");
    let rest = ask(&at, "log", &json!({"logDateTim": 0, "logId": 11, "fromLineNum": 4})).await;
    assert!(rest["content"]["logContent"].as_str().is_some_and(|text| text.contains("end: success")), "{rest}");
    assert_eq!(ask(&at, "kill", &json!({"jobId": 1})).await, success);
    assert_eq!(admin.reports(11), 1);
    let stopped = executor.stop(quick()).await;
    assert_eq!((stopped.cut, stopped.unreported), (0, 0));
    assert_eq!(admin.tell(|known| known.executors.len()), 0, "it took its registration back");
}

#[tokio::test]
async fn block_strategies() {
    let (admin, executor, at, gate, stage) = stage().await;
    let run = async |log: i64, strategy: &str| {
        ask(&at, "run", &trigger(1, log, "hold", "", strategy, 0)).await["code"].clone()
    };
    assert_eq!(run(1, "SERIAL_EXECUTION").await, 200);
    assert_eq!(ask(&at, "idleBeat", &json!({"jobId": 1})).await["code"], 500);
    assert_eq!(ask(&at, "idleBeat", &json!({"jobId": 2})).await["code"], 200);
    assert_eq!(run(1, "SERIAL_EXECUTION").await, 500, "the same run again");
    assert_eq!(run(2, "SERIAL_EXECUTION").await, 200);
    assert_eq!(run(3, "DISCARD_LATER").await, 500);
    assert_eq!(stage.begun.load(Relaxed).max(1), 1, "one at a time");
    gate.add_permits(2);
    assert_eq!((admin.ended(1).await.0, admin.ended(2).await.0), (200, 200));
    assert_eq!(*stage.done.lock().expect("whole"), [1, 2], "in order");
    // A later one takes the place of the one that runs and of the one that waits.
    assert_eq!(run(4, "SERIAL_EXECUTION").await, 200);
    assert_eq!(run(5, "SERIAL_EXECUTION").await, 200);
    assert_eq!(run(6, "COVER_EARLY").await, 200);
    for log in [4, 5] {
        let (code, message) = admin.ended(log).await;
        assert!(code == 500 && message.contains("COVER_EARLY"), "{log}: {code} {message}");
    }
    gate.add_permits(1);
    assert_eq!(admin.ended(6).await, (200, "held".into()));
    assert_eq!(*stage.done.lock().expect("whole"), [1, 2, 6]);
    // All were reported, once.
    for log in [1, 2, 4, 5, 6] {
        assert_eq!(admin.reports(log), 1, "run {log}");
    }
    executor.stop(quick()).await;
}

#[tokio::test]
async fn a_kill_stops_what_runs_and_what_waits() {
    let (admin, executor, at, gate, stage) = stage().await;
    for log in [1, 2] {
        assert_eq!(ask(&at, "run", &trigger(1, log, "hold", "", "", 0)).await["code"], 200);
    }
    assert_eq!(ask(&at, "run", &trigger(2, 3, "hold", "", "", 0)).await["code"], 200);
    assert_eq!(ask(&at, "kill", &json!({"jobId": 1})).await["code"], 200);
    for log in [1, 2] {
        let (code, message) = admin.ended(log).await;
        assert!(code == 500 && message.contains("stopped by the scheduler"), "{log}: {code} {message}");
    }
    gate.add_permits(1);
    assert_eq!(admin.ended(3).await.0, 200, "another job goes on");
    assert_eq!(*stage.done.lock().expect("whole"), [3]);
    executor.stop(quick()).await;
}

#[tokio::test]
async fn handlers_that_fail_panic_or_hang_stop_no_other() {
    let (admin, executor, at, ..) = stage().await;
    for (job, handler, timeout) in [(1, "hang", 1), (2, "panic", 0), (3, "fail", 0), (4, "echo", 1)] {
        let taken = ask(&at, "run", &trigger(job, job, handler, "hi", "", timeout)).await;
        assert_eq!(taken["code"], 200, "{handler}: {taken}");
    }
    assert_eq!(admin.ended(4).await, (200, "hi 0/1 Some(All)".into()));
    assert_eq!(admin.ended(3).await, (500, "the disk is full".into()));
    assert_eq!(admin.ended(2).await, (500, "the handler panicked: run 2 went wrong".into()));
    assert_eq!(admin.ended(1).await, (502, "not done within 1 s: stopped".into()));
    // Each job runs again.
    for (job, handler) in [(1, "echo"), (2, "echo"), (3, "echo")] {
        assert_eq!(ask(&at, "run", &trigger(job, 10 + job, handler, "hi", "", 0)).await["code"], 200);
        assert_eq!(admin.ended(10 + job).await.0, 200);
    }
    executor.stop(quick()).await;
}

#[tokio::test]
async fn what_runs_may_end_when_the_executor_stops() {
    let (admin, executor, at, gate, _) = stage().await;
    assert_eq!(ask(&at, "run", &trigger(1, 1, "hold", "", "", 0)).await["code"], 200);
    assert_eq!(ask(&at, "run", &trigger(2, 2, "hang", "", "", 0)).await["code"], 200);
    gate.add_permits(1);
    let stopped = executor.stop(quick().with_runs(Duration::from_secs(1))).await;
    assert_eq!((stopped.cut, stopped.unreported), (1, 0));
    assert_eq!(admin.ended(1).await.0, 200);
    let (code, message) = admin.ended(2).await;
    assert!(code == 500 && message.contains("the executor stops"), "{code} {message}");
}
