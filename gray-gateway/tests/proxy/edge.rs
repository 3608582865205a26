//! What is refused, and what a refusal looks like.

use std::time::Duration;

use crate::support::{Backend, Setup};

#[tokio::test]
async fn ambiguous_or_unsafe_requests_are_refused() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    for (request, status) in [
        ("GET /api/../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/..%2fx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/x%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/x%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost: a\"b\r\n\r\n", 400),
        ("GET http://b@c/api/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost: a\u{e4}\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (
            "GET /api/x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx",
            400,
        ),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST /api/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET /api/x HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /api/x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: much\r\nContent-Length: 1\r\n\r\na", 417),
        ("NONSENSE\r\n\r\n", 400),
        ("GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ] {
        assert_eq!(gateway.ask(request).await.status, status, "{request:?}");
    }
    assert!(backend.seen().is_empty());
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.no_route, stats.decisions), (2, [0, 0, 0]));
}

#[tokio::test]
async fn what_is_merely_odd_passes_byte_by_byte() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    for target in [
        "/a%2Fb",
        "/a;v=1/b",
        "/%E4%B8%AD",
        "/a?b=../c&d=%0d%0a",
        "/a%252e",
        "/...",
        "/a?",
        "/a?x=a/b?c",
        "/~a!$&'()*+,=:@",
    ] {
        let response = gateway.ask(&format!("GET /api{target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(backend.last().line(), format!("GET {target} HTTP/1.1"));
    }
    let response = gateway.ask("GET http://a/api/x?y HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((response.status, backend.last().line()), (200, "GET /x?y HTTP/1.1"));
}

#[tokio::test]
async fn heads_are_limited_in_count_and_size() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let count = |lines: usize| (1..lines).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    assert_eq!(gateway.get(&count(100)).await.status, 200);
    assert_eq!(gateway.get(&count(101)).await.status, 431);
    let size = |bytes: usize| format!("x-big: {}\r\n", "y".repeat(bytes));
    assert_eq!(gateway.get(&size(60_000)).await.status, 200);
    assert_eq!(gateway.get(&size(66_000)).await.status, 431);
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| {
            limits.head_timeout = Duration::from_millis(300);
            limits.idle_timeout = Duration::from_millis(300);
        })
        .start();
    let mut silent = gateway.client().await;
    let mut slow = gateway.client().await;
    slow.send("GET /api/x HTTP/1.1\r\nHo").await;
    let mut idle = gateway.client().await;
    idle.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    assert!(silent.is_closed().await);
    assert_eq!(slow.response().await.status, 408);
    assert!(slow.is_closed().await);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn old_clients_are_served() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.0\r\n\r\n").await;
    let head = client.head().await.expect("a response");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), None);
    let mut rest = client.buffer;
    crate::support::soon(tokio::io::AsyncReadExt::read_to_end(&mut client.socket, &mut rest)).await.expect("closed");
    assert_eq!(rest, b"hi");
    assert_eq!(backend.last().line(), "GET /x HTTP/1.1");
    assert_eq!(backend.last().one("host"), backend.address.to_string());
    assert!(backend.last().all("x-forwarded-host").is_empty());
}
