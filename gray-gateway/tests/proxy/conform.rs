//! RFC 9110 and 9112 at their edges: what intermediaries have to do and seldom are asked for.

use std::sync::Arc;

use http::Response as H2Response;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::{
    certificates::Ca,
    h2::{H2Backend, TO_H2, ask, empty, full},
    support::{Backend, DEADLINE, Gateway, Setup, ok, soon},
    tls::{calling, server},
    wire::read_head,
};

// ---- answers that come before the end of a request

const SIZE: usize = 3_000_000;

/// Sends all of it before it reads anything, as many clients do; what it reads, to an end in order.
async fn sends_all(mut socket: impl AsyncRead + AsyncWrite + Unpin, head: &str, body: &[u8]) -> String {
    let bytes = [head.as_bytes(), b"\r\n", body].concat();
    let sending = tokio::time::timeout(DEADLINE, socket.write_all(&bytes)).await;
    sending
        .unwrap_or_else(|_| panic!("stuck while sending {head}"))
        .unwrap_or_else(|error| panic!("cut off while sending {head}: {error}"));
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
    reading
        .unwrap_or_else(|_| panic!("stuck while reading {head}: {answer:?}"))
        .unwrap_or_else(|error| panic!("cut off while reading {head}: {error}"));
    String::from_utf8(answer).expect("text")
}

async fn limited() -> Setup {
    let (backend, early) = (Backend::named("v1").await, early().await);
    let routes = "[{ id: small, uri: 'lb://app', predicates: ['Path=/small/**'], filters: ['RequestSize=1KB'] },
                   { id: token, uri: 'lb://app', predicates: ['Path=/token/**'], filters: [{ name: JsonWebToken, args: { key: '0123456789abcdef0123456789abcdef', algorithm: HS256 } }] },
                   { id: none, uri: 'lb://none', predicates: ['Path=/none/**'] },
                   { id: early, uri: 'http://EARLY', predicates: ['Path=/early/**'] }]";
    Setup::with_routes(&routes.replace("EARLY", &early.address.to_string()), &[backend.instance("V1")])
}

/// Answers before it has read the body, and takes no more of it.
async fn early() -> Backend {
    Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        socket.write_all(b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await.expect("sent");
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_client_that_sends_on_reads_its_refusal() {
    let gateway = limited().await.start();
    let body = vec![b'x'; SIZE];
    let chunked = [format!("{SIZE:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let length = format!("Content-Length: {SIZE}\r\n");
    for (path, runs, status) in [
        ("/small/x", 100, 413),
        ("/token/x", 5, 401),
        ("/none/x", 5, 503),
        ("/elsewhere", 5, 404),
        ("/early/x", 5, 403),
    ] {
        for run in 0..runs {
            let socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
            let (framing, body) =
                if run % 2 == 0 { (&*length, &body) } else { ("Transfer-Encoding: chunked\r\n", &chunked) };
            // What the instance takes without reading it is passed on whole, and the connection kept.
            let close = if path.starts_with("/early") { "Connection: close\r\n" } else { "" };
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{close}{framing}");
            let answer = sends_all(socket, &head, body).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {run}: {answer}");
        }
    }
}

#[tokio::test]
async fn and_over_tls() {
    let ca = Ca::new("ca");
    let mut setup = limited().await;
    setup.tls = Some(server(&ca, &ca.sign(&["localhost"])));
    let gateway = setup.start();
    for _ in 0..5 {
        let client = gateway.secured(&ca).await;
        let head = format!("POST /small/x HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n");
        let answer = sends_all(client.socket, &head, &vec![b'x'; SIZE]).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_without_end_is_left() {
    let gateway = limited().await.start();
    let mut socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    soon(socket.write_all(b"POST /none/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
        .await
        .expect("sent");
    let part = vec![b'x'; 1 << 20];
    let flooding = async {
        let mut sent = 0_usize;
        while socket.write_all(&part).await.is_ok() {
            sent += 1;
        }
        sent
    };
    let sent = tokio::time::timeout(std::time::Duration::from_secs(120), flooding).await.expect("an end");
    assert!(sent < 200, "{sent} MiB");
}

// ---- answers without a body

#[tokio::test]
async fn a_204_says_nothing_of_a_body() {
    for (method, head, kept) in [
        ("GET", "204 No Content\r\nContent-Length: 5\r\n", None),
        ("GET", "204 No Content\r\nContent-Length: 0\r\n", None),
        ("GET", "204 No Content\r\nTransfer-Encoding: chunked\r\n", None),
        ("HEAD", "204 No Content\r\nContent-Length: 5\r\n", None),
        ("HEAD", "204 No Content\r\nTransfer-Encoding: chunked\r\n", None),
        // What a GET would get: that may be said (RFC 9110, 8.6).
        ("GET", "304 Not Modified\r\nContent-Length: 5\r\n", Some("5")),
        ("HEAD", "200 OK\r\nContent-Length: 5\r\n", Some("5")),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\n");
        let backend = Backend::serving(move |_| (answer.clone(), true)).await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        let (mut client, mut h2) = (gateway.client().await, gateway.h2().await);
        for _ in 0..2 {
            client.send(&format!("{method} /api/x HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let response = client.head().await.expect("an answer");
            assert_eq!(response.head[9..12], head[..3], "{method} {head}");
            assert_eq!(
                (response.header("content-length"), response.header("transfer-encoding")),
                (kept, None),
                "{head}"
            );
            let response = h2.send(ask(method, &[], empty())).await;
            assert_eq!(response.status().to_string(), head[..3], "{method} {head}");
            assert_eq!((response.header("content-length"), response.text()), (kept, ""), "{method} {head}");
        }
    }
}

#[tokio::test]
async fn what_comes_behind_a_204_is_nobodys() {
    // The body that was announced comes when the connection would have been given to the next request.
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let backend = Backend::raw(move |mut socket| {
        let wait = Arc::clone(&wait);
        async move {
            let mut buffer = Vec::new();
            while let Some(head) = read_head(&mut socket, &mut buffer).await {
                if head.contains("/first") {
                    socket.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 40\r\n\r\n").await.expect("sent");
                    wait.notified().await;
                    let _gone = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
                } else {
                    socket.write_all(ok("good").as_bytes()).await.expect("sent");
                }
            }
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/first HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("an answer").status, 204);
    go_on.notify_one();
    client.send("GET /api/second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((client.response().await.body.as_str(), backend.connections()), ("good", 2));
}

#[tokio::test]
async fn an_instance_of_http2_may_say_it_too() {
    let backend = H2Backend::serving(|head, _| async move {
        let body = if head.uri.path() == "/data" { full("data") } else { empty() };
        H2Response::builder().status(204).header("content-length", "4").body(body).expect("an answer")
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    for path in ["/api/x", "/api/data"] {
        let mut client = gateway.client().await;
        for _ in 0..2 {
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let response = client.head().await.expect("an answer");
            assert_eq!((response.status, response.header("content-length")), (204, None), "{path}");
        }
    }
}

// ---- Expect, Max-Forwards, absolute form, ALPN

#[tokio::test]
async fn what_nobody_can_meet_is_a_417() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for expect in ["x", "100-continue, x", "200-ok", ""] {
        client.send(&format!("GET /api/x HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!(response.status, 417, "{expect}");
        assert!(response.body.contains("the only Expect that is served is 100-continue"), "{}", response.body);
    }
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 2\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("connection")), (417, Some("close")));
    let mut h2 = gateway.h2().await;
    assert_eq!(h2.send(ask("GET", &[("expect", "x")], empty())).await.status(), 417);
    assert!(backend.seen().is_empty());
}

/// A route that takes TRACE.
async fn tracing() -> (Backend, Gateway) {
    let backend = Backend::named("v1").await;
    let routes = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**', 'Method=GET,TRACE,OPTIONS'] }]";
    let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
    (backend, gateway)
}

#[tokio::test]
async fn the_last_hop_answers() {
    let (backend, gateway) = tracing().await;
    let mut client = gateway.client().await;
    for target in ["/api/x", "*", "/elsewhere"] {
        client.send(&format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.header("content-length")), (200, Some("0")), "{target}");
        assert!(response.header("allow").is_some_and(|allow| allow.contains("GET")), "{}", response.head);
    }
    client
        .send("TRACE /api/x HTTP/1.1\r\nHost: a\r\nVia: 1.1 b\r\nCookie: secret\r\nX: <y>\r\nMax-Forwards: 0\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("message/http")));
    assert_eq!(response.body, "TRACE /api/x HTTP/1.1\r\nHost: a\r\nVia: 1.1 b\r\nMax-Forwards: 0\r\n\r\n");
    let mut h2 = gateway.h2().await;
    let response = h2.send(ask("OPTIONS", &[("max-forwards", "0")], empty())).await;
    assert_eq!((response.status(), response.text()), (200, ""));
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn every_hop_counts() {
    let (backend, gateway) = tracing().await;
    let mut client = gateway.client().await;
    for (method, value, expect) in [
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "010", "9"),
        ("TRACE", "2", "1"),
        // It says nothing of other methods.
        ("GET", "0", "0"),
        ("GET", "x", "x"),
    ] {
        client.send(&format!("{method} /api/x HTTP/1.1\r\nHost: a\r\nMAX-Forwards: {value}\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200, "{method} {value}");
        assert_eq!(backend.last().one("max-forwards"), expect, "{method} {value}");
    }
    for wrong in ["x", "-1", "", "1, 1", "99999999999999999999"] {
        let request = format!("OPTIONS /api/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {wrong}\r\n\r\n");
        assert_eq!(gateway.ask(&request).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_host_of_the_target_counts() {
    let (open, inner) = (Backend::named("open").await, Backend::named("inner").await);
    let routes = format!(
        "[{{ id: inner, uri: 'http://{}', predicates: ['Host=inner.example'], filters: ['PreserveHostHeader'] }},
          {{ id: open, uri: 'http://{}', predicates: ['Path=/**'] }}]",
        inner.address, open.address
    );
    let gateway = Setup::with_routes(&routes, &[]).start();
    for (target, host, expect) in [
        ("/x", "a", "open"),
        ("/x", "inner.example", "inner"),
        ("http://inner.example/x", "a", "inner"),
        ("http://inner.example:80/x", "a:90", "inner"),
        ("http://a/x", "inner.example", "open"),
    ] {
        let response = gateway.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!((response.status, &*response.body), (200, expect), "{target} {host}");
        let seen = if expect == "open" { open.last() } else { inner.last() };
        let asked = target.strip_prefix("http://").and_then(|target| target.split('/').next()).unwrap_or(host);
        assert_eq!((seen.line(), seen.one("x-forwarded-host")), ("GET /x HTTP/1.1", asked), "{target} {host}");
        // Rewritten, where it is kept at all.
        let own = open.address.to_string();
        assert_eq!(seen.one("host"), if expect == "open" { &own } else { asked }, "{target} {host}");
    }
    let old = gateway.ask("GET http://inner.example/x HTTP/1.0\r\n\r\n").await;
    assert_eq!((old.status, &*old.body, inner.last().one("host")), (200, "inner", "inner.example"));
}

#[tokio::test]
async fn alpn_knows_the_old_name_too() {
    let ca = Ca::new("ca");
    let backend = Backend::named("v1").await;
    let mut setup = Setup::new(&[backend.instance("V1")]);
    setup.tls = Some(server(&ca, &ca.sign(&["localhost"])));
    let gateway = setup.start();
    let name = || ServerName::try_from("localhost").expect("name");
    for (offered, agreed) in [
        (&[&b"http/1.0"[..]][..], &b"http/1.0"[..]),
        (&[b"http/1.0", b"http/1.1"], b"http/1.1"),
        (&[b"http/1.1", b"h2"], b"h2"),
    ] {
        let stream = soon(calling(&ca, offered).connect(name(), gateway.tcp_for_tls().await)).await.expect("handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed));
        if agreed != b"h2" {
            let mut client = crate::support::Client { socket: stream, buffer: Vec::new() };
            client.send("GET /api/x HTTP/1.0\r\n\r\n").await;
            assert_eq!(client.response().await.body, "v1");
        }
    }
    let stranger = soon(calling(&ca, &[b"spdy/3"]).connect(name(), gateway.tcp_for_tls().await)).await;
    assert!(stranger.is_err());
}
