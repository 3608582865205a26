//! Backends that smuggle: what they answer to one client never reaches another.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::io::AsyncWriteExt;

use crate::{
    support::{Backend, Setup, ok, soon},
    wire::{read_head, read_request},
};

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// The first request to this backend is answered with the bytes, all others, on whatever connection, with `good`.
async fn answering(bytes: Vec<u8>) -> Backend {
    let turn = Arc::new(AtomicUsize::new(0));
    Backend::raw(move |mut socket| {
        let (turn, bytes) = (Arc::clone(&turn), bytes.clone());
        async move {
            let mut buffer = Vec::new();
            while read_request(&mut socket, &mut buffer).await.is_some() {
                let first = turn.fetch_add(1, SeqCst) == 0;
                let answer = if first { bytes.clone() } else { ok("good").into_bytes() };
                if socket.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// What the client gets for it, and that the next request on the same connection, or on another one, is answered by its own
/// answer.
async fn check(name: &str, ask: &str, bytes: Vec<u8>, expect: (u16, &str)) {
    let backend = answering(bytes).await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(|limits| limits.connect_attempts = 1).start();
    let mut client = gateway.client().await;
    client.send(ask).await;
    let head = client.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
    let bodiless = ask.starts_with("HEAD") || matches!(head.status, 204 | 304);
    assert_eq!(head.status, expect.0, "{name}");
    if !bodiless {
        let body = soon(crate::wire::read_body(&mut client.socket, &mut client.buffer, &head.head)).await;
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        if expect.0 != 502 {
            assert_eq!(body.as_deref(), Some(expect.1), "{name}");
        }
    }
    if head.header("connection") == Some("close") {
        assert!(client.is_closed().await, "{name}");
    } else {
        client.send("GET /api/y HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let next = client.response().await;
        assert_eq!((next.status, &*next.body), (200, "good"), "{name}");
    }
    for _ in 0..3 {
        let next = gateway.get("").await;
        assert_eq!((next.status, &*next.body), (200, "good"), "{name}");
    }
}

const GET: &str = "GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn what_is_behind_an_answer_is_nobodys() {
    for (name, ask, answer, expect) in [
        ("behind a length", GET, format!("{}{EVIL}", ok("hi")), (200, "hi")),
        (
            "behind chunks",
            GET,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{EVIL}"),
            { (200, "hi") },
        ),
        ("behind a 204", GET, format!("HTTP/1.1 204 No Content\r\n\r\n{EVIL}"), (204, "")),
        (
            "a 204 with a body",
            GET,
            format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len()),
            { (204, "") },
        ),
        ("behind a 304", GET, format!("HTTP/1.1 304 Not Modified\r\n\r\n{EVIL}"), (304, "")),
        ("behind a HEAD", "HEAD /api/x HTTP/1.1\r\nHost: a\r\n\r\n", ok(EVIL), (200, "")),
    ] {
        check(name, ask, answer.into_bytes(), expect).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_unclear_is_none() {
    let bad = (502, "");
    for (name, head) in [
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nhi"),
        ("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi"),
        ("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi"),
        ("no length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi"),
        ("another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi"),
        ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (
            "a coding twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("LF only", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"),
        ("one LF", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nhi"),
        ("a bare CR", "HTTP/1.1 200 OK\r\nX: y\rZ: 1\r\nContent-Length: 2\r\n\r\nhi"),
        ("folded", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nhi"),
        ("a folded coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi"),
        ("NUL in a value", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nhi"),
        ("no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nhi"),
        ("no status", "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("a status of letters", "HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("no HTTP", "hi\r\n\r\n"),
        (
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        ),
    ] {
        check(name, GET, head.into(), bad).await;
    }
}

#[tokio::test]
async fn an_answer_has_its_limits() {
    let much = |lines: String| format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nhi").into_bytes();
    check("many lines", GET, much("X: y\r\n".repeat(200)), (502, "")).await;
    check("a long line", GET, much(format!("X: {}\r\n", "y".repeat(100_000))), (502, "")).await;
    check("a head without end", GET, format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(100_000)).into(), (502, "")).await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    check("interim answers without end", GET, format!("{interim}{}", ok("hi")).into(), (502, "")).await;
    let few = "HTTP/1.1 100 Continue\r\n\r\n".repeat(3);
    check("a few of them", GET, format!("{few}{}", ok("hi")).into(), (200, "hi")).await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    // Says more once it has answered, so that it lies there when the next request comes.
    let backend = Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        while read_head(&mut socket, &mut buffer).await.is_some() {
            socket.write_all(ok("good").as_bytes()).await.expect("sent");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let _gone = socket.write_all(EVIL.as_bytes()).await;
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for _ in 0..10 {
        client.send(GET).await;
        assert_eq!(client.response().await.body, "good");
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
}
