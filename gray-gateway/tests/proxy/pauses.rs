//! Clients that pause in a body or an answer: for long when they were fast until then, unless there is no room for that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gray_gateway::proxy::{Limits, Refusal};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    h2::{ask, fed},
    support::{Backend, Client, Gateway, Setup, soon, until},
    wire::read_head,
};

/// What anybody may pause, at most.
const SHORT: Duration = Duration::from_millis(600);
/// Longer than that, and than the kernel would wait; shorter than who is fast may.
const PAUSE: Duration = Duration::from_millis(2_500);
/// More than buffers take on the way.
const LARGE: usize = 8 << 20;

fn short(limits: &mut Limits) {
    (limits.body_timeout, limits.write_timeout) = (SHORT, SHORT);
    limits.pause_timeout = Duration::from_secs(15);
}

/// Answers every request with what was sent, and so many bytes.
async fn instance(size: usize) -> Backend {
    Backend::raw(move |mut socket| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut socket, &mut buffer).await {
            let Some(sent) = crate::wire::read_body(&mut socket, &mut buffer, &head).await else { return };
            let head = format!("HTTP/1.1 200 OK\r\nX-Sent: {}\r\nContent-Length: {size}\r\n\r\n", sent.len());
            if socket.write_all(head.as_bytes()).await.is_err() || socket.write_all(&vec![b'x'; size]).await.is_err() {
                return;
            }
        }
    })
    .await
}

fn route(metadata: &str, instance: &Backend) -> Setup {
    let routes = format!("[{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], metadata: {{ {metadata} }} }}]");
    Setup::with_routes(&routes, &[instance.instance("V1")]).limited(short)
}

/// Sends so much of a body at once, pauses, and sends the rest; the status of the answer.
async fn upload(gateway: &Gateway, at_once: usize) -> u16 {
    let mut client = gateway.client().await;
    client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    client.send(&"x".repeat(at_once)).await;
    let mut seen = [0];
    // An answer ends the pause.
    if tokio::time::timeout(PAUSE, client.socket.peek(&mut seen)).await.is_err() {
        client.send(&"x".repeat(LARGE - at_once)).await;
    }
    client.head().await.expect("an answer").status
}

/// Reads so much of an answer, pauses, and reads what there is; how much that was in all.
async fn download(gateway: &Gateway, at_once: usize, pause: Duration) -> usize {
    // Its kernel keeps little for it.
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(128 * 1024).expect("set");
    let socket = soon(socket.connect(gateway.address)).await.expect("connected");
    let mut client = Client { socket, buffer: Vec::new() };
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("an answer").status, 200);
    let Client { mut socket, buffer } = client;
    let mut read = buffer.len();
    let mut part = vec![0; 64 * 1024];
    while read < at_once {
        read += soon(socket.read(&mut part)).await.expect("more");
    }
    tokio::time::sleep(pause).await;
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut part)).await {
        read += count;
    }
    read
}

#[tokio::test]
async fn a_fast_upload_may_pause_and_a_slow_one_may_not() {
    let instance = instance(2).await;
    let gateway = route("", &instance).start();
    assert_eq!(upload(&gateway, 1 << 20).await, 200);
    assert_eq!(upload(&gateway, 4_000).await, 408);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::BodyTimeout), 1);
}

#[tokio::test]
async fn a_fast_download_may_pause() {
    let instance = instance(LARGE).await;
    let gateway = route("", &instance).start();
    assert_eq!(download(&gateway, 2 << 20, PAUSE).await, LARGE);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::WriteTimeout), 0);
}

#[tokio::test]
async fn what_the_kernel_has_whole_waits_for_its_client() {
    // All of it is handed to the kernel while the client pauses.
    let size = 700_000;
    let instance = instance(size).await;
    let gateway = route("", &instance).start();
    assert_eq!(download(&gateway, 400_000, PAUSE).await, size);
}

#[tokio::test]
async fn the_route_says_how_long_and_may_be_changed() {
    let instance = instance(LARGE).await;
    let gateway = route("pause-timeout: 0", &instance).start();
    assert_eq!(upload(&gateway, 1 << 20).await, 408);
    assert!(download(&gateway, 2 << 20, PAUSE).await < LARGE);
    // In effect for the next request.
    gateway.shared.store(Arc::new(route("pause-timeout: 15000", &instance).snapshot));
    assert_eq!(upload(&gateway, 1 << 20).await, 200);
    assert_eq!(download(&gateway, 2 << 20, PAUSE).await, LARGE);
    // Never cut off before its time.
    gateway.shared.store(Arc::new(route("pause-timeout: 1500", &instance).snapshot));
    let began = Instant::now();
    assert_eq!(upload(&gateway, 1 << 20).await, 408);
    assert!(began.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test]
async fn nobody_may_pause_for_long_when_there_is_little_room() {
    let instance = instance(LARGE).await;
    let connections = route("", &instance).limited(|limits| limits.max_connections = 2);
    let buffers = route("", &instance).limited(|limits| limits.max_buffer_bytes = 1_000);
    for setup in [connections, buffers] {
        let gateway = setup.start();
        let other = gateway.client().await;
        assert!(download(&gateway, 2 << 20, PAUSE).await < LARGE);
        assert_eq!(gateway.stats.snapshot().refused(Refusal::WriteTimeout), 1);
        drop(other);
    }
}

#[tokio::test]
async fn a_pause_ends_when_room_becomes_scarce() {
    let instance = instance(2).await;
    let gateway = route("", &instance).limited(|limits| limits.max_connections = 10).start();
    let mut client = gateway.client().await;
    client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    client.send(&"x".repeat(1 << 20)).await;
    let mut seen = [0];
    assert!(tokio::time::timeout(PAUSE, client.socket.peek(&mut seen)).await.is_err(), "it may pause");
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(gateway.client().await);
    }
    assert_eq!(client.head().await.expect("an answer").status, 408);
}

#[tokio::test]
async fn buffers_are_counted_while_they_are_held() {
    let instance = instance(LARGE).await;
    let gateway = route("", &instance).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("counted", || gateway.stats.snapshot().held_bytes >= 32 * 1024).await;
    drop(client);
    until("given back", || gateway.stats.snapshot().held_bytes == 0).await;
}

#[tokio::test]
async fn streams_may_pause_as_connections_do() {
    let instance = instance(LARGE).await;
    let gateway = route("", &instance).start();
    let mut client = gateway.h2().await;
    let (feed, body) = fed();
    let asking = client.sender.send_request(ask("POST", &[], body));
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    feed.send(Ok(Frame::data(part.clone()))).expect("open");
    tokio::time::sleep(PAUSE).await;
    feed.send(Ok(Frame::data(part))).expect("open");
    drop(feed);
    let mut answer = soon(asking).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), crate::h2::field(answer.headers(), "x-sent")), (200, "2097152"));
    let mut read = 0;
    while read < 2 << 20 {
        let frame = soon(answer.body_mut().frame()).await.expect("more").expect("more");
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    tokio::time::sleep(PAUSE).await;
    read += soon(answer.into_body().collect()).await.expect("the rest").to_bytes().len();
    assert_eq!(read, LARGE);
}

#[tokio::test]
async fn files_may_wait_for_their_client() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("x"), vec![b'x'; LARGE]).expect("written");
    let routes = |metadata: &str| {
        let directory = directory.path().display();
        format!(
            "[{{ id: files, uri: 'file://{directory}', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'], \
             metadata: {{ {metadata} }} }}]"
        )
    };
    for (metadata, is_whole) in [("", true), ("pause-timeout: 0", false)] {
        let gateway = Setup::with_routes(&routes(metadata), &[]).limited(short).start();
        assert_eq!(download(&gateway, 2 << 20, PAUSE).await == LARGE, is_whole, "{metadata}");
    }
}
