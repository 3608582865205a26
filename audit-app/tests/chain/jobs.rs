//! A scheduled job through all of the chain: a run on V2 asks order-app V2, which asks user-app V2 and tells on RabbitMQ that the order
//! was viewed, and audit-app V2 keeps it; one on V1 stays on V1. Tags are signed, services refuse those that are not, and nothing
//! stands in for a version that is missing. Once with a scheduler inside the test, and once with a real one.

#[path = "../../../adapters/gray-xxl-job/tests/contract/admin.rs"]
#[expect(dead_code, reason = "the adapter's tests do more with it")]
mod admin;
#[path = "../../../adapters/gray-xxl-job/tests/scheduler/ratchjob.rs"]
mod ratchjob;

use std::{cell::Cell, fs};

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::{
    admin::{Admin, ask, trigger},
    ratchjob::Ratchjob,
};
use super::{LIMIT, Program, rabbitmq::Server};

const SETTINGS: &str = "\
kerwin.tool.gray:
  load: true
  version: {prodVersion: V1, grayVersion: V2}
  fallback: fail
  signing: {key: a secret of the chain, ttl: 10s, invalid: refuse}
";

/// How a run has ended: whether it has succeeded, and what it has told.
type Ended = (bool, String);

/// The programs of one version.
struct Version {
    audit: Program,
    order: Program,
    user: Program,
    _jobs: Program,
}

impl Version {
    fn start(folder: &TempDir, version: &str, amqp: &str, consumes: &str, scheduler: &str, token: &str) -> Self {
        let start = |name, more: &[&str]| Program::start(folder.path(), name, version, more);
        let audit = start("audit-app", &["--amqp", amqp]).consuming(consumes);
        let user = start("user-app", &[]).ready();
        let order = start("order-app", &["--amqp", amqp]).ready();
        let jobs = ["--scheduler", scheduler, "--token", token, "--jobs-bind", "127.0.0.1:0"];
        let jobs = start("examples/view_orders", &jobs).ready();
        Self { audit, order, user, _jobs: jobs }
    }
}

/// Runs the job `viewOrders` in a group of executors, with the number of an order, as `run` has a scheduler do it.
fn through_the_chain(
    runtime: &Runtime,
    server: &Server,
    scheduler: &str,
    token: &str,
    run: impl AsyncFn(&'static str, &'static str) -> Ended,
) {
    let folder = TempDir::new().expect("a folder");
    for name in ["config", "registry"] {
        fs::create_dir(folder.path().join(name)).expect("made");
    }
    fs::write(folder.path().join("config/common-config.yaml"), SETTINGS).expect("written");
    let start = |version, consumes| Version::start(&folder, version, &server.uri(), consumes, scheduler, token);
    let (v2, v1) = (start("V2", "gray"), start("V1", "baseline"));
    let runs = [("jobs-app", "N0001", "V1", &v1, "PROD"), ("jobs-app-gray", "N0002", "V2", &v2, "GRAY")];
    for (group, order_no, version, programs, tag) in runs {
        // Repeated until all have read the files of the registry: a run that fails publishes nothing.
        let told = programs.order.until("asked by a run that succeeds", |_| {
            let (is_success, told) = runtime.block_on(run(group, order_no));
            is_success.then_some(told)
        });
        let is_right = told.contains(&format!(r#""metaVersion":"{version}""#))
            && told.contains(&format!("mateVersion={version}"))
            && told.contains(&format!("port={}", programs.user.port));
        assert!(is_right, "a run for {group} is answered by {version} all the way: {told}");
        assert_eq!(programs.audit.audits(1), [(order_no.to_owned(), Some(tag.to_owned()))], "{group}");
    }
    // What is missing on the lane is missing: the other version does not take its place, and hears of nothing.
    let Version { audit, order, .. } = v2;
    drop(order);
    let (is_success, told) = runtime.block_on(run("jobs-app-gray", "N0002"));
    assert!(!is_success, "order-app V2 is gone: {told}");
    let (is_success, told) = runtime.block_on(run("jobs-app", "N0001"));
    assert!(is_success, "{told}");
    assert_eq!(v1.audit.audits(2)[1], ("N0001".to_owned(), Some("PROD".to_owned())));
    assert_eq!((v1.audit.audits(0).len(), audit.audits(0).len()), (2, 1), "each message came to one version");
}

fn stage() -> (Runtime, Server) {
    let mut server = Server::new();
    server.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server.ready());
    (runtime, server)
}

#[test]
#[ignore = "needs rabbitmq-server: make test-rabbitmq"]
fn a_run_takes_its_lane_through_calls_and_messages() {
    let (runtime, server) = stage();
    let admin = runtime.block_on(Admin::start());
    let log = Cell::new(0);
    through_the_chain(&runtime, &server, &admin.url(), admin::TOKEN, async |group, order_no| {
        let at = admin.executor(group).await;
        log.set(log.get() + 1);
        let taken = ask(&at, "run", &trigger(1, log.get(), "viewOrders", order_no, "SERIAL_EXECUTION", 30)).await;
        assert_eq!(taken["code"], 200, "{taken}");
        let (code, told) = admin.ended(log.get()).await;
        (code == 200, told)
    });
}

#[test]
#[ignore = "needs rabbitmq-server and a scheduler: make test-jobs"]
fn the_same_at_a_real_scheduler() {
    let (runtime, server) = stage();
    let scheduler = runtime.block_on(Ratchjob::start(22_090));
    through_the_chain(&runtime, &server, &scheduler.url(), ratchjob::TOKEN, async |group, order_no| {
        let listed = async || (!scheduler.executors(group).await.is_empty()).then_some(());
        ratchjob::until(group, LIMIT, listed).await;
        let job = scheduler.job(group, "viewOrders", json!({})).await;
        scheduler.run(job, order_no).await;
        let run = scheduler.ended(job, 1).await.remove(0);
        let task = run["taskId"].as_u64().expect("a number");
        let is_success = run["status"] == "SUCCESS";
        // ratchjob keeps what a failed run has told; of one that succeeded the executor's log has it.
        let told = if is_success { scheduler.log(job, task).await } else { run.to_string() };
        (is_success, told)
    });
}
