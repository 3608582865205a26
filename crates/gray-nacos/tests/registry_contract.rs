//! The suite that every registry passes, on Nacos, when `GRAY_TEST_NACOS=host:port` names a server (its gRPC port on that port
//! + 1000); without it that run is skipped, and says so.

mod operator;

use std::{sync::Arc, time::Duration};

use gray_core::Instance;
use gray_nacos::{NacosOptions, NacosRegistry};
use gray_registry::{Health, Registry, Space, contract};
use reqwest::Method;
use tokio::time::timeout;

/// Another namespace, another group, and both.
fn spaces() -> [Space; 3] {
    ["lane-a", "lane-a@blue", "@blue"].map(|text| text.parse().expect("a space"))
}

/// The server under test, if there is one.
fn nacos() -> Option<NacosOptions> {
    let mut options = operator::nacos()?;
    options.hold = Duration::from_secs(1);
    Some(options)
}

/// Unused before, whatever ran on this server.
fn unique(name: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    format!("{name}-{}-{now}", std::process::id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nacos_passes_the_contract() {
    let Some(options) = nacos() else { return };
    let inside = |space: &Space| -> Arc<dyn Registry> { NacosRegistry::connect(options.clone().in_space(space)) };
    contract::run(|| NacosRegistry::connect(options.clone()), &spaces(), inside, &unique("contract")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nacos_holds_what_vanishes_and_never_what_an_operator_switches_off() {
    let Some(mut options) = nacos() else { return };
    let hold = Duration::from_secs(4);
    options.hold = hold;
    let console = operator::Console::of(&options).await;
    let registry = NacosRegistry::connect(options);
    let mut health = registry.health();
    timeout(Duration::from_secs(10), health.wait_for(|health| *health == Health::Up))
        .await
        .expect("up")
        .expect("alive");
    let service = unique("hold");
    let (one, two) =
        (Instance::new("127.0.0.1", 7201).with_version("V1"), Instance::new("127.0.0.1", 7202).with_version("V2"));
    let mut state = registry.watch(&service);
    for instance in [&one, &two] {
        registry.register(&service, instance).await.expect("registered");
    }
    let patience = Duration::from_secs(20);
    let both = state.wait_for(|state| state.as_deref().is_some_and(|list| list.len() == 2));
    drop(timeout(patience, both).await.expect("both listed").expect("alive"));

    let paths = ["v1/ns/instance", "v3/admin/ns/instance"];
    // An operator switches the last V2 off: no longer a candidate, and well before a hold would end.
    let query = [
        ("serviceName", service.as_str()),
        ("ip", "127.0.0.1"),
        ("port", "7202"),
        ("ephemeral", "true"),
        ("enabled", "false"),
        ("metadata", "{\"version\":\"V2\"}"),
    ];
    let changed = std::time::Instant::now();
    assert_eq!(console.send(Method::PUT, paths, &query).await, "ok");
    let candidates = |list: &[Instance]| list.iter().filter(|instance| instance.is_candidate()).count();
    let off = state.wait_for(|state| state.as_deref().is_some_and(|list| candidates(list) == 1));
    drop(timeout(patience, off).await.expect("switched off").expect("alive"));
    assert!(changed.elapsed() < hold, "an operator's word counts at once, not after {:?}", changed.elapsed());

    let query = query.map(|(key, value)| if key == "enabled" { (key, "true") } else { (key, value) });
    assert_eq!(console.send(Method::PUT, paths, &query).await, "ok");
    let on = state.wait_for(|state| state.as_deref().is_some_and(|list| candidates(list) == 2));
    drop(timeout(patience, on).await.expect("switched on").expect("alive"));

    // The last V2 goes missing: kept for the hold, then let go.
    let gone = std::time::Instant::now();
    registry.deregister(&service, &two).await.expect("deregistered");
    let left = state.wait_for(|state| state.as_deref().is_some_and(|list| list.len() == 1));
    drop(timeout(patience, left).await.expect("let go").expect("alive"));
    assert!(gone.elapsed() >= hold, "let go after {:?}", gone.elapsed());
    registry.deregister(&service, &one).await.expect("deregistered");
}
