//! What an egress refuses to send.

use std::time::{Duration, Instant};

use gray_core::Instance;

use super::{ADMIN, egress, serve};
use crate::support::Backend;

#[tokio::test]
async fn requests_that_go_nowhere() {
    let backend = Backend::named("V1").await;
    let gateway = egress(&[("user-app", vec![backend.instance("V1")])], &["api.example.com"]);
    let (own, port) = (gateway.address, backend.address.port());
    let huge = format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(300));
    let endless = format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", "a.".repeat(20_000));
    for (request, status) in [
        // Whom is it for?
        (format!("GET http://user-app:80@{own}/ HTTP/1.1\r\nHost: user-app\r\n\r\n"), 400),
        ("GET http://user@user-app/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET ftp://user-app/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET file:///etc/passwd HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET gopher://user-app/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http:// HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app\\@evil/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app:99999/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app:-1/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user%2dapp/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app,evil/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app/../x HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 400),
        ("GET http://user-app/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET http://user-app/x HTTP/1.1\r\n\r\n".into(), 400),
        (huge, 400),
        (endless, 414),
        // The target counts, not the Host that says something else.
        ("GET http://elsewhere/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 403),
        ("GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n".into(), 403),
        (format!("GET http://elsewhere:{port}/ HTTP/1.1\r\nHost: user-app\r\n\r\n"), 403),
        ("GET http://user-app.evil.example/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 403),
        (format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: a\r\n\r\n"), 403),
        ("GET / HTTP/1.0\r\n\r\n".into(), 403),
        // Metadata of clouds, in all spellings; and our own sides.
        ("GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        ("GET http://[::ffff:169.254.169.254]/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        ("GET http://[::ffff:a9fe:a9fe]/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        ("GET http://[fd00:ec2::254]/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        ("GET http://2852039166/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        ("GET http://0xa9.0xfe.0xa9.0xfe/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 403),
        (format!("GET http://127.0.0.1:{ADMIN}/status HTTP/1.1\r\nHost: a\r\n\r\n"), 403),
        (format!("GET http://{own}/ HTTP/1.1\r\nHost: a\r\n\r\n"), 508),
        (format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n"), 508),
        (format!("GET http://[::1]:{}/ HTTP/1.1\r\nHost: a\r\n\r\n", own.port()), 508),
        (format!("GET http://0.0.0.0:{}/ HTTP/1.1\r\nHost: a\r\n\r\n", own.port()), 508),
        // Tunnels.
        ("CONNECT user-app:443 HTTP/1.1\r\nHost: user-app:443\r\n\r\n".into(), 405),
        (format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: a\r\n\r\n"), 405),
        ("TRACE http://user-app/ HTTP/1.1\r\nHost: user-app\r\n\r\n".into(), 405),
    ] {
        let response = gateway.ask(&request).await;
        assert_eq!(response.status, status, "{request:.90} {}", response.body);
    }
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
    let refused = gateway.ask("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(refused.body.contains("CONNECT is not served") && refused.header("allow").is_some(), "{}", refused.body);
}

#[tokio::test]
async fn an_address_counts_when_it_is_known() {
    // Names that turn out to be this machine, which the list allows: its other ports, but not ours.
    let list = ["localhost:*", "127.0.0.0/8:*", "[::1]:*"];
    let outside = Backend::named("outside").await;
    let gateway = egress(&[], &list);
    let (own, port) = (gateway.address.port(), outside.address.port());
    for (target, status) in [
        (format!("http://localhost:{port}/"), 200),
        (format!("http://127.0.0.1:{port}/"), 200),
        (format!("http://localhost:{own}/"), 508),
        (format!("http://localhost:{own}/actuator/health"), 508),
        (format!("http://127.0.0.2:{own}/"), 508),
    ] {
        assert_eq!(gateway.fetch(&target, "").await.status, status, "{target}");
    }
    // A name that is on the list, at an address that is not.
    let gateway = egress(&[], &["localhost:*"]);
    let response = gateway.fetch(&format!("http://localhost:{port}/"), "").await;
    assert_eq!(response.status, 403);
    assert!(response.body.contains("not public"), "{}", response.body);
    assert_eq!(outside.seen().len(), 2);
}

#[tokio::test]
async fn the_registry_cannot_lead_to_metadata_or_to_ourselves() {
    let backend = Backend::named("V1").await;
    let gateway = egress(&[], &[]);
    let bad = ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"];
    let mut evil: Vec<_> = bad.iter().map(|host| Instance::new(*host, 80).with_version("V1")).collect();
    evil.push(Instance::new("127.0.0.1", gateway.address.port()).with_version("V1"));
    serve(&gateway, &[("evil", evil), ("good", vec![backend.instance("V1")])], &[]);
    let began = Instant::now();
    for _ in 0..8 {
        let response = gateway.fetch("http://evil/x", "").await;
        // All of them are ejected in the end.
        assert!(matches!(response.status, 502 | 503), "{}", response.body);
    }
    for target in ["http://169.254.169.254/actuator/x", "http://[::ffff:169.254.169.254]/actuator"] {
        assert_eq!(gateway.fetch(target, "").await.status, 403, "{target}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "nothing is connected to");
    assert_eq!(gateway.fetch("http://good/x", "").await.status, 200);
}
