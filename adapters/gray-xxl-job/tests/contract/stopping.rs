//! Executors that stop, in order and not, while runs go on and wait.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use gray_xxl_job::{Executor, Run, StopLimits};
use serde_json::json;
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use crate::{
    Stage,
    admin::{Admin, DEADLINE, ask, trigger},
    builder, quick, stage,
};

/// Waits until no job runs.
async fn idle(executor: &Executor) {
    let begun = Instant::now();
    while executor.running() > 0 {
        assert!(begun.elapsed() < DEADLINE, "still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn ends_that_cannot_be_told_are_counted() {
    let (admin, executor, at, ..) = stage().await;
    admin.stop().await;
    for log in 1..=3 {
        assert_eq!(ask(&at, "run", &trigger(log, log, "echo", "x", "", 0)).await["code"], 200);
    }
    idle(&executor).await;
    let mut limits = quick();
    limits.reports = Duration::from_millis(200);
    let stopped = timeout(DEADLINE, executor.stop(limits)).await.expect("it does not wait for a scheduler for ever");
    assert_eq!((stopped.cut, stopped.unreported), (0, 3));
}

#[tokio::test]
async fn what_waits_does_not_start_any_more_and_is_reported() {
    let (admin, executor, at, gate, stage) = stage().await;
    for log in 1..=4 {
        assert_eq!(ask(&at, "run", &trigger(1, log, "hold", "", "", 0)).await["code"], 200);
    }
    let stopped = executor.stop(quick().with_runs(Duration::ZERO)).await;
    assert_eq!((stopped.cut, stopped.unreported), (1, 0));
    for log in 1..=4 {
        let (code, message) = admin.ended(log).await;
        assert!(code == 500 && message.contains("the executor stops"), "{log}: {code} {message}");
        assert_eq!((message.contains("was not started"), admin.reports(log)), (log > 1, 1), "{log}: {message}");
    }
    gate.add_permits(4);
    assert!(stage.begun.load(Relaxed) <= 1 && stage.done.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn runs_are_taken_until_schedulers_have_heard_and_then_no_more() {
    let (admin, executor, at, gate, _) = stage().await;
    assert_eq!(ask(&at, "run", &trigger(1, 1, "hold", "", "", 0)).await["code"], 200);
    let stopping = gray_context::spawn(executor.stop(StopLimits::default()));
    admin.until("it has left", |known| known.executors.is_empty().then_some(())).await;
    assert_eq!(
        ask(&at, "run", &trigger(2, 2, "echo", "late", "", 0)).await["code"],
        200,
        "a scheduler may not know yet"
    );
    let begun = Instant::now();
    while ask(&at, "beat", &json!("")).await["code"] == 200 {
        assert!(begun.elapsed() < DEADLINE, "still taking runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = ask(&at, "run", &trigger(3, 3, "echo", "too late", "", 0)).await;
    assert!(
        refused["code"] == 500 && refused["msg"].as_str().is_some_and(|text| text.contains("is stopping")),
        "{refused}"
    );
    gate.add_permits(1);
    let stopped = timeout(DEADLINE, stopping).await.expect("in time").expect("no panic");
    assert_eq!((stopped.cut, stopped.unreported), (0, 0));
    assert_eq!((admin.ended(1).await.0, admin.ended(2).await.0, admin.reports(3)), (200, 200, 0));
}

/// Ends with the future that it is in.
struct Guard(Arc<Semaphore>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn dropped_it_ends_with_its_runs() {
    let (admin, begun, ended) = (Admin::start().await, Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (on_begin, on_end) = (Arc::clone(&begun), Arc::clone(&ended));
    let executor =
        builder(&admin, &Arc::new(Semaphore::new(0)), &Arc::new(Stage::default())).job("guard", move |_: Run| {
            let (begun, guard) = (Arc::clone(&on_begin), Guard(Arc::clone(&on_end)));
            async move {
                let _guard = guard;
                begun.add_permits(1);
                std::future::pending::<Result<String, std::io::Error>>().await
            }
        });
    let executor = executor.start().await.expect("starts");
    let (address, at) = (executor.local_addr(), admin.executor("jobs-app").await);
    for log in 1..=2 {
        assert_eq!(ask(&at, "run", &trigger(1, log, "guard", "", "", 0)).await["code"], 200);
    }
    timeout(DEADLINE, begun.acquire()).await.expect("in time").expect("open").forget();
    drop(executor);
    timeout(DEADLINE, ended.acquire()).await.expect("its run has ended").expect("open").forget();
    let since = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(since.elapsed() < DEADLINE, "still listening");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(begun.available_permits(), 0, "the one that waited was not started");
}
