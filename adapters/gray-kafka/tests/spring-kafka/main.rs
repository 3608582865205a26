//! Spring Kafka (`examples/spring-kafka`) and gray-kafka in one topic: `make test-spring`.

#[path = "../../../../tests/shared/java.rs"]
mod java;
#[path = "../../../../tests/shared/lane.rs"]
mod lane;
#[path = "../kafka-broker/server.rs"]
mod server;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gray_context::ReleaseContext;
use gray_core::{message::Phase, tag::VERSION_KEY};
use gray_kafka::{GrayConsumer, Message, Options};
use rdkafka::message::OwnedHeaders;

use self::{
    java::Java,
    lane::{LANE, gray, rules},
    server::{Server, config, send, until},
};

const LIMIT: Duration = Duration::from_secs(120);

/// audit-app, of this version; notes `V2 text`.
fn audit(server: &Server, version: &'static str, handled: &Arc<Mutex<Vec<String>>>) -> GrayConsumer {
    let metadata = [(VERSION_KEY, version)].into_iter().collect();
    let mut options = Options::new(config(&server.address()), "orders", "audit", "audit-app", metadata);
    options.grace = Duration::from_secs(3);
    let (handled, rules) = (Arc::clone(handled), Arc::new(rules(false)));
    let handler = move |message: Arc<Message>| {
        let line = format!("{version} {}", String::from_utf8_lossy(&message.payload));
        handled.lock().expect("no panic").push(line);
        async { Ok(()) }
    };
    GrayConsumer::start(options, move || Some(Arc::clone(&rules)), handler).expect("a consumer")
}

#[test]
#[ignore = "takes a broker, Java and Maven: make test-spring"]
fn java_and_rust_leave_each_other_what_is_theirs() {
    let server = Server::started();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(server.create("orders", 2));
    let handled: Arc<Mutex<Vec<String>>> = Arc::default();
    let (v1, v2) = runtime.block_on(async { (audit(&server, "V1", &handled), audit(&server, "V2", &handled)) });
    let start = |gray: bool| {
        let broker = format!("--spring.kafka.bootstrap-servers={}", server.address());
        Java::start("GRAY_SPRING_KAFKA", "shop.ReportApp", &[broker, format!("--gray.enabled={gray}")])
    };
    let (mut report, report_gray) = (start(false), start(true));
    until("gray messages are left to V2", LIMIT, || v1.phase() == Some(Phase::Live));
    report.tell("- - java-plain");
    report.tell("GRAY - java-tag");
    report.tell(&format!("GRAY {LANE} java-lane"));
    let producer = server.producer();
    for (context, text) in [(ReleaseContext::default(), "rust-plain"), (gray(), "rust-lane")] {
        let headers = context.enter(|| gray_kafka::headers(&rules(false), "orders", Some("V1"), OwnedHeaders::new()));
        runtime.block_on(send(&producer, "orders", text, headers));
    }
    report.says(&["handled java-plain", "handled rust-plain"], LIMIT);
    report_gray.says(&["handled java-lane", "handled java-tag", "handled rust-lane"], LIMIT);
    let sorted = || {
        let mut handled = handled.lock().expect("no panic").clone();
        handled.sort();
        handled
    };
    until("the Rust consumers have theirs", LIMIT, || sorted().len() >= 5);
    assert_eq!(sorted(), ["V1 java-plain", "V1 rust-plain", "V2 java-lane", "V2 java-tag", "V2 rust-lane"]);
    v1.stop();
    v2.stop();
}
