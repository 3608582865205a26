//! Clients that take their time: to send a head, to send a body, to take an answer.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use gray_gateway::proxy::{Limits, Refusal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    support::{Backend, Client, Gateway, Setup, soon, spawn, until},
    wire::read_head,
};

fn short(limits: &mut Limits) {
    limits.head_timeout = Duration::from_millis(400);
    limits.body_timeout = Duration::from_millis(800);
    limits.write_timeout = Duration::from_millis(300);
    limits.min_rate = 2_000;
}

/// Sends a byte every 50 ms until the gateway answers or ends it.
async fn trickle(client: &mut Client, byte: &str) {
    let mut seen = [0];
    loop {
        if client.socket.write_all(byte.as_bytes()).await.is_err() {
            return;
        }
        let wait = Duration::from_millis(50);
        if let Ok(peeked) = tokio::time::timeout(wait, client.socket.peek(&mut seen)).await {
            return assert!(peeked.is_ok());
        }
    }
}

/// Answers every request with so many bytes, as fast as they are taken.
async fn generous(size: usize) -> Backend {
    Backend::raw(move |mut socket| async move {
        let mut buffer = Vec::new();
        while read_head(&mut socket, &mut buffer).await.is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            if socket.write_all(head.as_bytes()).await.is_err() || socket.write_all(&vec![b'x'; size]).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// A client for which the kernel keeps little.
async fn narrow(gateway: SocketAddr, bytes: u32) -> Client {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(bytes).expect("set");
    Client { socket: soon(socket.connect(gateway)).await.expect("connected"), buffer: Vec::new() }
}

fn refused(gateway: &Gateway, why: Refusal) -> u64 {
    gateway.stats.snapshot().refused(why)
}

#[tokio::test]
async fn a_head_that_trickles_is_answered_408() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    let began = Instant::now();
    trickle(&mut client, "x").await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert!(response.body.contains("the request head did not arrive in time"), "{}", response.body);
    assert!(client.is_closed().await && began.elapsed() < Duration::from_secs(3));
    assert_eq!(refused(&gateway, Refusal::HeadTimeout), 1);
    // Who has said nothing hears nothing.
    assert!(gateway.client().await.is_closed().await);
    assert_eq!(refused(&gateway, Refusal::HeadTimeout), 1);
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    for (framing, byte) in [("Content-Length: 100000", "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
        let mut client = gateway.client().await;
        client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).await;
        let began = Instant::now();
        trickle(&mut client, byte).await;
        assert_eq!(client.response().await.status, 408, "{framing}");
        assert!(client.is_closed().await && began.elapsed() < Duration::from_secs(4), "{framing}");
    }
    assert_eq!(refused(&gateway, Refusal::BodyTimeout), 2);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn an_upload_that_is_slow_but_steady_goes_on() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 12000\r\n\r\n").await;
    // 4 kB/s: three times as long as a pause may be.
    for _ in 0..12 {
        client.send(&"x".repeat(1_000)).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(client.response().await.status, 200);
    assert_eq!(backend.last().body.len(), 12_000);
}

#[tokio::test]
async fn an_instance_that_takes_its_time_is_not_the_clients_fault() {
    let backend = Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        read_head(&mut socket, &mut buffer).await.expect("a request");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let mut rest = 8 * 1024 * 1024 - buffer.len();
        let mut part = vec![0; 1 << 16];
        while rest > 0 {
            rest -= socket.read(&mut part).await.expect("a body");
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("sent");
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    let mut client = gateway.client().await;
    let size = 8 * 1024 * 1024;
    client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).await;
    client.send(&"x".repeat(size)).await;
    assert_eq!(client.head().await.expect("a response").status, 204);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let backend = generous(64 * 1024 * 1024).await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    let mut client = narrow(gateway.address, 4096).await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("cut off", || refused(&gateway, Refusal::WriteTimeout) == 1).await;
    until("gone", || gateway.stats.snapshot().connections == 0).await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served() {
    let size = 16 * 1024 * 1024;
    let backend = generous(size).await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(short)
        // A busy machine makes pauses of its own.
        .limited(|limits| limits.write_timeout = Duration::from_millis(700))
        .start();
    let mut client = narrow(gateway.address, 256 * 1024).await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a response").status, 200);
    let (mut left, mut part) = (size - client.buffer.len(), vec![0; 1 << 16]);
    // Longer in all than anybody may pause.
    while left > 0 {
        left -= soon(client.socket.read(&mut part)).await.expect("more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused(&gateway, Refusal::WriteTimeout), 0);
}

#[tokio::test]
async fn a_websocket_may_rest_unless_told_otherwise() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        socket.write_all(switch).await.expect("sent");
        let (mut read, mut write) = socket.split();
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let ask = "GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let setup = Setup::new(&[backend.instance("V1")]).limited(short);
    let patient = setup.clone().start();
    let strict = setup.limited(|limits| limits.tunnel_idle_timeout = Some(Duration::from_millis(500))).start();
    let mut echo = [0; 4];
    let (mut calm, mut busy) = (patient.client().await, strict.client().await);
    for client in [&mut calm, &mut busy] {
        client.send(ask).await;
        assert_eq!(client.head().await.expect("a response").status, 101);
    }
    // Longer than the limit, but never without a word for as long.
    for _ in 0..8 {
        busy.send("ping").await;
        soon(busy.socket.read_exact(&mut echo)).await.expect("an echo");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(busy.is_closed().await);
    calm.send("ping").await;
    soon(calm.socket.read_exact(&mut echo)).await.expect("an echo");
}

#[tokio::test]
async fn honest_clients_do_not_notice_the_slow_ones() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(short).start();
    let mut slow = Vec::new();
    for turn in 0..100 {
        let mut client = gateway.client().await;
        let begun = if turn % 2 == 0 {
            "GET /api/x HTTP/1.1\r\nHost: a\r\n"
        } else {
            "POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        };
        client.send(begun).await;
        slow.push(spawn(async move { client.response().await.status }));
    }
    for _ in 0..50 {
        assert_eq!(gateway.get("").await.status, 200);
    }
    for client in slow {
        assert_eq!(soon(client).await.expect("joined"), 408);
    }
}
