//! Schedulers that are away, slow to start, or say no.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use gray_xxl_job::{Executor, Run, StartError};
use serde_json::json;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    Stage,
    admin::{Admin, TOKEN, ask, trigger},
    builder, quick, stage,
};

/// A port on which nothing listens.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port")
}

#[tokio::test]
async fn ends_of_runs_outlive_an_outage_of_the_scheduler() {
    let (admin, executor, at, ..) = stage().await;
    let address = admin.address;
    admin.stop().await;
    for log in 1..=3 {
        assert_eq!(ask(&at, "run", &trigger(log, log, "echo", "x", "", 0)).await["code"], 200, "it needs no scheduler");
    }
    let back = Admin::start_at(address).await;
    back.tell(|known| known.failures = 2);
    for log in 1..=3 {
        assert_eq!(back.ended(log).await.0, 200);
        assert_eq!(back.reports(log), 1, "run {log}");
    }
    let stopped = executor.stop(quick()).await;
    assert_eq!(stopped.unreported, 0);
}

#[tokio::test]
async fn it_starts_before_the_scheduler_does_and_asks_all_of_its_addresses() {
    let (dead, later) = (free().await, free().await);
    let first = Admin::start().await;
    let executor = builder(&first, &Arc::new(Semaphore::new(0)), &Arc::new(Stage::default()));
    first.stop().await;
    let executor =
        executor.scheduler(format!("http://{dead}/xxl-job-admin")).scheduler(format!("http://{later}/xxl-job-admin/"));
    let executor = executor.start().await.expect("starts");
    let admin = Admin::start_at(later).await;
    let at = admin.executor("jobs-app").await;
    assert_eq!(ask(&at, "run", &trigger(1, 1, "echo", "x", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(1).await.0, 200);
    executor.stop(quick()).await;
}

#[tokio::test]
async fn a_scheduler_that_stops_answering_hears_of_it_later() {
    let (admin, executor, at, ..) = stage().await;
    admin.tell(|known| known.is_hanging = true);
    let before = admin.tell(|known| known.requests);
    assert_eq!(ask(&at, "run", &trigger(1, 1, "echo", "x", "", 0)).await["code"], 200);
    admin.until("it was told", |known| (known.requests > before).then_some(())).await;
    assert_eq!(ask(&at, "run", &trigger(2, 2, "echo", "x", "", 0)).await["code"], 200, "nothing waits for it");
    admin.tell(|known| known.is_hanging = false);
    for log in [1, 2] {
        assert_eq!(admin.ended(log).await.0, 200);
        assert_eq!(admin.reports(log), 1, "run {log}");
    }
    executor.stop(quick()).await;
}

/// It cannot be stopped: it is reported in time, and no other run of its job starts beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_its_thread_holds_up_its_own_job_alone() {
    let (admin, gate, stage) = (Admin::start().await, Arc::new(Semaphore::new(0)), Arc::new(Stage::default()));
    let (release, held) = mpsc::channel::<()>();
    let (held, inside, most) =
        (Arc::new(Mutex::new(held)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let executor = builder(&admin, &gate, &stage).job("block", move |_: Run| {
        let (held, inside, most) = (Arc::clone(&held), Arc::clone(&inside), Arc::clone(&most));
        async move {
            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            let released = held.lock().expect("no panic inside").recv();
            inside.fetch_sub(1, SeqCst);
            released.map(|()| "released".to_owned())
        }
    });
    let executor = executor.start().await.expect("starts");
    let at = admin.executor("jobs-app").await;
    assert_eq!(ask(&at, "run", &trigger(1, 1, "block", "", "", 1)).await["code"], 200);
    assert_eq!(admin.ended(1).await, (502, "not done within 1 s: stopped".into()));
    assert_eq!(ask(&at, "run", &trigger(1, 2, "block", "", "", 0)).await["code"], 200, "it waits");
    assert_eq!(ask(&at, "idleBeat", &json!({"jobId": 1})).await["code"], 500, "the job is not idle");
    assert_eq!(ask(&at, "run", &trigger(2, 3, "echo", "x", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(3).await.0, 200, "another job");
    for _ in 0..2 {
        release.send(()).expect("is waited for");
    }
    assert_eq!(admin.ended(2).await, (200, "released".into()));
    assert_eq!((seen.load(SeqCst), admin.reports(1)), (1, 1), "one at a time, and each reported once");
    executor.stop(quick()).await;
}

#[tokio::test]
async fn one_report_that_is_refused_does_not_hold_up_the_others() {
    let (admin, executor, at, gate, _) = stage().await;
    admin.tell(|known| known.poison = Some(2));
    for log in 1..=3 {
        assert_eq!(ask(&at, "run", &trigger(log, log, "hold", "", "", 0)).await["code"], 200);
    }
    gate.add_permits(3);
    assert_eq!((admin.ended(1).await.0, admin.ended(3).await.0), (200, 200));
    admin.tell(|known| known.poison = None);
    assert_eq!(admin.ended(2).await.0, 200);
    executor.stop(quick()).await;
}

#[tokio::test]
async fn what_must_not_start_does_not() {
    let starts = async |builder: gray_xxl_job::ExecutorBuilder| builder.start().await.map(|_| ());
    let named = || Executor::builder("jobs-app").scheduler("http://127.0.0.1:1/");
    let open = || named().bind(([0, 0, 0, 0], 0).into());
    assert!(matches!(starts(open()).await, Err(StartError::TokenMissing { .. })));
    assert!(matches!(starts(open().token(" ")).await, Err(StartError::TokenMissing { .. })));
    assert!(matches!(starts(open().token("default_token")).await, Err(StartError::TokenKnown { .. })));
    assert!(matches!(starts(open().token(TOKEN)).await, Err(StartError::Unadvertised { .. })));
    let local = || named().bind(([127, 0, 0, 1], 0).into());
    assert!(matches!(starts(local().scheduler("https://x/")).await, Err(StartError::Admin { .. })));
    let job = async |_: gray_xxl_job::Run| Ok::<_, std::io::Error>(String::new());
    assert!(matches!(starts(local().job("a", job).job("a", job)).await, Err(StartError::Duplicate { .. })));
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound");
    assert!(matches!(starts(named().bind(address)).await, Err(StartError::Bind { .. })));
    assert!(starts(local()).await.is_ok(), "on loopback no token is needed");
}

#[tokio::test]
async fn scripts_are_refused_and_unknown_jobs_too() {
    let (_admin, executor, at, ..) = stage().await;
    for glue in [json!("GLUE_SHELL"), json!("GLUE_GROOVY"), json!("GLUE_PYTHON"), json!("bean"), json!(null)] {
        let mut script = trigger(1, 1, "echo", "", "", 0);
        (script["glueType"], script["glueSource"]) = (glue, json!("touch /tmp/owned"));
        let answer = ask(&at, "run", &script).await;
        let told = answer["msg"].as_str().unwrap_or_default();
        assert!(answer["code"] == 500 && told.contains("runs no scripts"), "{answer}");
    }
    let answer = ask(&at, "run", &trigger(1, 1, "nothing", "", "", 0)).await;
    assert_eq!((&answer["code"], &answer["msg"]), (&json!(500), &json!("this executor has no job `nothing`")));
    executor.stop(quick()).await;
}
