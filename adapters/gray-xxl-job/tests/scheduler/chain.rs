//! A job on V2 calls order-app V2, which calls user-app V2; one on V1 stays on V1. All as processes; tags are signed, and a service
//! refuses those that are not.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    LIMIT,
    ratchjob::{Ratchjob, TOKEN, until},
    told,
};

const SETTINGS: &str = "\
kerwin.tool.gray:
  load: true
  version: {prodVersion: V1, grayVersion: V2}
  fallback: fail
  signing: {key: 0123456789abcdef0123456789abcdef, ttl: 10s, invalid: refuse}
";

/// `target/debug`
fn programs() -> PathBuf {
    let own = env::current_exe().expect("a path");
    own.ancestors().nth(2).expect("target/debug/deps/scheduler-1").to_owned()
}

fn start(program: &Path, version: &str, port: u16, dir: &Path, more: &[String]) -> Child {
    let mut command = Command::new(program);
    let port = port.to_string();
    command
        .args([
            "--service-version",
            version,
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--advertise",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("--registry-dir")
        .arg(dir.join("registry"))
        .arg("--config-dir")
        .arg(dir.join("config"))
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; make test-jobs builds it", program.display()))
}

#[tokio::test]
#[ignore = "takes a scheduler: make test-jobs"]
async fn a_run_takes_its_lane_down_the_chain() {
    let scheduler = Ratchjob::start(22_060).await;
    let dir = TempDir::new().expect("a directory");
    for name in ["registry", "config"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    fs::write(dir.path().join("config/common-config.yaml"), SETTINGS).expect("written");
    let programs = programs();
    let mut children = Vec::new();
    for (version, port) in [("V1", 22_070), ("V2", 22_080)] {
        children.push(start(&programs.join("user-app"), version, port, dir.path(), &[]));
        children.push(start(&programs.join("order-app"), version, port + 1, dir.path(), &[]));
        let jobs = [
            "--scheduler".to_owned(),
            scheduler.url(),
            "--token".to_owned(),
            TOKEN.to_owned(),
            "--jobs-bind".to_owned(),
            format!("127.0.0.1:{}", port + 3),
        ];
        children.push(start(&programs.join("examples/view_orders"), version, port + 2, dir.path(), &jobs));
    }
    for (group, at) in [("jobs-app", "http://127.0.0.1:22073/"), ("jobs-app-gray", "http://127.0.0.1:22083/gray/")] {
        until(group, LIMIT, async || (scheduler.executors(group).await == [at]).then_some(())).await;
    }
    for (group, version, user_port) in [("jobs-app", "V1", "22070"), ("jobs-app-gray", "V2", "22080")] {
        let users = scheduler.job(group, "viewUsers", json!({})).await;
        let orders = scheduler.job(group, "viewOrders", json!({})).await;
        // Until the files of the registry have been read by all.
        let run = until("the chain answers", LIMIT, async || {
            scheduler.run(orders, "N0001").await;
            let seen = scheduler.runs(orders).await.len();
            let runs = scheduler.ended(orders, seen.max(1)).await;
            runs.into_iter().find(|run| run["status"] == "SUCCESS")
        })
        .await;
        let text = told(&scheduler, &run).await;
        let is_right = text.contains(&format!(r#""metaVersion":"{version}""#))
            && text.contains(&format!("port={user_port}"))
            && text.contains(&format!("mateVersion={version}"));
        assert!(is_right, "a job of {group} is answered by {version} all the way: {text}");
        scheduler.run(users, "U0001,U0002").await;
        let run = scheduler.ended(users, 1).await.remove(0);
        let text = told(&scheduler, &run).await;
        let users = text.lines().last().map(|end| end.matches(&format!("mateVersion={version}")).count());
        assert_eq!(users, Some(2), "{text}");
    }
    for child in &mut children {
        child.kill().await.expect("ours");
    }
}
