//! On a real RabbitMQ. `make test-rabbitmq` installs Debian's, and runs these.

mod chaos;
mod scenes;
mod server;
#[cfg(feature = "tls")]
mod tls;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gray_context::{HttpHeaders, MessageHeaders, MessageSigning, ReleaseContext};
use gray_core::{
    Instance,
    balance::{Fallback, VersionPolicy},
    lane::{SigningKey, SigningKeys},
};
#[cfg(feature = "tls")]
use gray_rabbitmq::BrokerAddress;
use gray_rabbitmq::{
    BoxError, Consumer, ConsumerOptions, ConsumerState, Exchange, Message, MessageRules, Outgoing, Producer,
    ProducerOptions, PublishError, Role,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{sync::watch, time::timeout};

use self::server::Server;

const SERVICE: &str = "audit-app";
/// The stand-by time of the tests.
const STANDBY: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(180);
const LANE: &str = "8f3a11c0;v2;-;audit-app=version:V2|version:V1;*=version:V1";

fn keys() -> SigningKeys {
    SigningKeys::new(SigningKey::new(b"a secret of the chain").expect("long enough"), [])
}

/// What a document with `prodVersion` and `grayVersion` says.
fn rules(prod: &str, gray: &str) -> MessageRules {
    let mut rules = MessageRules::new(VersionPolicy::new(true, prod, gray, Fallback::Prod));
    rules.propagate = vec![HeaderName::from_static("traceparent")];
    rules.signing = Some(MessageSigning::new(keys(), Duration::from_secs(3600), Duration::from_secs(60)));
    rules
}

/// Rules that change.
#[derive(Clone)]
struct Document(Arc<Mutex<Arc<MessageRules>>>);

impl Document {
    fn new(rules: MessageRules) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(rules))))
    }

    fn set(&self, rules: MessageRules) {
        *self.0.lock().expect("lock") = Arc::new(rules);
    }

    fn follow(&self) -> impl Fn() -> Option<Arc<MessageRules>> + Send + Sync + 'static + use<> {
        let rules = Arc::clone(&self.0);
        move || Some(Arc::clone(&rules.lock().expect("lock")))
    }
}

/// The context of a gray request.
fn gray() -> ReleaseContext {
    let mut headers = HeaderMap::new();
    headers.insert("gray", HeaderValue::from_static("GRAY"));
    headers.insert("gray-lane", HeaderValue::from_static(LANE));
    headers.insert("traceparent", HeaderValue::from_static("00-trace"));
    ReleaseContext::extract(&HttpHeaders(&headers))
        .carrying(&HttpHeaders(&headers), &[HeaderName::from_static("traceparent")])
}

fn options(server: &Server, name: &str, version: &str) -> ConsumerOptions {
    let instance = Instance::new("127.0.0.1", 1).with_version(version);
    let mut options = ConsumerOptions::new(server.address(), format!("{name}-x"), name, SERVICE, instance);
    options.declare = Some(Exchange::Topic);
    options.routing_key = "order.#".to_owned();
    options.standby_after = STANDBY;
    options.longest_pause = Duration::from_millis(500);
    options.in_flight = 8;
    options
}

fn producer(server: &Server, name: &str, document: &Document) -> Producer {
    let mut options = ProducerOptions::new(server.address(), format!("{name}-x"));
    options.declare = Some(Exchange::Topic);
    options.version = Some("V1".to_owned());
    options.limit = LIMIT;
    Producer::new(options, document.follow()).expect("options")
}

async fn publish(producer: &Producer, context: ReleaseContext, id: &str) {
    let message = Outgoing::new("order.viewed", id.as_bytes()).with_id(id);
    context.scope(producer.publish(message)).await.expect("published");
}

/// Who handled what: `V1:a`.
#[derive(Clone, Default)]
struct Seen(Arc<watch::Sender<Vec<String>>>);

impl Seen {
    fn add(&self, version: &str, message: &Message) {
        let id = message.id.as_deref().unwrap_or("-");
        self.0.send_modify(|seen| seen.push(format!("{version}:{id}")));
    }

    async fn has(&self, expect: &[&str]) {
        let mut seen = self.0.subscribe();
        let is_there = |seen: &Vec<String>| expect.iter().all(|one| seen.iter().any(|other| other == one));
        let waited = timeout(LIMIT, seen.wait_for(is_there)).await.is_ok();
        assert!(waited, "{expect:?} is not in {:?}", *self.0.borrow());
    }

    /// Nothing but these, each once, in any order; then it is empty.
    async fn is(&self, expect: &[&str]) {
        self.has(expect).await;
        let mut seen = self.0.send_replace(Vec::new());
        seen.sort();
        let mut expect = expect.to_vec();
        expect.sort_unstable();
        assert_eq!(seen, expect);
    }
}

fn consumer(options: ConsumerOptions, document: &Document, seen: &Seen) -> Consumer {
    let (seen, version) = (seen.clone(), options.instance.version().expect("a version").to_owned());
    let handler = move |message: Message| {
        let (seen, version) = (seen.clone(), version.clone());
        async move {
            seen.add(&version, &message);
            Ok::<(), BoxError>(())
        }
    };
    Consumer::start(options, document.follow(), handler).expect("options")
}

async fn until(consumer: &Consumer, role: Role, is_standing_in: bool) {
    let mut state = consumer.state();
    let expect = ConsumerState::Running { side: role.side(), is_standing_in };
    let waited = timeout(LIMIT, state.wait_for(|state| *state == expect)).await.is_ok();
    assert!(waited, "{expect:?} expected, is {:?}", *consumer.state().borrow());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One broker for all scenes: it takes longer to start than they take.
#[test]
#[ignore = "needs rabbitmq-server: make test-rabbitmq"]
fn on_a_broker() {
    let mut server = Server::new();
    #[cfg(feature = "tls")]
    let authority = tls::certify(&server);
    server.start();
    runtime().block_on(async {
        server.ready().await;
        #[cfg(feature = "tls")]
        tls::a_broker_is_believed_by_its_authority_alone(&server, &authority).await;
        scenes::a_message_is_handled_by_its_version(&server).await;
        scenes::what_a_handler_does_to_itself_it_does_to_its_message_alone(&server).await;
        scenes::a_message_leaves_its_queue_when_the_other_one_has_it(&server).await;
        scenes::versions_change_their_roles(&server).await;
        scenes::exchanges_that_are_not_there(&server).await;
        scenes::gray_messages_in_a_virtual_host_of_their_own(&server).await;
        chaos::nothing_is_lost_while_versions_come_and_go(&server).await;
    });
}

#[test]
#[ignore = "needs rabbitmq-server: make test-rabbitmq"]
fn a_broker_that_is_away() {
    let mut server = Server::new();
    runtime().block_on(scenes::a_broker_that_is_away(&mut server));
}

/// A consumer as a process of its own, to be killed: the test starts this program again.
#[test]
#[ignore = "started by another test"]
fn consumer_process() {
    chaos::consumer_process(&runtime());
}
