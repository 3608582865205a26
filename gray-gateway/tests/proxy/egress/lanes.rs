//! Which instance an egress picks: by what a request carries.

use std::sync::Arc;

use gray_core::{
    GrayStatus,
    lane::{Purpose, SigningKey},
};
use gray_gateway::snapshot::Snapshot;
use gray_registry::unix_seconds;
use http::HeaderValue;

use super::egress;
use crate::support::{Backend, Setup};

const LANE: &str = "gray-lane: r1;new;-;user-app=version:V2|version:V1;*=version:V1\r\n";

#[tokio::test]
async fn every_way_to_name_a_service_leads_to_the_lane() {
    let (v1, v2) = (Backend::named("V1").await, Backend::named("V2").await);
    let instances = vec![v1.instance("V1"), v2.instance("V2")];
    let gateway = egress(&[("user-app", instances)], &[]);
    let targets = [
        "http://user-app/x".to_owned(),
        "http://USER-APP./x".to_owned(),
        "HTTP://user-app:80/x".to_owned(),
        format!("http://user-app:{}/x", v2.address.port()),
        format!("http://{}/x", v1.address),
        format!("http://{}/x", v2.address),
        format!("http://[::ffff:127.0.0.1]:{}/x", v1.address.port()),
    ];
    for (headers, expect, tag) in [
        ("", "V1", None),
        ("gray: gray-996\r\n", "V1", None),
        ("gray: PROD\r\n", "V1", Some("PROD")),
        ("gray: GRAY\r\n", "V2", Some("GRAY")),
        ("gray: PROD\r\ngray: GRAY\r\n", "V1", None),
        (LANE, "V2", None),
        (&format!("{LANE}gray: PROD\r\n"), "V2", Some("PROD")),
    ] {
        for target in &targets {
            for _ in 0..4 {
                let response = gateway.fetch(target, headers).await;
                assert_eq!((response.status, &*response.body), (200, expect), "{target} {headers:?}");
            }
        }
        let seen = if expect == "V1" { v1.last() } else { v2.last() };
        assert_eq!(seen.all("gray"), tag.into_iter().collect::<Vec<_>>(), "{headers:?}");
        let lane = headers.strip_prefix("gray-lane: ").and_then(|line| line.lines().next());
        assert_eq!(seen.all("gray-lane"), lane.into_iter().collect::<Vec<_>>(), "{headers:?}");
    }
    // As the target itself, by Host.
    let response = gateway.ask("GET /x HTTP/1.1\r\nHost: user-app\r\ngray: GRAY\r\n\r\n").await;
    assert_eq!((response.status, &*response.body), (200, "V2"));
    let lanes = gateway.stats.snapshot().lanes;
    assert_eq!(lanes, [56, 0, 57, 84, 0], "lane, baggage, tag, own, rejected");
}

#[tokio::test]
async fn the_lane_travels_as_baggage() {
    const LANE: &str = "r1;new;-;user-app=version:V2|version:V1;*=version:V1";
    const MEMBER: &str =
        "gray-lane=PROD%3B-%3Br1%3Bnew%3B-%3Buser-app%3Dversion%3AV2%7Cversion%3AV1%3B%2A%3Dversion%3AV1";
    let (v1, v2, outside) = (Backend::named("V1").await, Backend::named("V2").await, Backend::named("outside").await);
    let services = [("user-app", vec![v1.instance("V1"), v2.instance("V2")])];
    let gateway = egress(&services, &[&format!("127.0.0.1:{}", outside.address.port())]);
    let sent = format!("baggage: theirs=1,{MEMBER}\r\nbaggage: more=2\r\n");
    let response = gateway.fetch("http://user-app/x", &sent).await;
    assert_eq!((response.status, &*response.body), (200, "V2"));
    let seen = v2.last();
    assert_eq!((seen.one("gray-lane"), seen.one("gray")), (LANE, "PROD"));
    assert_eq!(seen.one("baggage"), format!("{MEMBER},theirs=1,more=2"));
    // The header beats it.
    let response = gateway
        .fetch("http://user-app/x", &format!("{sent}gray-lane: r1;other;-;*=version:V1\r\ngray: PROD\r\n"))
        .await;
    assert_eq!((response.status, &*response.body), (200, "V1"));
    assert!(v1.last().one("baggage").contains("other"), "{}", v1.last().head);
    // Strangers get what is theirs.
    assert_eq!(gateway.fetch(&format!("http://{}/x", outside.address), &sent).await.body, "outside");
    assert_eq!(outside.last().one("baggage"), "theirs=1,more=2");
    // Nothing is said, and baggage of others alone stays as it is.
    assert_eq!(gateway.fetch("http://user-app/x", "baggage: theirs=1;p\r\n").await.body, "V1");
    assert_eq!(v1.last().one("baggage"), "theirs=1;p");
}

#[tokio::test]
async fn what_is_about_one_instance_goes_there() {
    let (v1, v2) = (Backend::named("V1").await, Backend::named("V2").await);
    let shared = v1.instance("V9");
    let services = [("user-app", vec![v1.instance("V1"), v2.instance("V2")]), ("twin", vec![shared])];
    let gateway = egress(&services, &[]);
    for (backend, path) in [(&v2, "/actuator/health"), (&v2, "/actuator"), (&v1, "/x")] {
        for tag in ["GRAY", "PROD"] {
            // The address of V1 is that of two services.
            let response =
                gateway.fetch(&format!("http://{}{path}", backend.address), &format!("gray: {tag}\r\n")).await;
            let expect = if backend.address == v1.address { "V1" } else { "V2" };
            assert_eq!((response.status, &*response.body), (200, expect), "{path}");
            let seen = backend.last();
            assert_eq!((seen.one("gray"), seen.one("host")), (tag, &*backend.address.to_string()));
        }
    }
    let by_name = gateway.fetch("http://user-app/actuator/health", "gray: GRAY\r\n").await;
    assert_eq!(by_name.body, "V2", "a name is not a place");
}

#[tokio::test]
async fn what_is_not_signed_says_nothing() {
    let (v1, v2) = (Backend::named("V1").await, Backend::named("V2").await);
    let key = SigningKey::new(b"a secret of the chain").expect("long enough");
    let settings = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, signing: { key: 'a secret of the chain' } }\n\
                    spring.cloud.gateway.routes: [{ id: x, uri: 'lb://x', predicates: ['Path=/x'] }]";
    let signing = Setup::with_documents(settings, &[]).snapshot.signing;
    let services = [("user-app", vec![v1.instance("V1"), v2.instance("V2")])];
    let gateway = egress(&services, &[]);
    let snapshot = Snapshot { signing, ..Snapshot::clone(&gateway.shared.load()) };
    gateway.shared.store(Arc::new(snapshot));
    let lane = HeaderValue::from_static("r1;new;-;user-app=version:V2;*=version:V2");
    let signed_for = |purpose, expiry| {
        let signature = key.sign_for(purpose, GrayStatus::Gray, Some(&lane), expiry);
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        format!("gray: GRAY\r\ngray-lane: {}\r\ngray-signature: {}\r\n", text(&lane), text(&signature))
    };
    let signed = |expiry| signed_for(Purpose::Call, expiry);
    let now = unix_seconds();
    for (headers, expect) in [
        (signed(now + 60), "V2"),
        (signed(now + 60), "V2"),
        // Taken off a message.
        (signed_for(Purpose::Message { audience: "orders" }, now + 60), "V1"),
        (signed(now - 60), "V1"),
        (signed(now + 60).replace("version:V2", "version:V3"), "V1"),
        ("gray: GRAY\r\n".to_owned(), "V1"),
        (String::new(), "V1"),
    ] {
        let response = gateway.fetch("http://user-app/x", &headers).await;
        assert_eq!((response.status, &*response.body), (200, expect), "{headers}");
    }
    assert!(!v1.last().head.contains("gray-signature"), "nothing of what was refused goes on");
    assert_eq!(gateway.stats.snapshot().lanes, [2, 0, 0, 1, 4]);
}
