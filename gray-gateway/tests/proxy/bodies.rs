//! Bodies in both directions: streamed, framed as they came, untouched.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use crate::{
    support::{Backend, Setup, soon, spawn},
    wire::{read_chunk, read_head},
};

#[tokio::test]
async fn framing_is_kept_as_sent() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!((backend.last().one("content-length"), backend.last().body), ("5", b"hello".to_vec()));

    for method in ["POST", "GET", "DELETE"] {
        client
            .send(&format!(
                "{method} /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.response().await.status, 200);
        let seen = backend.last();
        assert_eq!((seen.one("transfer-encoding"), &*seen.body), ("chunked", b"hello!".as_slice()), "{method}");
        assert!(seen.all("content-length").is_empty());
    }
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(backend.last().body, b"hi");
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(backend.last().one("content-length"), "0");
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn responses_pass_unchanged() {
    let backend = Backend::answering(
        "HTTP/1.1 201 Made Up\r\nSet-Cookie: a=1; Path=/\r\nX-Mixed-Case: Yes\r\nset-cookie: b=2\r\nKeep-Alive: timeout=5\r\n\
         Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let response = gateway.get("X-OtherCase: Kept\r\nCookie: a=1\r\nCookie: b=2\r\n").await;
    assert!(response.head.starts_with("HTTP/1.1 201 Made Up\r\n"), "{}", response.head);
    assert!(response.head.contains("\r\nSet-Cookie: a=1; Path=/\r\n"), "{}", response.head);
    assert!(response.head.contains("\r\nset-cookie: b=2\r\n"), "{}", response.head);
    assert!(response.head.contains("\r\nX-Mixed-Case: Yes\r\n"), "{}", response.head);
    for gone in ["keep-alive", "connection", "x-hop"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert!(backend.last().head.contains("\r\nX-OtherCase: Kept\r\n"), "{}", backend.last().head);
    assert_eq!(backend.last().all("cookie"), ["a=1", "b=2"]);
}

#[tokio::test]
async fn bodiless_responses_keep_the_connection() {
    let backend = Backend::serving(|seen| {
        let answer = match seen.line().split(' ').next() {
            Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            Some("OPTIONS") => "HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n",
            _ => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
        };
        (answer.to_owned(), true)
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for (method, status, name, value) in
        [("HEAD", 200, "content-length", "1234"), ("OPTIONS", 204, "allow", "GET"), ("GET", 304, "etag", "\"1\"")]
    {
        client.send(&format!("{method} /api/x HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = client.head().await.expect("a response");
        assert_eq!((response.status, response.header(name)), (status, Some(value)), "{method}");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_response_arrives_before_it_is_complete() {
    let received = Arc::new(Notify::new());
    let go_on = Arc::clone(&received);
    let backend = Backend::raw(move |mut socket| {
        let go_on = Arc::clone(&go_on);
        async move {
            read_head(&mut socket, &mut Vec::new()).await.expect("a request");
            let first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nfirst\r\n";
            socket.write_all(first).await.expect("sent");
            go_on.notified().await;
            socket.write_all(b"4\r\nlast\r\n0\r\nx-sum: 9\r\n\r\n").await.expect("sent");
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
    assert_eq!(client.head().await.expect("head").status, 200);
    assert_eq!(soon(read_chunk(&mut client.socket, &mut client.buffer)).await.expect("chunk"), b"first");
    received.notify_one();
    assert_eq!(soon(read_chunk(&mut client.socket, &mut client.buffer)).await.expect("chunk"), b"last");
    assert_eq!(soon(read_chunk(&mut client.socket, &mut client.buffer)).await.expect("end"), b"");
    let trailers = soon(read_head(&mut client.socket, &mut client.buffer)).await.expect("trailers");
    assert_eq!(trailers.trim().to_lowercase(), "x-sum: 9");
}

#[tokio::test]
async fn a_request_arrives_before_it_is_complete() {
    let received = Arc::new(Notify::new());
    let tell = Arc::clone(&received);
    let backend = Backend::raw(move |mut socket| {
        let tell = Arc::clone(&tell);
        async move {
            let mut buffer = Vec::new();
            read_head(&mut socket, &mut buffer).await.expect("a request");
            assert_eq!(read_chunk(&mut socket, &mut buffer).await.expect("chunk"), b"first");
            tell.notify_one();
            assert_eq!(read_chunk(&mut socket, &mut buffer).await.expect("chunk"), b"last");
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("sent");
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    soon(received.notified()).await;
    client.send("4\r\nlast\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.body, "ok");
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    const SIZE: usize = 16 * 1024 * 1024;
    let backend = Backend::raw(|socket| async move {
        let (mut read, mut write) = socket.into_split();
        let mut buffer = Vec::new();
        while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            read.read_buf(&mut buffer).await.expect("head");
        }
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n").expect("head") + 4;
        write.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.expect("head");
        write.write_all(&buffer[end..]).await.expect("echo");
        // Until the gateway closes the connection.
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    let body: Vec<u8> = (0..SIZE).map(|i| (i % 251) as u8).collect();
    let (mut read, mut write) = client.socket.into_split();
    let sent = body.clone();
    let upload = spawn(async move { write.write_all(&sent).await.map(|()| write) });
    let mut received = Vec::new();
    while !received.windows(4).take(1000).any(|window| window == b"\r\n\r\n") {
        soon(read.read_buf(&mut received)).await.expect("head");
    }
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").expect("head") + 4;
    received.drain(..end);
    while received.len() < SIZE {
        assert!(soon(read.read_buf(&mut received)).await.expect("body") > 0);
    }
    assert!(received == body, "the echo differs");
    soon(upload).await.expect("joined").expect("sent");
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let backend = Backend::serving(|_| ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(), false)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("head").header("content-length"), Some("10"));
    let mut rest = client.buffer;
    let _reset_or_closed = soon(client.socket.read_to_end(&mut rest)).await;
    assert!(rest.len() < 10, "{rest:?}");
    crate::support::until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn continue_is_said_before_the_body_is_sent() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.expect("interim").status, 100);
    client.send("hello").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(backend.last().body, b"hello");
}

#[tokio::test]
async fn websockets_are_joined() {
    let backend = Backend::raw(|mut socket| async move {
        let head = read_head(&mut socket, &mut Vec::new()).await.expect("a request").to_lowercase();
        assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
        assert!(head.contains("\r\ngray: prod\r\n") && head.contains("\r\nsec-websocket-key: k\r\n"), "{head}");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
        socket.write_all(switch).await.expect("sent");
        let (mut read, mut write) = socket.split();
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client
        .send("GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
        .await;
    let response = client.head().await.expect("head");
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    client.send("\x01\u{7f}echo").await;
    let mut got = client.buffer;
    while got.len() < 11 {
        assert!(soon(client.socket.read_buf(&mut got)).await.expect("echo") > 0);
    }
    assert_eq!(got, b"hello\x01\x7fecho");
    drop(client.socket);
    crate::support::until("the tunnel is closed", || gateway.stats.snapshot().connections == 0).await;
}
