//! Limits of buffers, at their boundary values: what just fits is served, what does not is answered, and neither hangs.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::{
    support::{Backend, Client, Gateway, Setup, ok, soon},
    wire::read_head,
};

/// The status of an answer to these bytes, in one write and in two that meet at the worst place.
async fn statuses(gateway: &Gateway, bytes: &str) -> [u16; 2] {
    let whole = gateway.ask(bytes).await.status;
    let mut client = gateway.client().await;
    client.socket.set_nodelay(true).expect("set");
    let (first, second) = bytes.split_at(bytes.len() - 1);
    client.send(first).await;
    // What is refused may be refused before its end.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let _sent = client.socket.write_all(second.as_bytes()).await;
    [whole, client.response().await.status]
}

/// A head of this length in all.
fn head(length: usize) -> String {
    let begin = "GET /api/x HTTP/1.1\r\nHost: a\r\nX: ";
    format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4))
}

#[tokio::test]
async fn heads_of_requests() {
    let backend = Backend::named("v1").await;
    for max in [8 * 1024, 40_000, 64 * 1024, 200_000] {
        let setup = Setup::new(&[backend.instance("V1")]).limited(|limits| limits.max_head_bytes = max);
        let gateway = setup.start();
        for (length, expect) in [(max - 1, 200), (max, 200), (max + 1, 431), (max + 40_000, 431)] {
            assert_eq!(statuses(&gateway, &head(length)).await, [expect; 2], "{length} of {max}");
        }
        // Behind another one, which the instance may take its time for.
        let mut client = gateway.client().await;
        client.send(&(head(100) + &head(max) + &head(100))).await;
        for _ in 0..3 {
            assert_eq!(client.response().await.status, 200, "{max}");
        }
    }
}

#[tokio::test]
async fn lines_of_chunked_bodies() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let post = |body: &str| format!("POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    // The line of a size, and the trailers, each with its CR LF.
    for (length, expect) in [(1_023, 200), (1_024, 200), (1_025, 400), (40_000, 400)] {
        let line = format!("5;{}\r\n", "e".repeat(length - 4));
        assert_eq!(statuses(&gateway, &post(&format!("{line}hello\r\n0\r\n\r\n"))).await, [expect; 2], "{length}");
    }
    for (length, expect) in [(8_191, 200), (8_192, 200), (8_193, 400), (70_000, 400)] {
        let trailers = format!("X-T: {}\r\n\r\n", "t".repeat(length - 9));
        assert_eq!(statuses(&gateway, &post(&format!("0\r\n{trailers}"))).await, [expect; 2], "{length}");
    }
    // More chunks than are taken at once, there before anybody asks for them.
    for count in [100, 7_000, 10_000] {
        let body = "5\r\nhello\r\n".repeat(count) + "0\r\n\r\n";
        assert_eq!(statuses(&gateway, &post(&body)).await, [200; 2], "{count}");
    }
}

#[tokio::test]
async fn requests_that_wait_behind_another() {
    // More than may wait, while the instance takes its time.
    let backend = Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        while read_head(&mut socket, &mut buffer).await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.write_all(ok("v1").as_bytes()).await.expect("sent");
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    for sizes in [&[30_000, 35_400, 40_000][..], &[65_536, 65_536], &[100, 65_435, 100], &[20_000; 8]] {
        let mut client = gateway.client().await;
        let all: String = sizes.iter().map(|size| head(*size)).collect();
        client.send(&all).await;
        for size in sizes {
            assert_eq!(client.response().await.status, 200, "{size} of {sizes:?}");
        }
    }
}

/// The answer to a request when the instance sends these bytes at once.
async fn answered(bytes: String) -> (u16, Option<String>) {
    let bytes: &'static str = bytes.leak();
    let backend = Backend::answering(bytes).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client: Client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    let mut answer = client.head().await.expect("an answer");
    while answer.status < 200 {
        answer = client.head().await.expect("an answer");
    }
    let body = soon(crate::wire::read_body(&mut client.socket, &mut client.buffer, &answer.head)).await;
    (answer.status, body.map(|body| String::from_utf8(body).expect("text")))
}

#[tokio::test]
async fn heads_of_instances() {
    let limit = 64 * 1024;
    for (length, expect) in [(33_000, 200), (limit - 1, 200), (limit, 200), (limit + 1, 502), (2 * limit, 502)] {
        let begin = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ";
        let head = format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4));
        let (status, body) = answered(head + "hi").await;
        assert_eq!(status, expect, "{length}");
        assert!(status != 200 || body.as_deref() == Some("hi"), "{length}");
    }
    // Interim answers are not part of it.
    for (count, expect) in [(32, 200), (33, 502)] {
        let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "l".repeat(3_000));
        let (status, _) = answered(interim.repeat(count) + &ok("hi")).await;
        assert_eq!(status, expect, "{count}");
    }
}

#[tokio::test]
async fn lines_of_chunked_answers() {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (length, is_whole) in [(1_024, true), (1_025, false)] {
        let line = format!("5;{}\r\n", "e".repeat(length - 4));
        let (status, body) = answered(chunked(&format!("2\r\nhi\r\n{line}hello\r\n0\r\n\r\n"))).await;
        // What is seen before the head goes out is a 502.
        assert_eq!((status == 200 && body.as_deref() == Some("hihello")), is_whole, "{length}: {status} {body:?}");
    }
    for (length, is_whole) in [(8_192, true), (8_193, false)] {
        let trailers = format!("X-T: {}\r\n\r\n", "t".repeat(length - 9));
        let (status, body) = answered(chunked(&format!("2\r\nhi\r\n0\r\n{trailers}"))).await;
        assert_eq!(status == 200 && body.is_some(), is_whole, "{length}: {status}");
    }
    for count in [5_000, 10_000] {
        let (status, body) = answered(chunked(&("5\r\nhello\r\n".repeat(count) + "0\r\n\r\n"))).await;
        assert_eq!((status, body), (200, Some("hello".repeat(count))), "{count}");
    }
}
