//! Short courses of events, each on exchanges and queues of its own.

use gray_context::{HttpHeadersMut, Standing, Verifier};
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};

use super::*;

async fn waiting(server: &Server, queue: &str) -> u32 {
    let connection = server.connect().await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let options = QueueDeclareOptions::durable().passive();
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("is there").message_count()
}

pub(crate) async fn a_message_is_handled_by_its_version(server: &Server) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let v1 = consumer(options(server, "plain", "V1"), &document, &seen);
    until(&v1, Role::Baseline, false).await;
    let producer = producer(server, "plain", &document);
    // Before there is a gray process, all go to the baseline at once: it does not stand in yet.
    publish(&producer, gray(), "a").await;
    publish(&producer, ReleaseContext::default(), "b").await;
    seen.is(&["V1:a", "V1:b"]).await;

    // The context is that of the message, signed for calls.
    let calls = Seen::default();
    let told = calls.clone();
    let handler = move |mut message: Message| {
        let mut headers = HeaderMap::new();
        ReleaseContext::current().inject(&mut HttpHeadersMut(&mut headers));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_secs();
        let (keys, ttl) = (keys(), Duration::from_secs(60));
        let (context, standing) =
            ReleaseContext::extract_verified(&HttpHeaders(&headers), &Verifier::new(&keys, now, ttl), || false);
        let lane = context.lane().map_or("-", |lane| lane.lane()).to_owned();
        let trace = headers.get("traceparent").is_some();
        let told = told.clone();
        async move {
            assert_eq!((standing, trace), (Standing::Signed, true));
            message.id = message.id.map(|id| format!("{id}:{lane}"));
            told.add("V2", &message);
            Ok::<(), BoxError>(())
        }
    };
    let v2 = Consumer::start(options(server, "plain", "V2"), document.follow(), handler).expect("options");
    until(&v2, Role::Gray, false).await;
    publish(&producer, gray(), "c").await;
    publish(&producer, ReleaseContext::default(), "d").await;
    calls.is(&["V2:c:v2"]).await;
    seen.is(&["V1:d"]).await;
    // Unsigned: the broker puts it where it says, and its consumer does not believe it.
    let mut unsigned = rules("V1", "V2");
    unsigned.signing = None;
    let stranger = self::producer(server, "plain", &Document::new(unsigned));
    publish(&stranger, gray(), "e").await;
    seen.is(&["V1:e"]).await;

    // Gone, back.
    v2.stop().await;
    publish(&producer, gray(), "f").await;
    until(&v1, Role::Baseline, true).await;
    publish(&producer, gray(), "g").await;
    seen.is(&["V1:f", "V1:g"]).await;
    let v2 = consumer(options(server, "plain", "V2"), &document, &seen);
    until(&v1, Role::Baseline, false).await;
    publish(&producer, gray(), "h").await;
    seen.is(&["V2:h"]).await;
    // What could not be placed when it came is moved: a tag without a header for the broker, as a Java producer writes it.
    let connection = server.connect().await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let mut headers = MessageHeaders::default();
    gray().scope(async { rules("V1", "V2").write(&mut headers, "plain-x", None, u64::from(u32::MAX)) }).await;
    let mut table = FieldTable::default();
    for (name, value) in headers.0 {
        table.insert(name.as_str().into(), lapin::types::AMQPValue::LongString(value.into()));
    }
    let properties = lapin::BasicProperties::default().with_headers(table).with_message_id("i".into());
    let published = channel.basic_publish("plain-x".into(), "order.viewed".into(), Default::default(), b"", properties);
    published.await.expect("published").await.expect("taken");
    seen.is(&["V2:i"]).await;
    v1.stop().await;
    v2.stop().await;
    assert_eq!((waiting(server, "plain").await, waiting(server, "plain.gray").await), (0, 0));
    assert_eq!(waiting(server, "plain.dead").await, 0);
}

pub(crate) async fn what_a_handler_does_to_itself_it_does_to_its_message_alone(server: &Server) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let mut options = options(server, "poison", "V1");
    options.attempts = 2;
    options.handle_limit = Duration::from_millis(400);
    options.in_flight = 4;
    let told = seen.clone();
    let handler = move |message: Message| {
        let told = told.clone();
        async move {
            match &*message.payload {
                b"panic" => panic!("poison"),
                b"hang" => std::future::pending().await,
                b"fail" => Err("poison".into()),
                b"once" if message.failures == 0 => Err("not now".into()),
                _ => {
                    told.add("V1", &message);
                    Ok::<(), BoxError>(())
                }
            }
        }
    };
    let v1 = Consumer::start(options, document.follow(), handler).expect("options");
    until(&v1, Role::Baseline, false).await;
    let producer = producer(server, "poison", &document);
    for id in ["panic", "hang", "fail", "once", "a", "b", "c"] {
        publish(&producer, ReleaseContext::default(), id).await;
    }
    seen.is(&["V1:once", "V1:a", "V1:b", "V1:c"]).await;
    let begun = std::time::Instant::now();
    while waiting(server, "poison.dead").await < 3 {
        assert!(begun.elapsed() < LIMIT, "not dead");
    }
    v1.stop().await;
    assert_eq!((waiting(server, "poison.dead").await, waiting(server, "poison").await), (3, 0));
}

/// The queue that a message is to go to was deleted: it is not lost, and the queue is declared again.
pub(crate) async fn a_message_leaves_its_queue_when_the_other_one_has_it(server: &Server) {
    let document = Document::new(rules("V1", "V2"));
    let mut options = options(server, "gone", "V1");
    options.attempts = 1;
    let (times, mut seen) = watch::channel(0);
    let handler = move |_| {
        times.send_modify(|times| *times += 1);
        async { Err::<(), BoxError>("poison".into()) }
    };
    let v1 = Consumer::start(options, document.follow(), handler).expect("options");
    until(&v1, Role::Baseline, false).await;
    let connection = server.connect().await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_delete("gone.dead".into(), QueueDeleteOptions::default()).await.expect("deleted");
    publish(&producer(server, "gone", &document), ReleaseContext::default(), "a").await;
    let again = timeout(LIMIT, seen.wait_for(|times| *times >= 2)).await;
    assert!(again.is_ok(), "it does not come again");
    let begun = std::time::Instant::now();
    while waiting(server, "gone.dead").await < 1 {
        assert!(begun.elapsed() < LIMIT, "not dead");
    }
    v1.stop().await;
    assert_eq!(waiting(server, "gone").await, 0);
}

pub(crate) async fn versions_change_their_roles(server: &Server) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let [v1, v2, v3] = ["V1", "V2", "V3"].map(|version| consumer(options(server, "roles", version), &document, &seen));
    until(&v1, Role::Baseline, false).await;
    until(&v2, Role::Gray, false).await;
    until(&v3, Role::Idle, false).await;
    let producer = producer(server, "roles", &document);
    publish(&producer, gray(), "a").await;
    publish(&producer, ReleaseContext::default(), "b").await;
    seen.is(&["V2:a", "V1:b"]).await;
    // Promoted: what was sent by the old lanes is handled by the new baseline.
    document.set(rules("V2", "V3"));
    until(&v2, Role::Baseline, false).await;
    until(&v3, Role::Gray, false).await;
    until(&v1, Role::Idle, false).await;
    publish(&producer, gray(), "c").await;
    publish(&producer, ReleaseContext::default(), "d").await;
    seen.is(&["V2:c", "V2:d"]).await;
    // Rolled back.
    document.set(rules("V1", "V2"));
    until(&v1, Role::Baseline, false).await;
    until(&v2, Role::Gray, false).await;
    publish(&producer, gray(), "e").await;
    publish(&producer, ReleaseContext::default(), "f").await;
    seen.is(&["V2:e", "V1:f"]).await;
    for consumer in [v1, v2, v3] {
        consumer.stop().await;
    }
}

pub(crate) async fn exchanges_that_are_not_there(server: &Server) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let mut lacking = ProducerOptions::new(server.address(), "late-x");
    lacking.limit = LIMIT;
    let lacking = Producer::new(lacking, document.follow()).expect("options");
    let error = lacking.publish(Outgoing::new("order.viewed", "x")).await.expect_err("there is none");
    assert!(matches!(&error, PublishError::UnknownExchange { exchange } if exchange == "late-x"), "{error}");
    let mut options = options(server, "late", "V1");
    options.declare = None;
    // Its owner has declared the queue with arguments of his own.
    let connection = server.connect().await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    channel.queue_declare("late".into(), QueueDeclareOptions::durable(), quorum).await.expect("declared");
    let v1 = consumer(options, &document, &seen);
    // Declares it.
    let producer = producer(server, "late", &document);
    let error = producer.publish(Outgoing::new("elsewhere", "x")).await.expect_err("no queue");
    assert!(matches!(&error, PublishError::Unroutable { .. }), "{error}");
    until(&v1, Role::Baseline, false).await;
    publish(&lacking, ReleaseContext::default(), "a").await;
    seen.is(&["V1:a"]).await;
    v1.stop().await;
}

pub(crate) async fn gray_messages_in_a_virtual_host_of_their_own(server: &Server) {
    server.add_vhost("gray");
    let gray_address = server.address().with_vhost("gray");
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let start = |version| {
        let mut options = options(server, "apart", version);
        options.gray_address = Some(gray_address.clone());
        consumer(options, &document, &seen)
    };
    let v1 = start("V1");
    until(&v1, Role::Baseline, false).await;
    let mut options = ProducerOptions::new(server.address(), "apart-x");
    options.gray_address = Some(gray_address.clone());
    options.limit = LIMIT;
    let producer = Producer::new(options, document.follow()).expect("options");
    publish(&producer, gray(), "a").await;
    publish(&producer, ReleaseContext::default(), "b").await;
    until(&v1, Role::Baseline, true).await;
    seen.is(&["V1:a", "V1:b"]).await;
    let v2 = start("V2");
    until(&v2, Role::Gray, false).await;
    until(&v1, Role::Baseline, false).await;
    publish(&producer, gray(), "c").await;
    publish(&producer, ReleaseContext::default(), "d").await;
    seen.is(&["V2:c", "V1:d"]).await;
    v1.stop().await;
    v2.stop().await;
}

/// At the start, and in the middle of it.
pub(crate) async fn a_broker_that_is_away(server: &mut Server) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let v1 = consumer(options(server, "away", "V1"), &document, &seen);
    let v2 = consumer(options(server, "away", "V2"), &document, &seen);
    let producer = Arc::new(producer(server, "away", &document));
    assert_eq!(*v1.state().borrow(), ConsumerState::Connecting);
    server.start();
    until(&v1, Role::Baseline, false).await;
    until(&v2, Role::Gray, false).await;
    let publishing = {
        let producer = Arc::clone(&producer);
        gray_context::spawn(async move {
            for number in 0..400 {
                let context = if number % 2 == 0 { gray() } else { ReleaseContext::default() };
                publish(&producer, context, &number.to_string()).await;
            }
        })
    };
    seen.has(&["V2:20", "V1:21"]).await;
    server.kill();
    server.start();
    publishing.await.expect("published");
    let mut all = seen.0.subscribe();
    let are_there = |seen: &Vec<String>| {
        let ids = seen.iter().filter_map(|one| one.split_once(':')).map(|(_, id)| id);
        ids.collect::<std::collections::BTreeSet<_>>().len() == 400
    };
    let all_handled = timeout(LIMIT, all.wait_for(are_there)).await.is_ok_and(|waited| waited.is_ok());
    assert!(all_handled, "{:?}", seen.0.borrow().len());
    v1.stop().await;
    v2.stop().await;
}
