//! Who gets which version, and what the backend is told.

use gray_gateway::{proxy::StatsSnapshot, snapshot::ServiceSnapshot};

use crate::support::{Backend, Client, Setup, put, service, until};

const LOCALHOST: &str = "127.0.0.0/8";

async fn pair() -> (Backend, Backend) {
    (Backend::named("v1").await, Backend::named("v2").await)
}

fn both(v1: &Backend, v2: &Backend) -> Vec<gray_core::Instance> {
    vec![v1.instance("V1"), v2.instance("V2")]
}

#[tokio::test]
async fn only_the_configured_value_leads_to_gray() {
    let (v1, v2) = pair().await;
    let gateway = Setup::new(&both(&v1, &v2)).start();
    for (headers, body, tag) in [
        ("", "v1", "PROD"),
        ("gray: gray-996\r\n", "v2", "GRAY"),
        ("GRAY: gray-996\r\n", "v2", "GRAY"),
        ("gray: GRAY\r\n", "v1", "PROD"),
        ("gray: x\r\ngray: gray-996\r\n", "v1", "PROD"),
        ("g.ray: GRAY\r\ngray_: GRAY\r\nGr-ay: GRAY\r\n", "v1", "PROD"),
        ("gray: GRAY\r\nConnection: close, gray\r\n", "v1", "PROD"),
        ("gray: GRAY\r\nConnection: close\r\nCONNECTION: Gray\r\n", "v1", "PROD"),
        ("Gray: gray-996\r\nConnection: GRAY\r\n", "v2", "GRAY"),
        ("gray: gray-996\r\nGr_ay: PROD\r\n", "v2", "GRAY"),
    ] {
        let response = gateway.get(headers).await;
        assert_eq!((response.status, response.body.as_str()), (200, body), "{headers:?}");
        let seen = if body == "v1" { v1.last() } else { v2.last() };
        let spellings = seen.head.lines().filter_map(|line| line.split_once(':'));
        let tags: Vec<_> = spellings
            .filter(|(name, _)| name.replace(['-', '_', '.'], "").eq_ignore_ascii_case("gray"))
            .map(|(_, value)| value.trim())
            .collect();
        assert_eq!(tags, [tag], "{headers:?}");
        assert_eq!(seen.line(), "GET /x HTTP/1.1");
        assert!(seen.all("connection").is_empty(), "{}", seen.head);
    }
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.responses, stats.decisions, stats.fallbacks), ([0, 10, 0, 0, 0], [0, 6, 4], 0));
}

#[tokio::test]
async fn switched_off_every_version_serves() {
    let (v1, v2) = pair().await;
    let mut setup = Setup::new(&both(&v1, &v2));
    setup.snapshot.rules = gray_rules::RuleSet::off().into();
    let gateway = setup.start();
    for _ in 0..8 {
        assert_eq!(gateway.get("gray: gray-996\r\n").await.status, 200);
    }
    assert!(!v1.seen().is_empty() && !v2.seen().is_empty());
    for seen in v1.seen().iter().chain(&v2.seen()) {
        assert_eq!(seen.one("gray"), "ALL");
    }
}

#[tokio::test]
async fn gray_falls_back_as_configured_and_prod_never_does() {
    let v1 = Backend::named("v1").await;
    let gateway = Setup::new(&[v1.instance("V1")]).start();
    let response = gateway.get("gray: gray-996\r\n").await;
    assert_eq!((response.status, response.body.as_str()), (200, "v1"));
    assert_eq!(v1.last().one("gray"), "GRAY");
    assert_eq!(gateway.stats.snapshot().fallbacks, 1);

    let v2 = Backend::named("v2").await;
    let gateway = Setup::new(&[v2.instance("V2")]).start();
    let response = gateway.get("").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(
        response.body,
        r#"{"code":503,"msg":"no instance of app is available","data":null,"success":false,"fail":true}"#
    );
    assert!(v2.seen().is_empty());
}

#[tokio::test]
async fn a_service_without_versions_is_not_under_gray_release() {
    let (one, other) = pair().await;
    let plain = [one.instance(""), other.instance("").with_metadata("zone", "a")];
    let gateway = Setup::new(&plain).start();
    let mut bodies = Vec::new();
    for turn in 0..8 {
        let (header, tag) = if turn < 4 { ("", "PROD") } else { ("gray: gray-996\r\n", "GRAY") };
        let response = gateway.get(header).await;
        assert_eq!(response.status, 200, "{header}");
        let seen = if response.body == "v1" { one.last() } else { other.last() };
        assert_eq!(seen.one("gray"), tag);
        bodies.push(response.body);
    }
    assert!(
        bodies.contains(&"v1".to_owned()) && bodies.contains(&"v2".to_owned()),
        "every instance serves: {bodies:?}"
    );
    assert_eq!(gateway.stats.snapshot().fallbacks, 0);

    // One that says a version, although it takes no requests, puts the service under gray release.
    let known = [one.instance(""), gray_core::Instance { enabled: false, ..other.instance("V2") }];
    assert_eq!(Setup::new(&known).start().get("").await.status, 503);
    // So does a lane that names it.
    let mut setup = Setup::new(&plain).ruled("{ lanes: { two: { services: { app: V2 } } } }");
    put(&mut setup.snapshot, "app", ServiceSnapshot { is_named: true, ..service(&plain) });
    assert_eq!(setup.start().get("").await.status, 503);
}

#[tokio::test]
async fn a_strangers_headers_neither_decide_nor_pass() {
    let (v1, v2) = pair().await;
    let gateway = Setup::new(&both(&v1, &v2)).gray_for("9.9.9.9").start();
    let said = "X-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nx_forwarded_for: 9.9.9.9\r\n\
                X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Ssl: on\r\n";
    assert_eq!(gateway.get(said).await.body, "v1");
    let seen = v1.last();
    assert_eq!(seen.one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.one("x-forwarded-host"), "shop:7000");
    assert_eq!(seen.one("x-forwarded-port"), "7000");
    assert_eq!(seen.one("x-forwarded-proto"), "http");
    assert_eq!(seen.one("x-forwarded-prefix"), "/api");
    assert!(seen.one("forwarded").starts_with("proto=http;host=\"shop:7000\";for=\"127.0.0.1:"), "{}", seen.head);
    assert_eq!(seen.one("host"), v1.address.to_string());
    for name in ["x-real-ip", "x_forwarded_for", "x-forwarded-ssl"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_trusted_hop_is_believed() {
    let (v1, v2) = pair().await;
    let gateway = Setup::new(&both(&v1, &v2)).trusting("127.0.0.1").gray_for("9.9.9.9").start();
    assert_eq!(gateway.get("X-Real-IP: 9.9.9.9\r\n").await.body, "v2");
    assert_eq!(gateway.get("X-Forwarded-For: 1.1.1.1, 9.9.9.9\r\n").await.body, "v2");
    assert_eq!(v2.last().one("x-forwarded-for"), "1.1.1.1, 9.9.9.9, 127.0.0.1");
    assert_eq!(gateway.get("X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\n").await.body, "v1");

    // The same words from a neighbour that is not trusted.
    let mut stranger = Client::connect_from("127.0.0.2".parse().expect("ip"), gateway.address).await;
    stranger.send("GET /api/x HTTP/1.1\r\nHost: shop\r\nX-Real-IP: 9.9.9.9\r\n\r\n").await;
    assert_eq!(stranger.response().await.body, "v1");
    assert_eq!(v1.last().one("x-forwarded-for"), "127.0.0.2");
}

#[tokio::test]
async fn one_connection_serves_every_kind_of_client_without_a_leak() {
    let (v1, v2) = pair().await;
    let gateway = Setup::new(&both(&v1, &v2)).trusting(LOCALHOST).start();
    let mut client = gateway.client().await;
    for turn in 0..50 {
        let (header, expect) = if turn % 3 == 0 { ("gray: gray-996\r\n", "v2") } else { ("", "v1") };
        client.send(&format!("GET /api/{turn} HTTP/1.1\r\nHost: h{}\r\n{header}\r\n", turn % 2)).await;
        assert_eq!(client.response().await.body, expect, "{turn}");
        let seen = if expect == "v1" { v1.last() } else { v2.last() };
        assert_eq!(seen.line(), format!("GET /{turn} HTTP/1.1"));
        assert_eq!(seen.one("x-forwarded-host"), format!("h{}", turn % 2));
    }
    // One client connection is one worker, and a worker reuses its upstream connections.
    assert_eq!((v1.connections(), v2.connections()), (1, 1));
}

#[tokio::test]
async fn a_new_snapshot_takes_effect_at_once_and_fails_nobody() {
    let (v1, v2) = pair().await;
    let gateway = Setup::new(&[v1.instance("V1")]).start();
    let (v1_only, v2_as_prod) = (service(&[v1.instance("V1")]), service(&[v2.instance("V1")]));
    let swap = |new: &ServiceSnapshot| {
        let mut snapshot = gray_gateway::snapshot::Snapshot::clone(&gateway.shared.load());
        put(&mut snapshot, "app", new.clone());
        gateway.shared.store(snapshot.into());
    };
    let address = gateway.address;
    let traffic: Vec<_> = (0..4)
        .map(|_| {
            crate::support::spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..200 {
                    client.send("GET /api/x HTTP/1.1\r\nHost: shop\r\n\r\n").await;
                    assert_eq!(client.response().await.status, 200);
                }
            })
        })
        .collect();
    for turn in 0..100 {
        swap(if turn % 2 == 0 { &v2_as_prod } else { &v1_only });
        let body = gateway.get("").await.body;
        assert_eq!(body, if turn % 2 == 0 { "v2" } else { "v1" });
    }
    for client in traffic {
        crate::support::soon(client).await.expect("no failure");
    }
    until("all requests are over", || gateway.stats.snapshot().in_flight == 0).await;
    let StatsSnapshot { responses, .. } = gateway.stats.snapshot();
    assert_eq!(responses, [0, 900, 0, 0, 0]);
}
