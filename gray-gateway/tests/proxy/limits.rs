//! How much a client may send, and how many connections it may have.

use std::{net::Ipv4Addr, time::Duration};

use gray_gateway::proxy::Refusal;

use crate::support::{Backend, Client, Setup, soon, until};

const SIZED: &str = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['RequestSize=1KB'] }, \
                      { id: big, uri: 'lb://app', predicates: ['Path=/big/**'], filters: ['RequestSize=1MB'] }]\n\
                      spring.cloud.gateway.default-filters: ['RequestSize=10']";

#[tokio::test]
async fn a_target_is_limited_in_length() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let ask = |length: usize| format!("GET /api/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 5));
    assert_eq!(gateway.ask(&ask(16 * 1024)).await.status, 200);
    assert_eq!(gateway.ask(&ask(16 * 1024 + 1)).await.status, 414);
    // Longer than a head may be, and no end of the line in sight.
    let mut client = gateway.client().await;
    client.send(&ask(70_000)[..66_000]).await;
    assert_eq!(client.response().await.status, 414);
    assert!(client.is_closed().await);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::UriTooLong), 2);
}

#[tokio::test]
async fn a_body_is_limited_by_its_route() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(SIZED, &[backend.instance("V1")]).start();
    let sized = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    for (path, length, status) in
        [("/api/x", 1024, 200), ("/api/x", 1025, 413), ("/big/x", 1025, 200), ("/big/x", 1 << 20, 200)]
    {
        assert_eq!(gateway.ask(&sized(path, length)).await.status, status, "{path} {length}");
    }
    assert_eq!(backend.seen().len(), 3);

    // A body that was read in passing leaves the connection as it was.
    let mut client = gateway.client().await;
    client.send(&sized("/api/x", 1025)).await;
    assert_eq!(client.response().await.status, 413);
    client.send(&sized("/api/x", 1)).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_body_in_chunks_is_counted_as_it_comes() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(SIZED, &[backend.instance("V1")]).start();
    let head = "POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let bytewise = "1\r\nx\r\n";
    let extended = format!("1;{}\r\nx\r\n", "e".repeat(900));
    for (chunks, status, what) in [
        (chunk.clone(), 200, "half of it"),
        (chunk.repeat(2), 200, "its framing does not count"),
        (bytewise.repeat(1024), 200, "nor when it is most of it"),
        (format!("{}{bytewise}", chunk.repeat(2)), 413, "one more byte"),
        (bytewise.repeat(1025), 413, "one more byte"),
        (extended.repeat(20), 200, "20 bytes"),
        (extended.repeat(40), 413, "hardly anything but framing"),
    ] {
        assert_eq!(gateway.ask(&format!("{head}{chunks}0\r\n\r\n")).await.status, status, "{what}");
    }
    let mut client = gateway.client().await;
    client.send(head).await;
    for _ in 0..3 {
        client.send(&chunk).await;
    }
    assert_eq!(client.response().await.status, 413);
    assert!(client.is_closed().await);
    assert_eq!(backend.seen().len(), 4, "what was begun is no request");
    assert_eq!(gateway.stats.snapshot().refused(Refusal::BodyTooLarge), 4);
}

#[tokio::test]
async fn nobody_is_told_to_go_on_with_a_body_that_is_refused() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(SIZED, &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n").await;
    assert_eq!(client.response().await.status, 413);
    assert!(client.is_closed().await);
    assert!(backend.seen().is_empty() && backend.connections() == 0);
}

#[tokio::test]
async fn connections_of_one_client_are_limited() {
    let backend = Backend::named("v1").await;
    let setup = Setup::new(&[backend.instance("V1")]).limited(|limits| limits.max_connections_per_client = 2);
    let gateway = setup.clone().start();
    let mut held = vec![gateway.client().await, gateway.client().await];
    for client in &mut held {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    let refused = gateway.get("").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    let other = std::net::IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let mut stranger = Client::connect_from(other, gateway.address).await;
    stranger.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(stranger.response().await.status, 200);
    held.pop();
    until("one has gone", || gateway.stats.snapshot().connections == 2).await;
    assert_eq!(gateway.get("").await.status, 200);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::ClientConnections), 1);

    // A proxy stands for many.
    let gateway = setup.trusting("127.0.0.0/8").start();
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut client = gateway.client().await;
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        held.push(client);
    }
}

#[tokio::test]
async fn when_there_is_no_room_the_longest_idle_goes() {
    let backend = Backend::named("v1").await;
    let mut setup = Setup::new(&[backend.instance("V1")]).limited(|limits| limits.max_connections = 2);
    setup.workers = 1;
    let gateway = setup.start();
    let mut idle = gateway.client().await;
    idle.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    let mut busy = gateway.client().await;
    busy.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await;
    until("it is busy", || gateway.stats.snapshot().in_flight == 1).await;
    // Takes the place of the idle one.
    let mut third = gateway.client().await;
    third.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await;
    until("it is busy as well", || gateway.stats.snapshot().in_flight == 2).await;
    assert!(idle.is_closed().await);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Evicted), 1);
    // No connection is idle any more.
    let refused = gateway.get("").await;
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    assert!(gateway.stats.snapshot().refused(Refusal::Connections) >= 1);
    for client in [&mut busy, &mut third] {
        client.send("x").await;
        assert_eq!(soon(client.response()).await.status, 200);
    }
    drop(busy);
    until("one has gone", || gateway.stats.snapshot().connections == 1).await;
    assert_eq!(gateway.get("").await.status, 200);
}

#[tokio::test]
async fn a_refusal_is_short_lived() {
    let gateway = Setup::new(&[]).limited(|limits| limits.max_connections_per_client = 1).start();
    let _held = gateway.client().await;
    until("it is open", || gateway.stats.snapshot().connections == 1).await;
    // Says nothing and hears why all the same.
    let mut silent = gateway.client().await;
    assert_eq!(silent.response().await.status, 429);
    assert!(tokio::time::timeout(Duration::from_secs(5), silent.is_closed()).await.expect("closed"));
}
