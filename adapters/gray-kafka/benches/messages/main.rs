//! What gray-kafka costs beside the bare client, on a real broker: `make bench-messages`. Without a broker to start it does nothing.
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../../../../tests/shared/lane.rs"]
mod lane;
#[path = "../../../../tests/shared/measure.rs"]
mod measure;
#[path = "../../tests/kafka-broker/server.rs"]
#[expect(dead_code, reason = "shared with the tests, which kill it")]
mod server;

use std::{
    collections::VecDeque,
    env,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use gray_context::{MessageRules, ReleaseContext};
use gray_core::tag::VERSION_KEY;
use gray_kafka::{GrayConsumer, Message, Options};
use metrics_exporter_prometheus::PrometheusBuilder;
use rdkafka::{
    Message as _,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};

use self::{
    lane::{gray, rules},
    measure::{Meter, compare, way},
    server::{Server, config},
};

/// Where the broker is, and the group to consume with.
const ENV: [&str; 2] = ["GRAY_BENCH_BROKER", "GRAY_BENCH_GROUP"];
const MESSAGES: u64 = 60_000;
/// Messages that are sent without waiting for their confirmation.
const IN_FLIGHT: usize = 1000;

/// Every third message is one of a gray request.
fn context(number: u64) -> ReleaseContext {
    if number.is_multiple_of(3) { gray() } else { ReleaseContext::default() }
}

fn headers() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "content-type", value: Some("text/plain") })
}

/// `rules`: `None` for messages with their own headers alone.
async fn send(address: &str, topic: &str, rules: Option<&MessageRules>, meter: &Meter) {
    let producer: rdkafka::producer::FutureProducer =
        config(address).set("linger.ms", "5").create().expect("a producer");
    let payload = "x".repeat(200);
    let mut waiting = VecDeque::new();
    for number in 0..MESSAGES {
        let headers = match rules {
            Some(rules) => context(number).enter(|| gray_kafka::headers(rules, topic, Some("V1"), headers())),
            None => headers(),
        };
        let key = number.to_string();
        let record = FutureRecord::to(topic).payload(&payload).key(&key).headers(headers);
        waiting.push_back(producer.send_result(record).map_err(|(error, _)| error).expect("room for it"));
        if waiting.len() >= IN_FLIGHT
            && let Some(first) = waiting.pop_front()
        {
            first.await.expect("not cancelled").map_err(|(error, _)| error).expect("confirmed");
        }
        meter.count();
    }
    for one in waiting {
        one.await.expect("not cancelled").map_err(|(error, _)| error).expect("confirmed");
    }
}

/// As an application without gray release would do it: handles in the loop that reads, commits every second.
async fn bare(address: &str, group: &str, meter: &Meter) {
    let mut config = config(address);
    config.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("partition.assignment.strategy", "cooperative-sticky");
    let consumer: StreamConsumer = config.create().expect("a consumer");
    consumer.subscribe(&["orders"]).expect("subscribed");
    let mut committed = Instant::now();
    loop {
        let Ok(message) = consumer.recv().await else { continue };
        black_box(message.payload());
        meter.count();
        if committed.elapsed() > Duration::from_secs(1) {
            consumer.commit_consumer_state(CommitMode::Sync).expect("committed");
            committed = Instant::now();
        }
    }
}

fn adapter(address: &str, group: &str, version: &str, is_signed: bool, meter: &Arc<Meter>) -> GrayConsumer {
    let metadata = [(VERSION_KEY, version)].into_iter().collect();
    let options = Options::new(config(address), "orders", group, "audit-app", metadata);
    let (rules, meter) = (Arc::new(rules(is_signed)), Arc::clone(meter));
    let handler = move |message: Arc<Message>| {
        black_box(&message.payload);
        meter.count();
        async { Ok(()) }
    };
    GrayConsumer::start(options, move || Some(Arc::clone(&rules)), handler).expect("a consumer")
}

/// One way, in this process.
async fn measured(way: &str) {
    // As a service has one: counting costs what it costs there.
    PrometheusBuilder::new().install_recorder().expect("none was there");
    let [address, group] = ENV.map(|name| env::var(name).unwrap_or_else(|_| panic!("{name} is missing")));
    let meter = Arc::new(Meter::new(MESSAGES));
    match way {
        "send, bare" => send(&address, "sent", None, &meter).await,
        "send, adapter" => send(&address, "sent", Some(&rules(false)), &meter).await,
        "send, adapter, signed" => send(&address, "sent", Some(&rules(true)), &meter).await,
        "consume, bare" => {
            tokio::select! {
                () = bare(&address, &group, &meter) => {}
                () = meter.finish() => {}
            }
            return;
        }
        "consume, adapter" | "consume, adapter, signed" => {
            let consumer = adapter(&address, &group, "V1", way.ends_with("signed"), &meter);
            meter.finish().await;
            return consumer.stop();
        }
        // Each group reads everything: this is what both processes take together.
        "consume, adapter, both versions" => {
            let gray = adapter(&address, &group, "V2", false, &meter);
            // Its group takes a moment to form: what the baseline reads before that stays with the baseline.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let baseline = adapter(&address, &group, "V1", false, &meter);
            meter.finish().await;
            baseline.stop();
            return gray.stop();
        }
        other => panic!("no way to measure: {other}"),
    }
    meter.finish().await;
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let Some(way) = way() {
        return runtime.block_on(measured(&way));
    }
    if env::var_os("GRAY_KAFKA_LIB").is_none() {
        return println!("gray-kafka: not measured without a broker: make bench-messages");
    }
    let server = Server::started();
    runtime.block_on(async {
        server.create("orders", 6).await;
        server.create("sent", 6).await;
        send(&server.address(), "orders", Some(&rules(true)), &Meter::new(MESSAGES)).await;
    });
    println!("{MESSAGES} messages of 200 bytes in 6 partitions, every third one gray");
    let variables = |way: &str, round| {
        let group = format!("{}-{round}", way.replace([',', ' '], "-"));
        ENV.into_iter().zip([server.address(), group]).collect()
    };
    compare(&["send, bare", "send, adapter", "send, adapter, signed"], variables);
    compare(
        &["consume, bare", "consume, adapter", "consume, adapter, signed", "consume, adapter, both versions"],
        variables,
    );
}
