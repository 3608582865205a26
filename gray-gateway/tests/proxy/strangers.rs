//! What strangers say, and what they are told: hosts, loops, names, tokens.

use std::{fs, sync::Arc, time::Duration};

use gray_gateway::proxy::{AccessLogFormat, AccessLogOptions};
use tokio::io::AsyncReadExt;

use crate::{
    certificates::Ca,
    support::{Backend, Client, Setup, soon, until},
    tls::{calling, server},
};

#[tokio::test]
async fn a_host_is_one_host() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    for (host, status) in [
        ("x.internal.example", 200),
        ("x.internal.example.:80", 200),
        ("[::1]:7000", 200),
        ("evil.com,x.internal.example", 400),
        ("evil.com, x", 400),
        ("a..b", 400),
        ("a;b", 400),
        ("a%2eb", 400),
        ("user@a", 400),
        ("a:80:81", 400),
        ("[a]", 400),
        ("", 400),
    ] {
        let answer = gateway.ask(&format!("GET /api/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_route_to_the_gateway_itself_ends() {
    let gateway = Setup::new(&[]).start();
    let routes = format!("[{{ id: loop, uri: 'http://{}', predicates: ['Path=/**'] }}]", gateway.address);
    gateway.shared.store(Arc::new(Setup::with_routes(&routes, &[]).snapshot));
    for hops in ["", "gray-hops: 1.0000000000000000\r\n", "gray_hops: 9\r\n"] {
        let answer = gateway.ask(&format!("GET /x HTTP/1.1\r\nHost: a\r\n{hops}\r\n")).await;
        assert_eq!(answer.status, 508, "{}", answer.body);
    }
    let answered = || gateway.stats.snapshot().responses.iter().sum::<u64>();
    until("all have ended", || gateway.stats.snapshot().in_flight == 0 && answered() >= 3 * 11).await;
    assert_eq!(answered(), 3 * 11, "ten rounds, and the one that is refused");
}

#[tokio::test]
async fn what_only_gateways_write_is_not_passed_on() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(
        "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['RemoveRequestHeader=X-Role'] }]",
        &[backend.instance("V1")],
    )
    .start();
    let said = "X-Role: a\r\nX_Role: b\r\nx.role: c\r\nX-Roles: d\r\nProxy: evil:80\r\nGray_Hops: 5\r\n";
    assert_eq!(gateway.get(said).await.status, 200);
    let seen = backend.last();
    for name in ["X-Role", "X_Role", "x.role", "Proxy", "Gray_Hops"] {
        assert_eq!(seen.all(name), [""; 0], "{name} in {}", seen.head);
    }
    assert_eq!(seen.one("X-Roles"), "d");
    assert!(seen.one("gray-hops").starts_with("1."), "{}", seen.head);
}

#[tokio::test]
async fn tags_of_an_instance_stay_inside() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nGray: GRAY\r\ngray-lane: 1;v2;-;*=*\r\nGray-Signature: 1.0\r\n\
         gray_caller: a@V1\r\ngray-hops: 1.a\r\ngray-path: a@V1:hit\r\nX-Gray: yes\r\n\r\nok",
    )
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let answer = gateway.get("").await;
    let head = answer.head.to_ascii_lowercase();
    assert!(answer.status == 200 && head.contains("x-gray: yes"), "{head}");
    assert!(!head.contains("\ngray"), "{head}");
}

#[tokio::test]
async fn a_switch_to_something_else_is_none() {
    let ask = "GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (upgrade, status) in [
        ("Upgrade: websocket\r\n", 101),
        ("Upgrade: WebSocket\r\n", 101),
        ("", 502),
        ("Upgrade: h2c\r\n", 502),
        ("Upgrade: websocket, h2c\r\n", 502),
        ("Upgrade: websocket\r\nUpgrade: h2c\r\n", 502),
    ] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\n");
        let backend = Backend::serving(move |_| (answer.clone(), true)).await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        let mut client = gateway.client().await;
        client.send(ask).await;
        assert_eq!(client.head().await.expect("an answer").status, status, "{upgrade:?}");
    }
}

#[tokio::test]
async fn trace_is_for_routes_that_name_it() {
    let backend = Backend::named("v1").await;
    let routes = "
- { id: named, uri: 'lb://app', predicates: ['Path=/traced/**', 'Method=GET,TRACE'] }
- { id: other, uri: 'lb://app', predicates: ['Path=/**'] }";
    let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
    let trace =
        async |path: &str| gateway.ask(&format!("TRACE {path} HTTP/1.1\r\nHost: a\r\nCookie: s=1\r\n\r\n")).await;
    assert_eq!(trace("/traced/x").await.status, 200);
    let refused = trace("/x").await;
    assert_eq!(refused.status, 405, "{}", refused.body);
    assert!(refused.header("allow").is_some_and(|allowed| !allowed.contains("TRACE")), "{}", refused.head);
    assert!(!refused.body.contains("s=1") && backend.seen().len() == 1);
}

#[tokio::test]
async fn tokens_in_a_query_are_not_logged() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let backend = Backend::named("v1").await;
    let mut setup = Setup::with_routes(
        "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: [{ name: JsonWebToken, \
         args: { key: a secret of 16 bytes, algorithm: HS256, token: query.ticket } }] }]",
        &[backend.instance("V1")],
    );
    setup.access_log = Some(AccessLogOptions { path: path.clone(), format: AccessLogFormat::Text });
    let gateway = setup.start();
    let target = "/api/x?page=7&ticket=hush1&access_token=hush2&%70assword=hush3&sig=&x&a=1;sid=hush4;hush5&code=hush6";
    assert_eq!(gateway.ask(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await.status, 401);
    assert_eq!(soon(gateway.workers.shutdown(Duration::from_secs(5))).await, 0);
    let text = fs::read_to_string(&path).expect("a log");
    assert!(!text.contains("hush"), "{text}");
    assert!(
        text.contains(
            "/api/x?page=7&ticket=*****&access_token=*****&%70assword=*****&sig=&x&a=1;sid=***********&code=***** "
        ),
        "{text}"
    );
}

#[tokio::test]
async fn http2_over_tls_is_agreed_on_first() {
    let (ca, backend) = (Ca::new("ours"), Backend::named("v1").await);
    let mut setup = Setup::new(&[backend.instance("V1")]);
    setup.tls = Some(server(&ca, &ca.sign(&["localhost"])));
    let gateway = setup.start();
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let socket = gateway.tcp_for_tls().await;
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("name");
        let socket = soon(calling(&ca, alpn).connect(name, socket)).await.expect("handshake");
        let mut client = Client { socket, buffer: Vec::new() };
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let mut answer = Vec::new();
        let _ended = soon(client.socket.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{alpn:?}: {answer:?}");
    }
}
