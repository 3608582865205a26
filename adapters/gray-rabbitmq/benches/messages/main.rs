//! What gray-rabbitmq costs beside the bare client, on a real broker: `make bench-messages`. Without a broker to start it does nothing.
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../../../../tests/shared/lane.rs"]
mod lane;
#[path = "../../../../tests/shared/measure.rs"]
mod measure;
#[path = "../../tests/broker/server.rs"]
#[expect(dead_code, reason = "shared with the tests, which add virtual hosts")]
mod server;

use std::{env, hint::black_box, path::Path, sync::Arc};

use futures_util::{StreamExt as _, stream};
use gray_context::{MessageHeaders, MessageRules, ReleaseContext};
use gray_core::{Instance, Side};
use gray_rabbitmq::{
    BoxError, BrokerAddress, Consumer, ConsumerOptions, Exchange, Message, Outgoing, Producer, ProducerOptions,
};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use metrics_exporter_prometheus::PrometheusBuilder;

use self::{
    lane::{gray, rules},
    measure::{Meter, compare, way},
    server::Server,
};

const BROKER: &str = "GRAY_BENCH_BROKER";
const MESSAGES: u64 = 30_000;
const QUEUE: &str = "audit";
const EXCHANGE: &str = "orders";
/// Messages that are handled, or sent, at the same time.
const IN_FLIGHT: u16 = 16;

/// Every third message is one of a gray request.
fn context(number: u64) -> ReleaseContext {
    if number.is_multiple_of(3) { gray() } else { ReleaseContext::default() }
}

/// What a message of the release context has beside its own headers; it is signed for an hour.
fn properties(number: u64, rules: Option<&MessageRules>) -> BasicProperties {
    let mut headers = MessageHeaders(vec![("content-type".to_owned(), b"text/plain".to_vec())]);
    if let Some(rules) = rules {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        context(number).enter(|| rules.write(&mut headers, EXCHANGE, Some("V1"), now));
    }
    let mut table = FieldTable::default();
    for (name, value) in headers.0 {
        table.insert(name.as_str().into(), AMQPValue::LongString(value.into()));
    }
    let id = format!("{number:032x}");
    BasicProperties::default().with_delivery_mode(2).with_message_id(id.as_str().into()).with_headers(table)
}

async fn channel(address: &str) -> (Connection, Channel) {
    let connection = Connection::connect(address, ConnectionProperties::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// Publishes to an exchange, or to the queue where that is the nameless one.
async fn send(address: &str, exchange: &str, rules: Option<&MessageRules>, meter: &Meter) {
    let (_connection, channel) = channel(address).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let key = if exchange.is_empty() { QUEUE } else { "order.viewed" };
    let payload = vec![b'x'; 200];
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let sends = stream::iter(0..MESSAGES).map(async |number| {
        let properties = properties(number, rules);
        let sent = channel.basic_publish(exchange.into(), key.into(), options, &payload, properties).await;
        sent.expect("sent").await.expect("confirmed");
        meter.count();
    });
    sends.buffer_unordered(usize::from(IN_FLIGHT)).collect::<()>().await;
}

async fn send_by_producer(address: &str, is_signed: bool, meter: &Meter) {
    let mut options = ProducerOptions::new(address.parse().expect("an address"), EXCHANGE);
    options.version = Some("V1".to_owned());
    let rules = Arc::new(rules(is_signed));
    let producer = Producer::new(options, move || Some(Arc::clone(&rules))).expect("options");
    let payload = vec![b'x'; 200];
    let sends = stream::iter(0..MESSAGES).map(async |number| {
        let message = Outgoing::new("order.viewed", payload.clone()).with_id(format!("{number:032x}"));
        context(number).scope(producer.publish(message)).await.expect("published");
        meter.count();
    });
    sends.buffer_unordered(usize::from(IN_FLIGHT)).collect::<()>().await;
}

/// As an application without gray release would do it: handles in the loop that reads, acknowledges each.
async fn bare(address: &str, meter: &Meter) {
    let (_connection, channel) = channel(address).await;
    channel.basic_qos(IN_FLIGHT, BasicQosOptions::default()).await.expect("limited");
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await;
    let mut consumer = consumer.expect("consumes");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("a message");
        black_box(&delivery.data);
        delivery.ack(BasicAckOptions::default()).await.expect("acknowledged");
        meter.count();
    }
}

fn adapter(address: &BrokerAddress, is_signed: bool, meter: &Arc<Meter>) -> Consumer {
    let instance = Instance::new("127.0.0.1", 1).with_version("V1");
    let mut options = ConsumerOptions::new(address.clone(), EXCHANGE, QUEUE, "audit-app", instance);
    options.declare = Some(Exchange::Topic);
    options.routing_key = "order.#".to_owned();
    options.in_flight = IN_FLIGHT;
    let (rules, meter) = (Arc::new(rules(is_signed)), Arc::clone(meter));
    let handler = move |message: Message| {
        black_box(&message.payload);
        meter.count();
        async { Ok::<(), BoxError>(()) }
    };
    Consumer::start(options, move || Some(Arc::clone(&rules)), handler).expect("options")
}

/// One way, in this process.
async fn measured(way: &str) {
    // As a service has one: counting costs what it costs there.
    PrometheusBuilder::new().install_recorder().expect("none was there");
    let address = env::var(BROKER).expect("the address of the broker");
    let meter = Arc::new(Meter::new(MESSAGES));
    match way {
        "send, bare" => send(&address, EXCHANGE, None, &meter).await,
        "send, adapter" | "send, adapter, signed" => send_by_producer(&address, way.ends_with("signed"), &meter).await,
        "consume, bare" => {
            tokio::select! {
                () = bare(&address, &meter) => {}
                () = meter.finish() => {}
            }
            return;
        }
        "consume, adapter" | "consume, adapter, signed" => {
            let consumer = adapter(&address.parse().expect("an address"), way.ends_with("signed"), &meter);
            meter.finish().await;
            return consumer.stop().await;
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
    if env::var_os("GRAY_BENCH_MESSAGES").is_none() || !Path::new("/usr/lib/rabbitmq/bin").is_dir() {
        return println!("gray-rabbitmq: not measured without a broker: make bench-messages");
    }
    let mut server = Server::new();
    server.start();
    runtime.block_on(async {
        server.ready().await;
        // Exchanges and queues.
        let consumer = adapter(&server.address(), false, &Arc::new(Meter::new(MESSAGES)));
        let mut state = consumer.state();
        let is_up = |state: &gray_rabbitmq::ConsumerState| {
            matches!(state, gray_rabbitmq::ConsumerState::Running { side: Some(Side::Baseline), .. })
        };
        state.wait_for(is_up).await.expect("runs");
        consumer.stop().await;
    });
    println!("{MESSAGES} messages of 200 bytes, {IN_FLIGHT} at a time, every third one gray");
    let prepare = |way: &str, _| {
        runtime.block_on(async {
            let (_connection, channel) = channel(&server.uri()).await;
            channel.queue_purge(QUEUE.into(), Default::default()).await.expect("empty");
            if way.starts_with("consume") {
                send(&server.uri(), "", Some(&rules(true)), &Meter::new(MESSAGES)).await;
            }
        });
        vec![(BROKER, server.uri())]
    };
    compare(&["send, bare", "send, adapter", "send, adapter, signed"], prepare);
    compare(&["consume, bare", "consume, adapter", "consume, adapter, signed"], prepare);
}
