//! Lanes on the wire: what a decision looks like to a backend, and that no client can write it.

use gray_core::{
    GrayStatus, Instance,
    lane::{SigningKey, Verdict},
};
use gray_registry::unix_seconds;
use gray_rules::RuleSet;
use http::HeaderValue;

use crate::support::{Backend, Client, Gateway, Response, Setup, instance, ok};

/// One route to `app`, gray release on without any rule, and room for more.
const HEAD: &str = "spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }]\n\
                    kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true }";

/// A backend that knows its name, and an instance of it for each version.
async fn backends<const N: usize>(versions: [&'static str; N]) -> ([Backend; N], Vec<Instance>) {
    let mut backends = Vec::new();
    for version in versions {
        backends.push(Backend::named(version).await);
    }
    let instances = backends.iter().zip(versions).map(|(backend, version)| backend.instance(version)).collect();
    (backends.try_into().unwrap_or_else(|_| unreachable!("as many as versions")), instances)
}

/// Answers for these header lines.
async fn bodies(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (headers, body) in cases {
        let response = gateway.get(headers).await;
        assert_eq!((response.status, response.body.as_str()), (200, *body), "{headers:?}");
    }
}

#[tokio::test]
async fn a_backend_gets_the_whole_lane_and_who_calls() {
    let ([v1, v2], instances) = backends(["V1", "V2"]).await;
    let gateway = Setup::new(&instances)
        .ruled(
            "{ lanes: { two: { services: { app: V2, pay: { select: V3, fallback: any } }, tag: PROD } },
               rules: [{ name: two, when: { header.x: 2 }, lane: two }, { name: t, when: { header.x: t }, lane: two, trace: true }] }",
        )
        .start();
    let revision = gateway.shared.load().rules.revision().to_owned();
    assert_eq!(revision.len(), 8, "{revision}");
    let two = "app=version:V2|version:V1;pay=version:V3|*;*=version:V1";
    for (headers, backend, tag, lane) in [
        ("", &v1, "PROD", "baseline;-;*=version:V1".to_owned()),
        ("x: 2\r\n", &v2, "PROD", format!("two;f;{two}")),
        ("x: t\r\n", &v2, "PROD", format!("two;tf;{two}")),
        ("gray: gray-996\r\n", &v2, "GRAY", "gray;-;*=version:V2|version:V1".to_owned()),
    ] {
        assert_eq!(gateway.get(headers).await.status, 200, "{headers:?}");
        let seen = backend.last();
        assert_eq!(seen.one("gray-lane"), format!("{revision};{lane}"), "{headers:?}");
        assert_eq!((seen.one("gray"), seen.one("gray-caller")), (tag, "gateway-app"), "{headers:?}");
        assert!(seen.all("gray-signature").is_empty(), "nothing is signed here");
    }
}

#[tokio::test]
async fn switched_off_there_is_no_lane() {
    let ([v1], instances) = backends(["V1"]).await;
    let mut setup = Setup::new(&instances);
    setup.snapshot.rules = RuleSet::off().into();
    let gateway = setup.start();
    assert_eq!(gateway.get("gray: gray-996\r\n").await.status, 200);
    assert_eq!(v1.last().one("gray"), "ALL");
    assert!(v1.last().all("gray-lane").is_empty(), "{}", v1.last().head);
}

#[tokio::test]
async fn nobody_else_writes_our_headers() {
    let lane = "00000000;evil;t;*=version:V2";
    let spellings = [
        "gray-lane",
        "Gray-Lane",
        "GRAY_LANE",
        "gray.lane",
        "graylane",
        "gray-signature",
        "Gray_Signature",
        "graysignature",
        "gray-caller",
        "GRAY_CALLER",
        "g-r-a-y-c-a-l-l-e-r",
        "gray",
        "_gray_",
    ];
    let sent: String = spellings.iter().map(|name| format!("{name}: {lane}\r\n{name}: {lane}\r\n")).collect();
    let connection = "Connection: gray-lane, gray, gray-caller\r\n";
    for off in [false, true] {
        let ([v1], instances) = backends(["V1"]).await;
        let mut setup = Setup::new(&instances);
        if off {
            setup.snapshot.rules = RuleSet::off().into();
        }
        let gateway = setup.start();
        for headers in [sent.clone(), format!("{sent}{connection}")] {
            assert_eq!(gateway.get(&headers).await.body, "V1", "{headers}");
            let head = v1.last().head;
            assert!(!head.contains("evil"), "off: {off}\n{head}");
            let folded = |line: &str| line.split(':').next().unwrap_or_default().replace(['-', '_', '.'], "");
            let ours: Vec<_> =
                head.lines().map(folded).filter(|name| name.to_lowercase().starts_with("gray")).collect();
            let expect: &[&str] =
                if off { &["grayhops", "gray", "graycaller"] } else { &["grayhops", "gray", "graylane", "graycaller"] };
            assert_eq!(ours, expect, "off: {off}\n{head}");
        }
    }
}

#[tokio::test]
async fn an_exact_version_by_header_with_a_default() {
    let (_backends, instances) = backends(["V1", "V2", "V3"]).await;
    let gateway = Setup::new(&instances)
        .ruled(
            "{ lanes: { exact: { select: { version: $header.versionId } } },
               rules: [{ name: exact, when: { header.versionId: { exists: true } }, lane: exact }] }",
        )
        .start();
    let cases = [("", "V1"), ("versionId: V2\r\n", "V2"), ("VersionID: V3\r\n", "V3"), ("versionId: V9\r\n", "V1")];
    bodies(&gateway, &cases).await;
    assert_eq!(gateway.stats.snapshot().fallbacks, 1, "V9 is not there");
}

#[tokio::test]
async fn a_lane_is_not_filled_from_a_hostile_value() {
    let ([v1, v2], instances) = backends(["V1", "V2"]).await;
    let gateway = Setup::new(&instances)
        .ruled(
            "{ lanes: { exact: { select: { version: $header.versionId } } },
               rules: [{ name: exact, when: { header.versionId: { exists: true } }, lane: exact }] }",
        )
        .start();
    let long = "V".repeat(65);
    for value in [
        "V2;*=*",
        "V2|*",
        "*",
        "{}",
        "V2;x=version:V2",
        "other/V2",
        "version:V2",
        "!version",
        "V 2",
        "",
        "\u{e9}",
        &long,
    ] {
        let response = gateway.get(&format!("versionId: {value}\r\n")).await;
        assert_eq!((response.status, response.body.as_str()), (200, "V1"), "{value:?}");
        let lane = v1.last().one("gray-lane").to_owned();
        assert!(lane.ends_with(";baseline;-;*=version:V1"), "{value:?} made {lane}");
    }
    assert!(v2.seen().is_empty());
}

#[tokio::test]
async fn a_and_b_by_header_and_query() {
    let [a, b, none] = [Backend::named("a").await, Backend::named("b").await, Backend::named("-").await];
    let instances = [
        instance(a.address, "V1").with_metadata("v", "a"),
        instance(b.address, "V1").with_metadata("v", "b"),
        instance(none.address, "V1"),
    ];
    let gateway = Setup::new(&instances)
        .ruled(
            "{ baseline: { select: { v: ~ } }, facts: { ab: [header.v, query.v] },
               lanes: { ab: { select: { v: $ab } } },
               rules: [{ name: ab, when: { ab: [a, b] }, lane: ab }] }",
        )
        .start();
    for _ in 0..3 {
        bodies(&gateway, &[("v: a\r\n", "a"), ("v: b\r\n", "b"), ("v: c\r\n", "-"), ("", "-")]).await;
        for (target, header, body) in
            [("?v=a", "", "a"), ("?x=1&v=b", "", "b"), ("?v=b", "v: a\r\n", "a"), ("?v=", "", "-")]
        {
            let request = format!("GET /api/x{target} HTTP/1.1\r\nHost: shop\r\n{header}\r\n");
            assert_eq!(gateway.ask(&request).await.body, body, "{target} {header:?}");
        }
    }
    assert_eq!(b.last().line(), "GET /x?x=1&v=b HTTP/1.1", "queries go on unchanged");
}

#[tokio::test]
async fn ordinary_traffic_never_reaches_a_tagged_instance() {
    let [plain, tagged] = [Backend::named("plain").await, Backend::named("tagged").await];
    // The same version: only the tag tells them apart.
    let tagged_instance = instance(tagged.address, "V1").with_metadata("gray-tag", "true");
    let rules = "{ baseline: { select: { gray-tag: ~ } }, lanes: { tagged: { select: { gray-tag: true } } },
                   facts: { uid: [header.uid] }, rules: [{ name: testers, when: { uid: [u1, u2] }, lane: tagged }] }";
    let gateway = Setup::new(&[plain.instance("V1"), tagged_instance.clone()]).ruled(rules).start();
    for _ in 0..10 {
        bodies(&gateway, &[("", "plain"), ("uid: u3\r\n", "plain"), ("uid: u1\r\n", "tagged")]).await;
    }
    assert!(plain.last().one("gray-lane").ends_with(";baseline;-;*=!gray-tag"), "{}", plain.last().head);
    assert!(tagged.last().one("gray-lane").ends_with(";tagged;-;*=gray-tag:true|!gray-tag"));

    let lonely = Setup::new(&[tagged_instance]).ruled(rules).start();
    let before = tagged.seen().len();
    assert_eq!(lonely.get("").await.status, 503, "not even when nobody else is there");
    assert_eq!(tagged.seen().len(), before);
    assert_eq!(lonely.get("uid: u2\r\n").await.body, "tagged");
}

/// Who of the users is on V2.
async fn on_v2(gateway: &Gateway, users: usize) -> Vec<usize> {
    let mut client = gateway.client().await;
    let mut found = Vec::new();
    for user in 0..users {
        if ask(&mut client, &format!("uid: user-{user}\r\n")).await.body == "V2" {
            found.push(user);
        }
    }
    found
}

async fn ask(client: &mut Client, headers: &str) -> Response {
    client.send(&format!("GET /api/x HTTP/1.1\r\nHost: shop\r\n{headers}\r\n")).await;
    client.response().await
}

#[tokio::test]
async fn a_share_has_the_same_users_on_every_gateway() {
    let (_backends, instances) = backends(["V1", "V2"]).await;
    let ramp = |percent: u8| {
        let rules =
            format!("{{ rules: [{{ name: ramp, share: {{ percent: {percent}, key: header.uid }}, lane: gray }}] }}");
        Setup::new(&instances).ruled(&rules).start()
    };
    let first = on_v2(&ramp(20), 300).await;
    assert!((30..=90).contains(&first.len()), "about 60 of 300: {}", first.len());
    assert_eq!(on_v2(&ramp(20), 300).await, first, "another gateway, the same users");
    let more = on_v2(&ramp(50), 300).await;
    assert!(more.len() > first.len() && first.iter().all(|user| more.contains(user)), "a larger share keeps them");
    let gateway = ramp(100);
    assert_eq!(gateway.get("").await.body, "V1", "without the key nobody is in it");
}

#[tokio::test]
async fn weights_hold_within_their_noise() {
    let (_backends, instances) = backends(["V1", "V2"]).await;
    let gateway = Setup::new(&instances)
        .ruled("{ rules: [{ name: weight, share: { percent: 20, key: random }, lane: gray }] }")
        .start();
    let mut client = gateway.client().await;
    let mut gray = 0;
    for _ in 0..1000 {
        gray += usize::from(ask(&mut client, "").await.body == "V2");
    }
    // 200 expected, standard deviation 12.6: seven of them.
    assert!((112..=288).contains(&gray), "{gray} of 1000");
}

#[tokio::test]
async fn the_kill_switch_stops_every_rule_at_once() {
    let (_backends, instances) = backends(["V1", "V2"]).await;
    let rules = "rules: [{ name: r, when: { header.x: 2 }, lane: gray }]";
    let gateway = Setup::new(&instances).ruled(&format!("{{ {rules} }}")).start();
    bodies(&gateway, &[("x: 2\r\n", "V2"), ("gray: gray-996\r\n", "V2")]).await;
    // On a connection that is in use.
    let mut client = gateway.client().await;
    assert_eq!(ask(&mut client, "x: 2\r\n").await.body, "V2");
    let killed = Setup::new(&instances).ruled(&format!("{{ kill: true, {rules} }}"));
    gateway.shared.store(killed.snapshot.into());
    assert_eq!(ask(&mut client, "x: 2\r\n").await.body, "V1");
    bodies(&gateway, &[("x: 2\r\n", "V1"), ("gray: gray-996\r\n", "V1")]).await;
}

#[tokio::test]
async fn lanes_are_signed_for_what_they_say() {
    let ([v1, v2], instances) = backends(["V1", "V2"]).await;
    let secret = "a secret of the chain";
    let rest = format!(", signing: {{ key: '{secret}', ttl: 30s }} }}\n");
    let rules = "gray: { lanes: { exact: { select: { version: $header.versionId } } },
                   rules: [{ name: x, when: { header.x: 2 }, lane: gray }, { name: t, when: { header.x: t }, lane: gray, trace: true },
                           { name: exact, when: { header.versionId: { exists: true } }, lane: exact }] }";
    let gateway = Setup::with_documents(&format!("{HEAD}{rest}{rules}"), &instances).start();
    let key = SigningKey::new(secret.as_bytes()).expect("long enough");
    let value = |text: &str| HeaderValue::from_str(text).expect("a value");
    let mut signed = Vec::new();
    for (headers, backend, tag) in [
        ("", &v1, GrayStatus::Prod),
        ("x: 2\r\n", &v2, GrayStatus::Gray),
        ("x: t\r\n", &v2, GrayStatus::Gray),
        ("versionId: V2\r\n", &v2, GrayStatus::Gray),
        ("versionId: V9\r\n", &v1, GrayStatus::Prod),
    ] {
        assert_eq!(gateway.get(headers).await.status, 200, "{headers:?}");
        let seen = backend.last();
        let (lane, signature) = (value(seen.one("gray-lane")), value(seen.one("gray-signature")));
        let judge = |tag, lane, now| key.verify(Some(&signature), tag, lane, now);
        assert_eq!(judge(tag, Some(&lane), unix_seconds()), Verdict::Valid, "{headers:?}");
        assert_eq!(judge(tag, Some(&lane), unix_seconds() + 41), Verdict::Expired, "ttl and ten seconds at most");
        assert_eq!(judge(GrayStatus::All, Some(&lane), unix_seconds()), Verdict::Forged);
        signed.push((tag, lane, signature));
    }
    for (place, (tag, lane, _)) in signed.iter().enumerate() {
        for (other, (_, _, signature)) in signed.iter().enumerate() {
            let verdict = key.verify(Some(signature), *tag, Some(lane), unix_seconds());
            assert_eq!(verdict == Verdict::Valid, place == other, "lane {place} with the signature of {other}");
        }
    }
}

#[tokio::test]
async fn switched_off_the_tag_is_signed_without_a_lane() {
    let ([v1], instances) = backends(["V1"]).await;
    let rest = ", signing: { key: 'a secret of the chain' } }\n";
    let text = format!("{HEAD}{rest}").replace("enabled: true", "enabled: false");
    let gateway = Setup::with_documents(&text, &instances).start();
    assert_eq!(gateway.get("").await.status, 200);
    let signature = HeaderValue::from_str(v1.last().one("gray-signature")).expect("a value");
    let key = SigningKey::new(b"a secret of the chain").expect("long enough");
    assert_eq!(key.verify(Some(&signature), GrayStatus::All, None, unix_seconds()), Verdict::Valid);
}

#[tokio::test]
async fn the_path_is_for_traced_rules_alone() {
    let telling = "HTTP/1.1 200 OK\r\nGray-Path: app@V2:hit > user-app@V1:fallback\r\nContent-Length: 0\r\n\r\n";
    let (v2, v1) = (Backend::answering(telling).await, Backend::serving(|_| (ok("V1"), true)).await);
    let gateway = Setup::new(&[v1.instance("V1"), v2.instance("V2")])
        .ruled(
            "{ lanes: { v1: { select: V1 } }, rules: [{ name: tester, when: { header.x: t }, lane: gray, trace: true },
               { name: quiet, when: { header.x: q }, lane: gray }, { name: one, when: { header.x: '1' }, lane: v1, trace: true }] }",
        )
        .start();
    for (headers, path) in [
        ("x: t\r\n", Some("app@V2:hit > user-app@V1:fallback")),
        ("x: q\r\n", None),
        ("gray: gray-996\r\n", None),
        ("gray-lane: 0;gray;t;*=version:V2\r\nx: q\r\n", None),
        ("", None),
        // It says nothing of itself: what the gateway knows.
        ("x: 1\r\n", Some("app@V1")),
    ] {
        assert_eq!(gateway.get(headers).await.header("gray-path"), path, "{headers:?}");
    }
}
