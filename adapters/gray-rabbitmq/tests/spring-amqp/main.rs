//! Spring AMQP (`examples/spring-amqp`) and gray-rabbitmq on one exchange: `make test-spring`.

#[path = "../../../../tests/shared/java.rs"]
mod java;
#[path = "../../../../tests/shared/lane.rs"]
mod lane;
#[path = "../broker/server.rs"]
#[expect(dead_code, reason = "shared with other tests, which add virtual hosts")]
mod server;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gray_context::ReleaseContext;
use gray_core::Instance;
use gray_rabbitmq::{
    BoxError, Consumer, ConsumerOptions, ConsumerState, Exchange, Message, Outgoing, Producer, ProducerOptions, Role,
};
use tokio::time::{sleep, timeout};

use self::{
    java::Java,
    lane::{LANE, gray, rules},
    server::Server,
};

const LIMIT: Duration = Duration::from_secs(120);

type Handled = Arc<Mutex<Vec<String>>>;

/// audit-app, of this version; notes `V2 text`.
async fn audit(server: &Server, version: &'static str, role: Role, handled: &Handled) -> Consumer {
    let instance = Instance::new("127.0.0.1", 1).with_version(version);
    let mut options = ConsumerOptions::new(server.address(), "orders", "audit", "audit-app", instance);
    options.declare = Some(Exchange::Topic);
    options.routing_key = "order.viewed".to_owned();
    let (handled, rules) = (Arc::clone(handled), Arc::new(rules(false)));
    let handler = move |message: Message| {
        let line = format!("{version} {}", String::from_utf8_lossy(&message.payload));
        handled.lock().expect("no panic").push(line);
        async { Ok::<(), BoxError>(()) }
    };
    let consumer = Consumer::start(options, move || Some(Arc::clone(&rules)), handler).expect("options");
    let mut state = consumer.state();
    let expect = ConsumerState::Running { side: role.side(), is_standing_in: false };
    assert!(timeout(LIMIT, state.wait_for(|state| *state == expect)).await.is_ok(), "{version}");
    consumer
}

/// Waits until these were handled, and nothing else.
async fn are(handled: &Handled, expect: &[&str]) {
    let sorted = || {
        let mut handled = handled.lock().expect("no panic").clone();
        handled.sort();
        handled
    };
    let all = timeout(LIMIT, async {
        while sorted().len() < expect.len() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    all.await.unwrap_or_else(|_| panic!("{expect:?} expected, {:?} handled", sorted()));
    assert_eq!(sorted(), expect);
}

#[test]
#[ignore = "takes rabbitmq-server, Java and Maven: make test-spring"]
fn java_and_rust_leave_each_other_what_is_theirs() {
    let mut server = Server::new();
    server.start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        server.ready().await;
        let handled = Handled::default();
        let v1 = audit(&server, "V1", Role::Baseline, &handled).await;
        let v2 = audit(&server, "V2", Role::Gray, &handled).await;
        let start = |gray: bool| {
            let broker = format!("--spring.rabbitmq.addresses={}", server.uri().replace("/%2f", ""));
            let arguments = [broker, format!("--gray.enabled={gray}"), "--gray.standby-after=3s".to_owned()];
            Java::start("GRAY_SPRING_AMQP", "shop.ReportApp", &arguments)
        };
        let report_gray = start(true);
        report_gray.says(&["ready"], LIMIT);
        let mut report = start(false);
        report.says(&["ready"], LIMIT);
        report.tell("- - java-plain");
        report.tell("GRAY - java-tag");
        report.tell(&format!("GRAY {LANE} java-lane"));
        let options = ProducerOptions::new(server.address(), "orders");
        let producer = Producer::new(options, || Some(Arc::new(rules(false)))).expect("options");
        let publish = |context: ReleaseContext, text: &'static str| {
            context.scope(producer.publish(Outgoing::new("order.viewed", text)))
        };
        publish(ReleaseContext::default(), "rust-plain").await.expect("published");
        publish(gray(), "rust-lane").await.expect("published");
        report.says(&["handled java-plain", "handled rust-plain", "ready"], LIMIT);
        report_gray.says(&["handled java-lane", "handled java-tag", "handled rust-lane", "ready"], LIMIT);
        are(&handled, &["V1 java-plain", "V1 rust-plain", "V2 java-lane", "V2 java-tag", "V2 rust-lane"]).await;
        // No process of the gray version: the baseline of Java stands in.
        drop(report_gray);
        publish(gray(), "rust-alone").await.expect("published");
        report.says(&["handled java-plain", "handled rust-plain", "ready", "stood in rust-alone"], LIMIT);
        v1.stop().await;
        v2.stop().await;
    });
}
