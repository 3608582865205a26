//! xxl-job-core of Java: its client asks our executor, and its executor stands beside ours. `PEERS` has the class paths:
//! `2.4.1=/a.jar:/b.jar;3.2.0=...`.

use std::{collections::BTreeSet, env, process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::Command;

use crate::{
    LIMIT, builder, quick,
    ratchjob::{Ratchjob, TOKEN, until},
    told,
};

/// Version and class path.
fn peers() -> Vec<(String, String)> {
    let text = env::var("PEERS").expect("PEERS names class paths: make test-jobs sets it");
    let peers = text.split(';').filter_map(|part| part.split_once('='));
    peers.map(|(version, path)| (version.to_owned(), path.to_owned())).collect()
}

fn java(class_path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-cp", class_path, "Peer"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
#[ignore = "takes Java: make test-jobs"]
async fn asked_by_the_client_of_java() {
    for (version, class_path) in peers() {
        // No scheduler is there: what asks is Java's client of executors, which the scheduler of Java uses.
        let executor = builder("http://127.0.0.1:22030/").start().await.expect("starts");
        let at = format!("http://{}", executor.local_addr());
        until("it takes runs", LIMIT, async || executor.side().map(|_| ())).await;
        let output = java(&class_path, &["ask", &at, TOKEN]).stderr(Stdio::null()).output().await.expect("Java runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("xxl-job-core {version}:\n{told}");
        let lines: Vec<_> = told.lines().collect();
        let expect = [
            "beat 200",
            "idleBeat 200",
            "run 200",
            "log 1 3 true",
            "repeat 500",
            "hang 200",
            "busy 500",
            "kill 200",
            "glue 500 this executor runs no scripts",
            "token 500 The access token is wrong.",
        ];
        assert_eq!(lines.len(), expect.len(), "{version}: {told}");
        for (line, expect) in lines.iter().zip(expect) {
            assert!(line.starts_with(expect), "{version}: `{line}`, expected `{expect}`");
        }
        assert!(told.contains("parameters: from Java|"), "{told}");
        executor.stop(quick()).await;
    }
}

#[tokio::test]
#[ignore = "takes a scheduler: make test-jobs"]
async fn beside_the_executor_of_java() {
    for (place, (version, class_path)) in (0_u16..).zip(peers()) {
        // One each: a peer that is killed stays registered for a while.
        let scheduler = Ratchjob::start(22_040 + place).await;
        let logs = tempfile::tempdir().expect("a directory");
        let (port, logs) = ((22_050 + place).to_string(), logs.path().to_string_lossy().into_owned());
        let arguments = ["execute", &scheduler.url(), TOKEN, "jobs-app", &port, &logs];
        let mut peer =
            java(&class_path, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Java runs");
        let executor = builder(&scheduler.url()).start().await.expect("starts");
        let registered = async || (scheduler.executors("jobs-app").await.len() == 2).then_some(());
        until("both are registered", Duration::from_secs(120), registered).await;
        let job = scheduler.job("jobs-app", "echo", json!({"routerStrategy": "ROUND_ROBIN"})).await;
        for _ in 0..4 {
            scheduler.run(job, "x").await;
        }
        let runs = scheduler.ended(job, 4).await;
        assert!(runs.iter().all(|run| run["status"] == "SUCCESS"), "{version}: {runs:?}");
        let mut by = BTreeSet::new();
        for run in &runs {
            let log = told(&scheduler, run).await;
            by.extend(["java x", "rust Baseline x"].into_iter().filter(|text| log.contains(text)));
        }
        assert_eq!(by.len(), 2, "{version}: both run it, and report alike: {by:?}");
        println!("xxl-job-core {version}: runs by both executors");
        peer.kill().await.expect("ours");
        executor.stop(quick()).await;
    }
}
