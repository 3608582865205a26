//! Instances that speak HTTP/2, clients that speak HTTP/1 or either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use gray_gateway::tls::UpstreamTls;
use http::Response;
use http_body_util::BodyExt;
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, Semaphore},
};
use tokio_rustls::TlsAcceptor;

use super::{Content, H2Backend, H2Client, TO_H2, ask, fed, field, full, get, trailers};
use crate::{
    certificates::Ca,
    support::{Backend, Setup, instance, nobody, soon, spawn, until},
    tls::{calling, server},
};

#[tokio::test]
async fn http1_in_and_http2_out() {
    let backend = H2Backend::serving(|head, body| async move {
        let sent = body.collect().await.expect("a whole body");
        let end = sent.trailers().map(|fields| format!("{:?}", fields["x-check"])).unwrap_or_default();
        let status = if head.method == "DELETE" { 204 } else { 200 };
        let body =
            if head.method == "HEAD" { super::empty() } else { full([&sent.to_bytes(), end.as_bytes()].concat()) };
        let response = Response::builder().status(status).header("x-version", format!("{:?}", head.version));
        let response = if head.method == "HEAD" { response.header("content-length", "77") } else { response };
        response.body(if status == 204 { super::empty() } else { body }).expect("a response")
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x?a=b HTTP/1.1\r\nHost: shop:7000\r\nCookie: a=1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("x-version")), (200, Some("HTTP/2.0")));
    let seen = backend.last();
    assert_eq!(seen.uri.to_string(), format!("http://{}/x?a=b", backend.address));
    assert_eq!((field(&seen.headers, "gray"), field(&seen.headers, "cookie")), ("PROD", "a=1"));
    assert_eq!((field(&seen.headers, "x-forwarded-host"), seen.headers.get("host")), ("shop:7000", None));
    assert!(!seen.headers.contains_key("x-hop") && !seen.headers.contains_key("connection"));

    for (request, status, body) in [
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            "POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Check: 1\r\n\r\n",
            200,
            "hello\"1\"",
        ),
        ("DELETE /api/x HTTP/1.1\r\nHost: a\r\n\r\n", 204, ""),
    ] {
        client.send(request).await;
        let response = client.response().await;
        assert_eq!((response.status, &*response.body), (status, body), "{request}");
    }
    client.send("HEAD /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    assert_eq!((head.status, head.header("content-length")), (200, Some("77")));
    // No :path can be this.
    client.send("GET /api/` HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 404);
    assert_eq!(backend.connections(), 1);
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn trailers_reach_clients_of_http1() {
    let backend = H2Backend::serving(|_, _| async {
        let (feed, body) = fed();
        feed.send(super::data("hello")).expect("sent");
        feed.send(trailers(&[("x-sum", "7")])).expect("sent");
        Response::new(body)
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, &*response.body), (200, "hellox-sum: 7"));
}

#[tokio::test]
async fn large_bodies_pass_and_many_requests_share_a_connection() {
    let backend = H2Backend::echo("").await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let client = gateway.h2().await;
    let large = Bytes::from(('a'..='z').cycle().take(3 * 1024 * 1024).collect::<String>());
    let asking = (0..100).map(|index| {
        let mut client = client.sender.clone();
        let sent = if index % 50 == 0 { large.clone() } else { Bytes::from(format!("stream {index}")) };
        async move {
            let response = client.send_request(ask("POST", &[], full(sent.clone()))).await.expect("a response");
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            assert!(body == sent, "{index}");
        }
    });
    soon(join_all(asking)).await;
    assert_eq!(backend.connections(), 1);
}

/// Answers when it is let, and says how many requests there are at a time.
async fn held(max_streams: u32) -> (H2Backend, Arc<AtomicUsize>, Arc<Semaphore>) {
    let (waiting, leave) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, gate) = (Arc::clone(&waiting), Arc::clone(&leave));
    let answer = move |_, _| {
        let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
        async move {
            count.fetch_add(1, SeqCst);
            gate.acquire().await.expect("open").forget();
            Response::<Content>::new(full("done"))
        }
    };
    let set = move |builder: &mut hyper::server::conn::http2::Builder<_>| {
        builder.max_concurrent_streams(max_streams);
    };
    let backend = H2Backend::wrapped(|socket| async { Some(socket) }, set, answer).await;
    (backend, waiting, leave)
}

#[tokio::test]
async fn another_connection_when_the_instance_takes_no_more_streams() {
    let (backend, waiting, leave) = held(2).await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let client = gateway.h2().await;
    let mut asking = Vec::new();
    for index in 1..=6 {
        let mut sender = client.sender.clone();
        asking.push(spawn(async move { sender.send_request(get(&[])).await }));
        until("it is there", || waiting.load(SeqCst) == index).await;
    }
    assert_eq!(backend.connections(), 3);
    leave.add_permits(6);
    for asked in asking {
        assert_eq!(soon(asked).await.expect("joined").expect("a response").status(), 200);
    }
}

#[tokio::test]
async fn a_refused_connect_goes_to_another_instance() {
    let backend = H2Backend::echo("good:").await;
    let gateway = Setup::with_routes(TO_H2, &[instance(nobody().await, "V1"), backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    for _ in 0..6 {
        let response = client.send(ask("POST", &[], full("hi"))).await;
        assert_eq!((response.status(), response.text()), (200, "good:hi"));
    }
    assert!(gateway.stats.snapshot().retries > 0);

    let alone = Setup::with_routes(TO_H2, &[instance(nobody().await, "V1")]).start();
    assert_eq!(alone.get("").await.status, 502);
    assert_eq!(alone.stats.snapshot().connect_failures(), 1);
}

#[tokio::test]
async fn an_instance_that_speaks_http1_only_is_a_502() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    assert_eq!(gateway.get("").await.status, 502);
}

#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let (asked, close) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&close));
    // Each connection ends when it is told to, behind this relay.
    let inner = H2Backend::echo("v1:").await;
    let target = inner.address;
    let relay = Backend::raw(move |mut socket| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            let mut upstream = tokio::net::TcpStream::connect(target).await.expect("connected");
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut socket, &mut upstream) => {}
                () = wait.notified() => {}
            }
            drop(socket);
            tell.notify_one();
        }
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[relay.instance("V1")]).start();
    let mut client = gateway.client().await;
    for turn in 1..=5 {
        client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        let response = client.response().await;
        assert_eq!((response.status, &*response.body), (200, "v1:hi"), "{turn}");
        assert_eq!(relay.connections(), turn);
        close.notify_one();
        soon(asked.notified()).await;
    }
}

#[tokio::test]
async fn an_instance_may_send_its_clients_away() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let backend = H2Backend::serving(move |head, _| {
        let wait = Arc::clone(&wait);
        async move {
            if head.method == "PUT" {
                wait.acquire().await.expect("open").forget();
            }
            Response::new(full("done"))
        }
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    let mut sender = client.sender.clone();
    let waiting = spawn(async move { sender.send_request(ask("PUT", &[], full("x"))).await });
    until("it is there", || backend.seen.lock().expect("lock").len() == 1).await;
    backend.end.notify_waiters();
    // It may take a while to arrive. No request is lost over it, and none is sent twice.
    let mut asked = 1;
    while backend.connections() < 2 {
        assert_eq!(client.send(ask("POST", &[], full("x"))).await.status(), 200);
        asked += 1;
        assert_eq!(backend.seen.lock().expect("lock").len(), asked);
    }
    gate.add_permits(1);
    assert_eq!(soon(waiting).await.expect("joined").expect("a response").status(), 200);
}

#[tokio::test]
async fn a_response_has_its_time_limit() {
    let (backend, waiting, _never) = held(10).await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")])
        .limited(|limits| limits.response_timeout = Duration::from_millis(300))
        .start();
    let mut client = gateway.h2().await;
    for turn in 1..=3 {
        assert_eq!(client.send(get(&[])).await.status(), 504);
        assert_eq!((waiting.load(SeqCst), backend.connections()), (turn, 1));
    }
    assert_eq!(gateway.stats.snapshot().in_flight, 0);
}

#[tokio::test]
async fn unused_connections_are_closed() {
    let inner = H2Backend::echo("v1").await;
    let (target, open) = (inner.address, Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&open);
    let relay = Backend::raw(move |mut socket| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, SeqCst);
            let mut upstream = tokio::net::TcpStream::connect(target).await.expect("connected");
            let _ended = tokio::io::copy_bidirectional(&mut socket, &mut upstream).await;
            count.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[relay.instance("V1")])
        .limited(|limits| limits.pool_idle_timeout = Duration::from_millis(300))
        .start();
    assert_eq!(gateway.get("").await.body, "v1");
    until("it is closed", || open.load(SeqCst) == 0).await;
    assert_eq!(gateway.get("").await.body, "v1");
}

// ---- TLS

#[tokio::test]
async fn alpn_on_both_sides() {
    let ca = Ca::new("ca");
    let mut config = Arc::unwrap_or_clone(ca.sign(&["127.0.0.1"]).server());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let wrap = move |socket| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(socket).await.ok() }
    };
    let answer = |head: Arc<http::request::Parts>, _| async move { Response::new(full(head.uri.to_string())) };
    let backend = H2Backend::wrapped(wrap, |_| {}, answer).await;
    let routes = TO_H2.replace("lb:", "lb:https:");
    let mut setup = Setup::with_routes(&routes, &[backend.instance("V1")]);
    setup.tls = Some(server(&ca, &ca.sign(&["localhost"])));
    setup.upstream_tls = Arc::new(UpstreamTls::new(Some(&ca.file())).expect("a CA"));
    let gateway = setup.start();
    let url = format!("https://{}/x", backend.address);
    let name = || rustls::pki_types::ServerName::try_from("localhost").expect("name");

    let connector = calling(&ca, &[b"http/1.1", b"h2"]);
    let stream = soon(connector.connect(name(), gateway.tcp_for_tls().await)).await.expect("handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = H2Client::over(stream).await;
    for _ in 0..2 {
        assert_eq!(client.send(get(&[])).await.text(), url);
        assert_eq!(backend.last().headers["x-forwarded-proto"], "https");
    }
    // The same port, as before, for those who know nothing else.
    let mut client = gateway.secured(&ca).await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.body, url);
}

#[tokio::test]
async fn an_instance_without_h2_over_tls_gets_nothing() {
    let ca = Ca::new("ca");
    for alpn in [&[][..], &[b"http/1.1".to_vec()]] {
        let mut config = Arc::unwrap_or_clone(ca.sign(&["127.0.0.1"]).server());
        config.alpn_protocols = alpn.to_vec();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let backend = Backend::raw(move |socket| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                assert_eq!(stream.read(&mut [0; 100]).await.unwrap_or(0), 0, "a byte without ALPN");
            }
        })
        .await;
        let mut setup = Setup::with_routes(&TO_H2.replace("lb:", "lb:https:"), &[backend.instance("V1")]);
        setup.upstream_tls = Arc::new(UpstreamTls::new(Some(&ca.file())).expect("a CA"));
        let gateway = setup.start();
        assert_eq!(gateway.get("").await.status, 502);
        assert_eq!(gateway.stats.snapshot().connect_failures(), 1);
    }
}
