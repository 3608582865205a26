//! Instances that are down, slow, wrong or gone stale.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{Backend, Setup, instance, nobody, ok, soon, until},
    wire::read_head,
};

#[tokio::test]
async fn a_refused_connect_goes_to_another_instance_of_the_same_version_only() {
    let (v1, v2) = (Backend::named("v1").await, Backend::named("v2").await);
    let dead = nobody().await;
    let gateway = Setup::new(&[instance(dead, "V1"), v1.instance("V1"), v2.instance("V2")]).start();
    for _ in 0..10 {
        let response = gateway.ask("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
        assert_eq!((response.status, response.body.as_str()), (200, "v1"));
        assert_eq!(v1.last().body, b"abc");
        assert_eq!(v1.last().one("host"), v1.address.to_string());
    }
    assert!(v2.seen().is_empty());
    let stats = gateway.stats.snapshot();
    assert!(stats.retries > 0 && stats.retries == stats.connect_failures(), "{stats:?}");

    // The only gray instance is dead: the instance that the settings name stands in, and none where they name none.
    for (fallback, status) in [("prod", 200), ("fail", 502)] {
        let settings = format!(
            "spring.cloud.gateway.routes: [{{ id: app, uri: 'lb://app', predicates: ['Path=/**'] }}]\n\
             kerwin.tool.gray: {{ load: true, fallback: {fallback}, version: {{ prodVersion: V1, grayVersion: V2 }}, \
             gateway: {{ enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }} }}\n"
        );
        let gateway = Setup::with_documents(&settings, &[v1.instance("V1"), instance(dead, "V2")]).start();
        for _ in 0..3 {
            let before = v1.seen().len();
            let response = gateway.get("gray: gray-996\r\n").await;
            assert_eq!(response.status, status);
            assert_eq!(v1.seen().len() - before, usize::from(status == 200));
            if status == 502 {
                assert!(response.body.contains("app") && !response.body.contains("127.0.0.1"), "{}", response.body);
            }
        }
        let stats = gateway.stats.snapshot();
        assert_eq!((stats.fallbacks, stats.ejections[0]), (if status == 200 { 3 } else { 0 }, 1), "{stats:?}");
    }
}

#[tokio::test]
async fn attempts_are_limited() {
    let mut instances = Vec::new();
    for _ in 0..5 {
        instances.push(instance(nobody().await, "V1"));
    }
    let gateway = Setup::new(&instances).start();
    assert_eq!(gateway.get("").await.status, 502);
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.connect_failures(), stats.retries), (3, 2));
}

#[tokio::test]
async fn an_instance_that_breaks_off_is_a_502_and_is_asked_once() {
    let backend = Backend::serving(|_| (String::new(), false)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    assert_eq!(gateway.get("").await.status, 502);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn nonsense_from_an_instance_is_a_502() {
    for answer in [
        "what?\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let backend = Backend::answering(answer).await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        assert_eq!(gateway.get("").await.status, 502, "{answer:?}");
    }
}

#[tokio::test]
async fn a_silent_instance_is_a_504() {
    let backend = Backend::raw(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| limits.response_timeout = Duration::from_millis(300))
        .start();
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!(response.status, 504);
        assert!(response.body.contains("app did not answer in time"), "{}", response.body);
    }
    // The abandoned connection is not used again.
    assert_eq!(backend.connections(), 2);
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_response_that_stops_is_broken_off_and_one_that_goes_on_is_not() {
    let backend = Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        let head = read_head(&mut socket, &mut buffer).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await.expect("sent");
        if head.contains("stalls") {
            socket.write_all(b"abc").await.expect("sent");
            std::future::pending::<()>().await;
        }
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            socket.write_all(b"x").await.expect("sent");
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| limits.stream_idle_timeout = Duration::from_millis(500))
        .start();
    let mut stalled = gateway.client().await;
    stalled.send("GET /api/stalls HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(gateway.get("").await.body, "xxxxxxxxxx");
    assert_eq!(stalled.head().await.expect("a head").status, 200);
    let mut rest = Vec::new();
    let _ended = soon(stalled.socket.read_to_end(&mut rest)).await;
    assert_eq!([stalled.buffer, rest].concat(), b"abc");
}

#[tokio::test]
async fn a_body_that_stops_is_a_408_and_one_that_goes_on_is_not() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| limits.response_timeout = Duration::from_millis(600))
        .start();
    let mut stalled = gateway.client().await;
    stalled.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let mut slow = gateway.client().await;
    slow.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        slow.send("x").await;
    }
    assert_eq!(slow.response().await.status, 200);
    assert_eq!(stalled.response().await.status, 408);
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_replaced() {
    let backend = Backend::serving(|_| (ok("once"), false)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for turn in 1..=30 {
        client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
        assert_eq!(client.response().await.body, "once");
        assert_eq!((backend.connections(), backend.seen().len()), (turn, turn));
    }
}

#[tokio::test]
async fn fixed_upstreams_and_kept_hosts() {
    let backend = Backend::named("fixed").await;
    let routes = format!(
        "[{{ id: f, uri: 'http://localhost:{0}', predicates: ['Path=/f/**'], filters: ['PreserveHostHeader'] }},
          {{ id: g, uri: 'http://localhost:{0}', predicates: ['Path=/g/**'],
             filters: ['AddRequestHeader=X-Req, 1', 'AddResponseHeader=X-Res, 2'] }}]",
        backend.address.port()
    );
    let gateway = Setup::with_routes(&routes, &[]).start();
    assert_eq!(gateway.ask("GET /f/x HTTP/1.1\r\nHost: shop:1\r\n\r\n").await.body, "fixed");
    assert_eq!((backend.last().line(), backend.last().one("host")), ("GET /f/x HTTP/1.1", "shop:1"));
    let response = gateway.ask("GET /g/x HTTP/1.1\r\nHost: shop:1\r\n\r\n").await;
    assert_eq!(response.header("x-res"), Some("2"));
    assert_eq!(backend.last().one("host"), format!("localhost:{}", backend.address.port()));
    assert_eq!((backend.last().one("x-req"), backend.last().one("gray")), ("1", "PROD"));
}
