//! HTTP/1 between client and instance, byte by byte: what each side gets to see of the other.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{Backend, Setup, ok, soon, until},
    wire::{read_chunk, read_head},
};

#[tokio::test]
async fn a_head_is_passed_on_line_by_line() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    let peer = client.socket.local_addr().expect("bound");
    client
        .send(
            "GET /api/x?y=1 HTTP/1.1\r\nHost: shop:7000\r\nZ-Last: 1\r\nconnection: close, x-hop\r\nA-First:2 \r\n\
             X-HOP: 3\r\nGRAY: x\r\nCookie: a=1\r\nkeep-alive: 5\r\ncookie: b=2\r\nX_Forwarded_For: 1.1.1.1\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.status, 200);
    let head = backend.last().head;
    let (kept, ours) = head.split_at(head.find("forwarded: ").expect("ours"));
    assert_eq!(
        kept,
        format!(
            "GET /x?y=1 HTTP/1.1\r\nhost: {}\r\nZ-Last: 1\r\nA-First:2 \r\nCookie: a=1\r\ncookie: b=2\r\n",
            backend.address
        )
    );
    assert!(
        ours.starts_with(&format!(
            "forwarded: proto=http;host=\"shop:7000\";for=\"{peer}\"\r\nx-forwarded-for: 127.0.0.1\r\n\
             x-forwarded-proto: http\r\nx-forwarded-host: shop:7000\r\nx-forwarded-port: 7000\r\n\
             x-forwarded-prefix: /api\r\ngray-hops: 1.e3b0c44298fc1c14\r\ngray: PROD\r\ngray-lane: "
        )),
        "{ours}"
    );
}

#[tokio::test]
async fn requests_may_come_in_a_row_or_in_crumbs() {
    let backend = Backend::serving(|seen| (ok(seen.line()), true)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client
        .send(
            "GET /api/1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /api/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             POST /api/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
             GET /api/4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
    for line in ["GET /1", "POST /2", "POST /3", "GET /4"] {
        assert_eq!(client.response().await.body, format!("{line} HTTP/1.1"));
    }
    assert!(client.is_closed().await);
    let mut client = gateway.client().await;
    for byte in "POST /api/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".chars() {
        client.send(byte.encode_utf8(&mut [0; 4])).await;
    }
    assert_eq!(client.response().await.body, "POST /5 HTTP/1.1");
    assert_eq!(backend.last().body, b"ok");
}

#[tokio::test]
async fn interim_responses_reach_who_can_take_them() {
    let backend = Backend::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\
         Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nGray-Path: x\r\nContent-Length: 5\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let hint = client.head().await.expect("a hint");
    assert_eq!(hint.head, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_eq!(client.response().await.body, "ok");
    let old = gateway.ask("GET /api/x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
    assert_eq!((old.status, old.header("connection"), &*old.body), (200, Some("keep-alive"), "ok"));
}

#[tokio::test]
async fn a_stale_connection_costs_nobody_a_request_that_may_be_repeated() {
    // Answers one request per connection, and closes as it receives the second one.
    let backend = Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        read_head(&mut socket, &mut buffer).await.expect("a request");
        socket.write_all(ok("first").as_bytes()).await.expect("sent");
        let _second = read_head(&mut socket, &mut buffer).await;
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(|_| ()).start();
    let mut client = gateway.client().await;
    for turn in 1..=5 {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.body, "first");
        assert_eq!(backend.connections(), turn);
    }
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(client.response().await.status, 502);
    assert_eq!(backend.connections(), 5);
}

#[tokio::test]
async fn an_answer_may_come_before_the_question_is_complete() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        socket.write_all(answer).await.expect("sent");
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").await;
    let response = client.response().await;
    assert_eq!((response.status, &*response.body), (413, "big"));
    // The rest would not be read.
    assert!(client.is_closed().await);
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_body_that_is_framed_badly_goes_no_further() {
    for chunks in
        ["2\r\nabc\r\n0\r\n\r\n", "2;a\nb\r\nab\r\n0\r\n\r\n", "0x2\r\nab\r\n0\r\n\r\n", "0\r\nno field\r\n\r\n"]
    {
        let backend = Backend::named("v1").await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        let mut client = gateway.client().await;
        client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(chunks).await;
        assert_eq!(client.response().await.status, 400, "{chunks:?}");
        assert!(client.is_closed().await);
        assert!(backend.seen().is_empty(), "{chunks:?}");
    }
}

#[tokio::test]
async fn what_ends_with_the_connection_ends_in_a_chunk() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.expect("sent");
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = client.head().await.expect("a response");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        let mut body = Vec::new();
        loop {
            match soon(read_chunk(&mut client.socket, &mut client.buffer)).await.expect("a chunk") {
                chunk if chunk.is_empty() => break,
                chunk => body.extend(chunk),
            }
        }
        assert_eq!(body, b"until the end");
        assert_eq!(client.buffer, b"\r\n");
        client.buffer.clear();
    }
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a response").header("connection"), Some("close"));
    let mut rest = std::mem::take(&mut client.buffer);
    soon(client.socket.read_to_end(&mut rest)).await.expect("closed");
    assert_eq!(rest, b"until the end");
}

#[tokio::test]
async fn two_lengths_are_one_too_many_for_a_second_request() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    )
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for turn in 1..=2 {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.header("content-length"), &*response.body), (None, "hi"));
        assert_eq!(backend.connections(), turn);
    }
}

#[tokio::test]
async fn an_answer_without_a_date_gets_one() {
    let backend = Backend::serving(|seen| {
        let date = if seen.line().contains("dated") { "Date: then\r\n" } else { "" };
        (format!("HTTP/1.1 204 No Content\r\n{date}\r\n"), true)
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/dated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a response").header("date"), Some("then"));
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let date = client.head().await.expect("a response").header("date").map(str::to_owned).expect("a date");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}
