//! `CircuitBreaker`: when a service is not called, and what is answered then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::support::{Backend, Client, Gateway, Setup, WITH_WARNINGS, instance, nobody, soon, until};

/// Two calls are judged; after 100 ms one is tried.
const SMALL: &str = "resilience4j.circuitbreaker.configs.default: { slidingWindowSize: 2, minimumNumberOfCalls: 2, \
     waitDurationInOpenState: 100ms, permittedNumberOfCallsInHalfOpenState: 1 }\n";
const FALLBACKS: &str = "gray.spring.fallbacks: { /fallback: { status: 503, body: '{\"msg\":\"busy\"}' }, '/fallbacks/**': { status: 200, body: sorry } }\n";

/// A gateway with one worker, so that two requests are two calls of one breaker, and these filters on `/api/**`.
fn setup(settings: &str, filters: &str, instances: &[gray_core::Instance]) -> Setup {
    let text = format!(
        "{settings}spring.cloud.gateway.routes: [{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: [{filters}] }}]\n\
         kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, gateway: {{ enabled: true }} }}\n"
    );
    let mut setup = Setup::with_documents(&text, instances);
    setup.workers = 1;
    setup
}

/// An instance whose answers have the status that is set.
async fn settable() -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let said = Arc::clone(&status);
    let backend = Backend::serving(move |_| {
        let status = said.load(SeqCst);
        (format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nbody"), true)
    })
    .await;
    (backend, status)
}

fn changes(gateway: &Gateway) -> [u64; 3] {
    gateway.stats.snapshot().breaker_changes
}

#[tokio::test]
async fn it_opens_answers_by_the_fallback_and_recovers() {
    let (backend, status) = settable().await;
    let filter = "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/fallback', statusCodes: [500, BAD_GATEWAY] } }";
    let gateway = setup(&format!("{SMALL}{FALLBACKS}"), filter, &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    let ask = async |client: &mut Client| {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.response().await
    };
    status.store(404, SeqCst);
    assert_eq!(ask(&mut client).await.status, 404, "not one of its status codes");
    status.store(502, SeqCst);
    let response = ask(&mut client).await;
    assert_eq!((response.status, response.body.as_str()), (503, r#"{"msg":"busy"}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!((changes(&gateway), backend.seen().len()), ([0, 1, 0], 2), "one of two has failed: open");
    assert_eq!(backend.connections(), 1, "the answer that was not passed on did not spoil the connection");
    for _ in 0..3 {
        assert_eq!(ask(&mut client).await.status, 503);
    }
    let stats = gateway.stats.snapshot();
    assert_eq!((backend.seen().len(), stats.breaker_refused, stats.breaker_fallbacks), (2, 3, [0, 4, 0]));
    // Tried again, in vain.
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(ask(&mut client).await.status, 503);
    assert_eq!((changes(&gateway), backend.seen().len()), ([0, 2, 1], 3));
    // And again.
    status.store(200, SeqCst);
    tokio::time::sleep(Duration::from_millis(110)).await;
    for _ in 0..2 {
        let response = ask(&mut client).await;
        assert_eq!((response.status, response.body.as_str()), (200, "body"));
    }
    assert_eq!(changes(&gateway), [1, 2, 2]);
}

#[tokio::test]
async fn without_status_codes_no_status_counts() {
    let (backend, status) = settable().await;
    status.store(500, SeqCst);
    let gateway = setup(SMALL, "CircuitBreaker=x", &[backend.instance("V1")]).start();
    for _ in 0..5 {
        assert_eq!(gateway.get("").await.status, 500);
    }
    assert_eq!(changes(&gateway), [0; 3]);
}

/// Without a fallback: as ever when a call fails, 503 while it is open.
#[tokio::test]
async fn an_open_breaker_without_a_fallback_is_503() {
    let gateway = setup(SMALL, "CircuitBreaker=x", &[instance(nobody().await, "V1")]).start();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = gateway.get("").await;
        statuses.push((response.status, response.header("retry-after").map(str::to_owned)));
    }
    let retry = Some("1".to_owned());
    assert_eq!(statuses, [(502, None), (502, None), (503, retry.clone()), (503, retry)]);
    // One that says so goes on without an error.
    let filter = "{ name: CircuitBreaker, args: { name: x, resumeWithoutError: true } }";
    let gateway = setup(SMALL, filter, &[instance(nobody().await, "V1")]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_call_may_take_so_long() {
    let silent = Backend::raw(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    })
    .await;
    for (settings, filter) in [
        ("resilience4j.timelimiter.instances.x.timeoutDuration: 200ms\n", "CircuitBreaker=x"),
        ("resilience4j.timelimiter.configs.default: { timeout-duration: 200 }\n", "CircuitBreaker=x"),
        ("hystrix.command.x.execution.isolation.thread.timeoutInMilliseconds: 200\n", "Hystrix=x"),
    ] {
        let gateway = setup(settings, filter, &[silent.instance("V1")]).start();
        let began = Instant::now();
        let response = gateway.get("").await;
        assert_eq!(response.status, 504, "{settings}");
        assert!((200..5_000).contains(&began.elapsed().as_millis()), "{settings}: {:?}", began.elapsed());
    }
    // A second unless something is said; by the fallback, whatever the path is.
    let filter = "{ name: Hystrix, args: { name: x, fallbackUri: 'forward:/fallbacks/of/app' } }";
    let gateway = setup(FALLBACKS, filter, &[silent.instance("V1")]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, response.body.as_str()), (200, "sorry"));
}

/// A client that is slow to send its body is not the instance's fault, and opens nothing.
#[tokio::test]
async fn slow_clients_do_not_count() {
    let backend = Backend::named("v1").await;
    let limit = "resilience4j.timelimiter.instances.x.timeoutDuration: 200ms\n";
    let small = SMALL.replace("slidingWindowSize", "slowCallDurationThreshold: 300ms, slidingWindowSize");
    let gateway = setup(&format!("{small}{limit}"), "CircuitBreaker=x", &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        client.send("cd").await;
        assert_eq!(client.response().await.status, 200);
    }
    // Nor is one that goes away.
    for _ in 0..3 {
        let mut client = gateway.client().await;
        client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
        drop(client);
    }
    until("all are over", || gateway.stats.snapshot().in_flight == 0).await;
    assert_eq!(changes(&gateway), [0; 3]);
    assert_eq!(gateway.get("").await.status, 200);
}

#[tokio::test]
async fn no_instance_is_a_failure_and_what_no_document_says_is_503() {
    let filter = "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/fallback' } }";
    let gateway = setup(FALLBACKS, filter, &[]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, response.body.as_str()), (503, r#"{"msg":"busy"}"#));
    let gateway = setup(WITH_WARNINGS, filter, &[]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, response.header("content-type")), (503, Some("application/json")));
    assert!(response.body.contains("nothing answers in its place"), "{}", response.body);
    assert_eq!(gateway.stats.snapshot().breaker_fallbacks, [0, 0, 1]);
}

/// What of a body was read is gone, and what was not is not taken for the next request.
#[tokio::test]
async fn the_next_request_begins_behind_the_body() {
    let failing = Backend::answering("HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno").await;
    let filter = "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/fallback', statusCodes: 500 } }";
    for instances in [&[][..], &[failing.instance("V1")], &[instance(nobody().await, "V1")]] {
        let gateway = setup(FALLBACKS, filter, instances).start();
        let mut client = gateway.client().await;
        for head in [
            "Content-Length: 19\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            for _ in 0..2 {
                client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\n{head}")).await;
                let response = client.response().await;
                assert_eq!((response.status, response.body.as_str()), (503, r#"{"msg":"busy"}"#), "{head}");
            }
        }
        assert_eq!(gateway.stats.snapshot().requests(), 4);
    }
}

/// The fallback's answer is for pages of other origins as well.
#[tokio::test]
async fn pages_of_other_origins_may_read_the_fallback() {
    let cors = "spring.cloud.gateway.globalcors.cors-configurations: { '[/**]': { allowedOrigins: 'http://shop' } }\n";
    let filter = "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/fallback' } }";
    let gateway = setup(&format!("{FALLBACKS}{cors}"), filter, &[]).start();
    let response = gateway.get("Origin: http://shop\r\n").await;
    assert_eq!((response.status, response.header("access-control-allow-origin")), (503, Some("http://shop")));
}

#[tokio::test]
async fn a_retry_waits() {
    let (first, status) = settable().await;
    let (second, _) = settable().await;
    status.store(503, SeqCst);
    let filter = "{ name: Retry, args: { retries: 1, statuses: 503, backoff: { firstBackoff: 300ms, maxBackoff: 500ms, factor: 2 } } }";
    let gateway = setup("", filter, &[first.instance("V1"), second.instance("V1")]).start();
    let mut waits = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(gateway.get("").await.status, 200);
        waits.push(began.elapsed().as_millis());
    }
    waits.sort_unstable();
    assert!(waits[0] < 300 && (300..2_000).contains(&waits[1]), "one of two comes to the other first: {waits:?}");
    // One whose client goes away meanwhile is not sent again.
    let filter = filter.replace("300ms", "10s").replace("500ms", "10s");
    status.store(503, SeqCst);
    let gateway = setup("", &filter, &[first.instance("V1"), instance(nobody().await, "V2")]).start();
    let seen = first.seen().len();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it is asked", || first.seen().len() > seen).await;
    drop(client);
    soon(async { until("it is over", || gateway.stats.snapshot().in_flight == 0).await }).await;
}

/// Retries are within the call that the breaker counts, and within its time.
#[tokio::test]
async fn retries_are_part_of_one_call() {
    let (first, status) = settable().await;
    let (second, other) = settable().await;
    status.store(503, SeqCst);
    other.store(503, SeqCst);
    let filters = |backoff: &str| {
        format!(
            "{{ name: CircuitBreaker, args: {{ name: x, statusCodes: 503, fallbackUri: 'forward:/fallback' }} }}, \
             {{ name: Retry, args: {{ retries: 1, statuses: 503, backoff: {{ firstBackoff: {backoff} }} }} }}"
        )
    };
    let instances = [first.instance("V1"), second.instance("V1")];
    let gateway = setup(&format!("{SMALL}{FALLBACKS}"), &filters("1ms"), &instances).start();
    assert_eq!(gateway.get("").await.status, 503);
    assert_eq!((first.seen().len(), second.seen().len(), changes(&gateway)), (1, 1, [0; 3]), "two attempts, one call");
    let gateway = setup(&format!("{SMALL}{FALLBACKS}"), &filters("5s"), &instances).start();
    let began = Instant::now();
    assert_eq!(gateway.get("").await.status, 503);
    assert!(began.elapsed() < Duration::from_secs(4), "a wait that is longer than its time is not begun");
    assert_eq!(first.seen().len() + second.seen().len(), 3);
}
