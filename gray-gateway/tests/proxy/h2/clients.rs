//! Clients that speak HTTP/2, instances that speak HTTP/1.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use super::{H2Client, ask, data, empty, fed, full, get, trailers};
use crate::{
    support::{Backend, Setup, ok, soon, spawn, until},
    wire::read_head,
};

#[tokio::test]
async fn decided_dyed_and_forwarded_like_any_other() {
    let (v1, v2) = (Backend::named("v1").await, Backend::named("v2").await);
    let gateway = Setup::new(&[v1.instance("V1"), v2.instance("V2")]).start();
    let mut client = gateway.h2().await;
    for (fields, name, backend, tag) in
        [(&[("x-a", "1")], "v1", &v1, "PROD"), (&[("gray", "gray-996")], "v2", &v2, "GRAY")]
    {
        for _ in 0..3 {
            let response = client.send(get(fields)).await;
            assert_eq!((response.status(), response.text()), (200, name));
            assert_eq!(response.head.version, http::Version::HTTP_2);
            assert!(response.header("date").is_some() && response.header("connection").is_none());
        }
        let seen = backend.last();
        assert_eq!((seen.line(), seen.one("gray")), ("GET /x HTTP/1.1", tag));
        assert_eq!(seen.one("host"), backend.address.to_string());
        assert_eq!((seen.one("x-forwarded-host"), seen.one("x-forwarded-port")), ("shop:7000", "7000"));
        assert_eq!((seen.one("x-forwarded-proto"), seen.one("x-forwarded-for")), ("http", "127.0.0.1"));
        assert_eq!(backend.connections(), 1);
    }
    assert_eq!(v1.last().one("x-a"), "1");
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.connections, stats.in_flight), (1, 0));
    // HTTP/1 beside it, on the same port.
    assert_eq!(gateway.get("").await.body, "v1");
}

#[tokio::test]
async fn a_preface_in_pieces() {
    let gateway = Setup::new(&[]).start();
    let mut socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    socket.set_nodelay(true).expect("set");
    for piece in ["P", "RI * HT", "TP/2.0\r\n\r\nSM\r\n", "\r\n"] {
        soon(socket.write_all(piece.as_bytes())).await.expect("sent");
        until("it is known", || gateway.stats.snapshot().connections == 1).await;
        tokio::task::yield_now().await;
    }
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    soon(socket.write_all(&settings)).await.expect("sent");
    let mut frame = [0; 9];
    soon(socket.read_exact(&mut frame)).await.expect("an answer");
    assert_eq!(frame[3..], settings[3..], "{frame:?}");

    // What only begins like it is HTTP/1.
    let mut client = gateway.client().await;
    client.send("P").await;
    client.send("RI / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 404);
}

#[tokio::test]
async fn what_is_refused_ends_its_stream_alone() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(
        "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }, { id: no, uri: 'lb://none', predicates: ['Path=/no'] }]",
        &[backend.instance("V1")],
    )
    .limited(|limits| limits.max_head_bytes = 8 * 1024)
    .start();
    let mut client = gateway.h2().await;
    let of = |uri: &str| Request::get(uri).body(empty()).expect("a request");
    let long = "a".repeat(9000);
    for (request, status, text) in [
        (of("http://shop/elsewhere"), 404, "no route"),
        (of("http://shop/no"), 503, "no instance of none"),
        (of("http://shop/api/../x"), 400, "bad request"),
        (of("http://user@shop/api/x"), 400, "Host is no host"),
        (get(&[("host", "other")]), 400, "more than one Host"),
        (get(&[("expect", "miracles")]), 417, "Expect"),
        (Request::connect("shop:443").body(empty()).expect("a request"), 400, "CONNECT"),
        (get(&[("x-long", &long)]), 431, ""),
    ] {
        let response = client.send(request).await;
        assert_eq!(response.status(), status, "{text}");
        assert!(response.text().contains(text), "{}", response.text());
    }
    assert!(backend.seen().is_empty());
    assert_eq!(client.send(get(&[("host", "SHOP:7000")])).await.status(), 200);
    assert_eq!(gateway.stats.snapshot().connections, 1);
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let backend = Backend::serving(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        let chunk = format!("{:x}\r\n{body}\r\n0\r\nX-Sum: 7\r\nContent-Length: 1\r\n\r\n", body.len());
        (format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"), true)
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;

    let response = client.send(ask("POST", &[], full("hello"))).await;
    assert_eq!((response.text(), backend.last().one("content-length")), ("hello", "5"));
    let end = response.trailers.expect("trailers");
    assert_eq!((end.len(), end["x-sum"].to_str().expect("text")), (1, "7"));

    let (feed, body) = fed();
    for frame in [data("one,"), data(""), data("two"), trailers(&[("x-check", "9"), ("gray", "GRAY")])] {
        feed.send(frame).expect("sent");
    }
    let response = client.send(ask("PUT", &[], body)).await;
    let seen = backend.last();
    assert_eq!((seen.line(), seen.one("transfer-encoding")), ("PUT /x HTTP/1.1", "chunked"));
    assert_eq!((&*seen.body, response.text()), (&b"one,twox-check: 9"[..], "one,twox-check: 9"));
    assert_eq!((backend.connections(), gateway.stats.snapshot().in_flight), (1, 0));
}

#[tokio::test]
async fn heads_without_a_body_and_cookies_in_pieces() {
    let backend = Backend::serving(|seen| {
        let head = match seen.line().split(' ').next() {
            Some("HEAD") => "200 OK\r\nContent-Length: 1234",
            Some("DELETE") => "204 No Content",
            _ => "304 Not Modified\r\nETag: \"1\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2",
        };
        (format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {head}\r\n\r\n"), true)
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    let response = client.send(ask("HEAD", &[], empty())).await;
    assert_eq!((response.status(), response.header("content-length")), (200, Some("1234")));
    assert_eq!(client.send(ask("DELETE", &[], empty())).await.status(), 204);
    let response = client.send(get(&[("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2; c=3")])).await;
    assert_eq!((response.status(), response.header("etag")), (304, Some("\"1\"")));
    assert_eq!(response.head.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!((backend.last().one("cookie"), backend.last().one("te")), ("a=1; b=2; c=3", "trailers"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn large_bodies_and_many_streams() {
    let backend = Backend::serving(|seen| (ok(&String::from_utf8_lossy(&seen.body)), true)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let client = gateway.h2().await;
    let large: String = ('a'..='z').cycle().take(3 * 1024 * 1024).collect();
    let asking = (0..300).map(|index| {
        let mut client = client.sender.clone();
        // With a length and without; a few of them large.
        let sent = Bytes::from(if index % 100 == 0 { large.clone() } else { format!("stream {index}") });
        let body = if index % 2 == 0 { full(sent.clone()) } else { fed_with(sent.clone()) };
        async move {
            let response = client.send_request(ask("POST", &[], body)).await.expect("a response");
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            assert!(body == sent, "{index}");
        }
    });
    soon(join_all(asking)).await;
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
    assert_eq!(gateway.stats.snapshot().connections, 1);
}

fn fed_with(bytes: Bytes) -> super::Content {
    let (feed, body) = fed();
    feed.send(Ok(hyper::body::Frame::data(bytes))).expect("sent");
    body
}

/// A backend that tells when it was asked, and goes on as told.
async fn gated(answer: &'static str) -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&go_on));
    let backend = Backend::raw(move |mut socket| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            let mut buffer = Vec::new();
            while read_head(&mut socket, &mut buffer).await.is_some() {
                tell.notify_one();
                wait.notified().await;
                socket.write_all(answer.as_bytes()).await.expect("sent");
            }
        }
    })
    .await;
    (backend, asked, go_on)
}

#[tokio::test]
async fn a_reset_cancels_and_the_rest_goes_on() {
    let (backend, asked, go_on) = gated("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let client = gateway.h2().await;
    let set = Arc::clone(&gateway.shared.load().services["app"].set);
    let load = || set.all().endpoints()[0].load().in_flight();
    let mut sender = client.sender.clone();
    let mut kept = spawn(async move { sender.send_request(get(&[])).await });
    soon(asked.notified()).await;
    let mut sender = client.sender.clone();
    // Still sending, and reset.
    let (feed, body) = fed();
    feed.send(data("part")).expect("sent");
    let cancelled = spawn(async move { sender.send_request(ask("POST", &[], body)).await });
    soon(asked.notified()).await;
    assert_eq!((gateway.stats.snapshot().in_flight, load()), (2, 2));
    cancelled.abort();
    until("one is left", || gateway.stats.snapshot().in_flight == 1 && load() == 1).await;
    go_on.notify_waiters();
    assert_eq!(soon(&mut kept).await.expect("joined").expect("a response").status(), 200);
    until("its load is off", || load() == 0).await;

    // The connection goes, and with it all streams.
    drop(client);
    let mut socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    let (near, mut far) = tokio::io::duplex(1024);
    let wire = spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut socket).await });
    let mut client = H2Client::over(near).await;
    let lost = spawn(async move { client.sender.send_request(get(&[])).await });
    soon(asked.notified()).await;
    wire.abort();
    soon(lost).await.expect("joined").expect_err("gone");
    until("nothing is left", || gateway.stats.snapshot().in_flight == 0 && load() == 0).await;
    until("it is closed", || gateway.stats.snapshot().connections == 0).await;
}

#[tokio::test]
async fn a_response_that_breaks_off_is_no_whole_one() {
    for head in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}");
        let backend = Backend::serving(move |_| (answer.clone(), false)).await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        let mut client = gateway.h2().await;
        // A reset overtakes what waits before it, so the head may be missing.
        if let Ok(response) = soon(client.sender.send_request(get(&[]))).await {
            assert_eq!(response.status(), 200);
            assert!(soon(response.into_body().collect()).await.is_err(), "{head}");
        }
        assert_eq!(client.send(Request::get("http://shop/").body(empty()).expect("a request")).await.status(), 404);
    }
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        socket.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno").await.expect("sent");
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    let (feed, body) = fed();
    feed.send(data("part")).expect("sent");
    let response = client.send(ask("POST", &[], body)).await;
    assert_eq!((response.status(), response.text()), (403, "no"));
    soon(feed.closed()).await;
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_shutdown_finishes_streams_and_ends_idle_connections() {
    let (backend, asked, go_on) = gated("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let (idle, client) = (gateway.h2().await, gateway.h2().await);
    let mut sender = client.sender.clone();
    let asking = spawn(async move { sender.send_request(get(&[])).await });
    soon(asked.notified()).await;
    let stopped = spawn(gateway.workers.shutdown(Duration::from_secs(10)));
    assert!(idle.ended().await);
    go_on.notify_one();
    let response = soon(asking).await.expect("joined").expect("a response");
    assert_eq!(super::Whole::of(response).await.text(), "done");
    assert!(client.ended().await);
    assert_eq!(soon(stopped).await.expect("joined"), 0);
    assert_eq!(gateway.stats.snapshot().connections, 0);
}

#[tokio::test]
async fn no_request_that_began_is_lost_to_a_shutdown() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let client = gateway.h2().await;
    let asking = (0..20).map(|_| {
        let mut sender = client.sender.clone();
        spawn(async move {
            let mut answered = 0;
            while let Ok(response) = sender.send_request(get(&[])).await {
                let body = response.into_body().collect().await.expect("a whole body");
                assert_eq!(body.to_bytes(), "v1");
                answered += 1;
            }
            answered
        })
    });
    let asking: Vec<_> = asking.collect();
    until("requests flow", || backend.seen().len() > 200).await;
    assert_eq!(soon(gateway.workers.shutdown(Duration::from_secs(10))).await, 0);
    let mut answered = 0;
    for asked in asking {
        answered += soon(asked).await.expect("joined");
    }
    assert_eq!(answered, backend.seen().len());
}

#[tokio::test]
async fn connections_without_streams_end_in_time() {
    let (backend, asked, go_on) = gated("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| {
            (limits.idle_timeout, limits.head_timeout) = (Duration::from_millis(300), Duration::from_secs(1));
        })
        .start();
    let mut busy = gateway.h2().await;
    let mut sender = busy.sender.clone();
    let asking = spawn(async move { sender.send_request(get(&[])).await });
    soon(asked.notified()).await;
    // It ends by the limit; a busy one does not, and then it does.
    assert!(gateway.h2().await.ended().await);
    // A client that takes no notice is left.
    let mut silent = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    soon(silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")).await.expect("sent");
    let mut rest = Vec::new();
    soon(silent.read_to_end(&mut rest)).await.expect("an end");
    assert!(!busy.connection.is_finished());
    go_on.notify_one();
    assert_eq!(soon(asking).await.expect("joined").expect("a response").status(), 200);
    go_on.notify_one();
    assert_eq!(busy.send(get(&[])).await.text(), "done");
    assert!(busy.ended().await);
}

#[tokio::test]
async fn a_client_may_go_before_the_preface_is_whole() {
    let gateway = Setup::new(&[]).limited(|limits| limits.head_timeout = Duration::from_millis(300)).start();
    let mut client = gateway.client().await;
    client.send("PRI * HTTP/2.0\r\n").await;
    assert!(client.is_closed().await);
    let h2 = H2Client::over(soon(TcpStream::connect(gateway.address)).await.expect("connected")).await;
    drop(h2.sender);
    until("both are over", || gateway.stats.snapshot().connections == 0).await;
}
