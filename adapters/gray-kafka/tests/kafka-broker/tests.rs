use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gray_context::ReleaseContext;
use gray_core::{
    message::Phase,
    tag::{GrayStatus, VERSION_KEY},
};
use gray_kafka::{GrayConsumer, Message, Options};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    message::OwnedHeaders,
};

use crate::{
    fleet::{Consumer, GRACE, Place, consume, now_ms, rules},
    server::{Server, config, send, until},
    verdict::{counts, distinct, duplicates, handled, wrong},
};

/// A consumer, as a process: not a test.
#[test]
#[ignore = "started by the tests here"]
fn consumer() {
    if std::env::var_os("CONSUMER").is_some() {
        consume();
    }
}

/// The time within which the right version has to have taken over: the session of a process that was killed (6 s), T, joining, and
/// a slow machine.
const SETTLED: Duration = Duration::from_secs(15);

fn tagged(tag: Option<GrayStatus>) -> OwnedHeaders {
    let rules = rules("V1", "V2");
    let write = || gray_kafka::headers(&rules, "orders", None, OwnedHeaders::new());
    ReleaseContext::tagged(tag).enter(write)
}

/// What happens, and when, in thousandths of the run.
const EVENTS: [(u64, &str); 16] = [
    (0, "start V1"),
    (0, "start V1"),
    (120, "start V2"),
    (150, "start V2"),
    (220, "kill V1"),
    (240, "start V1"),
    (300, "kill V2"),
    (340, "start V2"),
    // No gray process is alive: the baseline stands by.
    (420, "kill V2"),
    (420, "kill V2"),
    (600, "start V2"),
    (700, "kill V1"),
    (720, "start V1"),
    // V2 becomes what V1 was.
    (820, "promote"),
    (880, "stop V1"),
    (900, "stop V1"),
];

#[test]
#[ignore = "takes a broker: make test-kafka"]
fn nothing_is_lost_while_consumers_are_killed_and_versions_come_and_go() {
    let count: u32 = std::env::var("GRAY_KAFKA_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let server = Server::started();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(server.create("orders", 6));
    let place = Place::new(&server.address(), "orders");
    let length = Duration::from_secs(100).max(Duration::from_millis(u64::from(count) * 4));
    let (begin, producer) = (Instant::now(), server.producer());
    let sending = runtime.spawn(async move {
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..count {
            tokio::time::sleep_until((begin + length * number / count).into()).await;
            let tag = if number % 3 == 0 { Some(GrayStatus::Gray) } else { None };
            let producer = producer.clone();
            under_way.spawn(async move { send(&producer, "orders", &number.to_string(), tagged(tag)).await });
            if under_way.len() > 100 {
                under_way.join_next().await.expect("one").expect("it is sent");
            }
        }
        under_way.join_all().await;
    });
    let mut fleet: Vec<Consumer> = Vec::new();
    // When a V2 was alive; when which process was killed, or stopped.
    let (mut alive, mut ends): (Vec<(u64, u64)>, HashMap<u32, u64>) = (Vec::new(), HashMap::new());
    // When the gray group got or lost its last gray member, and the promotion.
    let mut changes: Vec<u64> = Vec::new();
    let mut promoted_ms = 0;
    for (at, event) in EVENTS {
        std::thread::sleep(
            (begin + length * u32::try_from(at).expect("small") / 1000).saturating_duration_since(Instant::now()),
        );
        let place_of =
            |fleet: &[Consumer], version: &str| fleet.iter().position(|one| one.version == version).expect("one");
        let gray_members = |fleet: &[Consumer]| fleet.iter().filter(|one| one.version == "V2").count();
        let (before, now) = (gray_members(&fleet), now_ms());
        match event.split_once(' ') {
            Some(("start", version)) => fleet.push(Consumer::start(&place, if version == "V1" { "V1" } else { "V2" })),
            Some((how, version)) => {
                let one = fleet.remove(place_of(&fleet, version));
                let (pid, begun) = (one.pid(), one.begin_ms);
                let end = if how == "kill" { one.kill() } else { one.stop() };
                ends.insert(pid, end);
                if version == "V2" {
                    alive.push((begun, end));
                }
            }
            None => {
                place.publish("V2", "V3");
                promoted_ms = now;
            }
        }
        if event == "promote" || (before == 0) != (gray_members(&fleet) == 0) {
            changes.push(now);
        }
    }
    runtime.block_on(sending).expect("all are sent");
    until("all messages are handled", Duration::from_secs(240), || distinct(&handled(&place)) == count as usize);
    let all = handled(&place);
    // After the promotion any consumer of the baseline is right, while the old ones are being stopped.
    alive.extend(fleet.iter().filter(|one| one.version == "V2").map(|one| (one.begin_ms, promoted_ms)));
    alive.retain(|(begin, end)| begin < end);
    let wrong = wrong(&all, "V2", &alive, SETTLED.as_millis() as u64);
    // The settings have no place for it any more: it looks every 0.75 s, and finishes what it has begun.
    let old = all.iter().filter(|one| one.version == "V1" && one.at_ms > promoted_ms + 5_000).count();
    assert_eq!(old, 0, "handled by V1 after V2 was promoted");
    let again = duplicates(&all);
    // Unacknowledged at a kill: what the process did since its last commit (1 s) at most. Announced and not learnt: a look (0.75 s) or two.
    let near = |one: &&crate::verdict::Handled, at: u64| one.at_ms + 3_000 > at && one.at_ms < at + 3_000;
    let of_kills: usize =
        ends.iter().map(|(pid, end)| all.iter().filter(|one| one.pid == *pid && near(one, *end)).count()).sum();
    let of_changes: usize =
        changes.iter().map(|at| all.iter().filter(|one| one.tag == "GRAY" && near(one, *at)).count()).sum();
    println!(
        "{count} messages in {:?}: 0 lost, {} wrong, {} handled again (bound {of_kills} + {of_changes}), by version and tag: {:?}",
        begin.elapsed(),
        wrong.len(),
        again.len(),
        counts(&all)
    );
    for one in &wrong {
        println!("wrong: {one:?}");
    }
    assert!(wrong.is_empty(), "handled by another version while V2 was alive for {SETTLED:?}");
    assert!(again.len() <= of_kills + of_changes, "more are handled again than explained");
    let of = |version: &str| counts(&all).get(&(version.to_owned(), "GRAY".to_owned())).copied().unwrap_or(0);
    assert!(of("V1") > 0 && of("V2") > 0, "both versions had gray messages: before, and while V2 was away");
    for one in fleet.drain(..) {
        one.stop();
    }
}

fn options(server: &Server, version: &str) -> Options {
    let metadata = [(VERSION_KEY, version)].into_iter().collect();
    let mut options = Options::new(server.config(), "orders", "audit", "audit-app", metadata);
    (options.grace, options.patience, options.attempts) = (GRACE, Duration::from_millis(500), 2);
    options.dead_letters = Some("orders.dead".to_owned());
    options
}

/// The broker is not there when the consumer starts, and goes away while it works; handlers fail, panic, and hang.
#[test]
#[ignore = "takes a broker: make test-kafka"]
fn faults_of_brokers_and_handlers_stop_nothing_else() {
    let mut server = Server::prepare();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&seen);
    let rules = Arc::new(rules("V1", "V2"));
    let handler = move |message: Arc<Message>| {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        *counted.lock().expect("no panic").entry(text.clone()).or_default() += 1;
        async move {
            match text.as_str() {
                "poison" => Err("it cannot be read".into()),
                "panic" => panic!("a handler that panics"),
                "hang" => std::future::pending().await,
                _ => Ok(()),
            }
        }
    };
    let consumer = runtime
        .block_on(async { GrayConsumer::start(options(&server, "V1"), move || Some(Arc::clone(&rules)), handler) });
    let consumer = consumer.expect("it starts without a broker");
    // For as long as that the broker is away: an attempt to connect cannot be seen from outside.
    std::thread::sleep(Duration::from_secs(1));
    server.start();
    runtime.block_on(server.create("orders.dead", 1));
    // The topic comes after its consumer.
    runtime.block_on(server.create("orders", 2));
    let send_all = |server: &Server, texts: &[&str]| {
        let producer = server.producer();
        runtime.block_on(async {
            for text in texts {
                send(&producer, "orders", text, tagged(None)).await;
            }
        });
    };
    send_all(&server, &["one", "poison", "two", "panic", "three", "hang", "four"]);
    let times = |text: &str| seen.lock().expect("no panic").get(text).copied().unwrap_or(0);
    until("the others are handled", Duration::from_secs(180), || {
        ["one", "two", "three", "four"].iter().all(|text| times(text) > 0)
    });
    until("the bad ones are tried twice", Duration::from_secs(120), || {
        ["poison", "panic", "hang"].iter().all(|text| times(text) == 2)
    });
    assert_eq!(consumer.phase(), Some(Phase::Absent));
    server.kill();
    // The same while it runs.
    std::thread::sleep(Duration::from_secs(2));
    server.start();
    send_all(&server, &["five", "six"]);
    until("it goes on", Duration::from_secs(180), || ["five", "six"].iter().all(|text| times(text) > 0));
    assert_eq!(dead_letters(&server.address()), ["hang", "panic", "poison"]);
    consumer.stop();
}

/// What the registry knows decides what becomes of the messages of a version without a process.
#[test]
#[ignore = "takes a broker: make test-kafka"]
fn the_baseline_stands_by_for_a_version_that_is_deployed_and_ends_the_group_of_one_that_is_not() {
    const LIMIT: Duration = Duration::from_secs(120);
    let server = Server::started();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(server.create("orders", 2));
    let (handled, is_deployed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(true)));
    let start = |version: &'static str| {
        let (handled, is_deployed) = (Arc::clone(&handled), Arc::clone(&is_deployed));
        let options = options(&server, version).deployed(move || is_deployed.load(Relaxed));
        let rules = Arc::new(rules("V1", "V2"));
        let handler = move |message: Arc<Message>| {
            let line = format!("{version} {}", String::from_utf8_lossy(&message.payload));
            handled.lock().expect("no panic").push(line);
            async { Ok(()) }
        };
        let consumer =
            runtime.block_on(async { GrayConsumer::start(options, move || Some(Arc::clone(&rules)), handler) });
        consumer.expect("a consumer")
    };
    let producer = server.producer();
    let send_gray = |text: &str| runtime.block_on(send(&producer, "orders", text, tagged(Some(GrayStatus::Gray))));
    let are = |expect: &[&str]| until("the message is handled", LIMIT, || *handled.lock().expect("no panic") == expect);
    let (v1, v2) = (start("V1"), start("V2"));
    until("V2 takes over", LIMIT, || v1.phase() == Some(Phase::Live));
    send_gray("one");
    are(&["V2 one"]);
    let begun = Instant::now();
    v2.stop();
    until("the baseline stands by", LIMIT, || v1.phase() == Some(Phase::Standby));
    assert!(begun.elapsed() >= GRACE, "V2 was given {:?} to come back", begun.elapsed());
    send_gray("two");
    are(&["V2 one", "V1 two"]);
    is_deployed.store(false, Relaxed);
    until("the gray group has ended", LIMIT, || v1.phase() == Some(Phase::Absent));
    send_gray("three");
    are(&["V2 one", "V1 two", "V1 three"]);
    v1.stop();
}

fn dead_letters(address: &str) -> Vec<String> {
    let reader: BaseConsumer =
        config(address).set("group.id", "dead").set("auto.offset.reset", "earliest").create().expect("a client");
    reader.subscribe(&["orders.dead"]).expect("subscribed");
    let mut texts = Vec::new();
    until("three dead letters", Duration::from_secs(60), || {
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(200)) {
            texts.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
        texts.len() == 3
    });
    texts.sort();
    texts
}
