//! The lane as a member of W3C Baggage: ours once, a stranger's never, those of others as they came.

use gray_core::{
    GrayStatus,
    lane::{
        SigningKey, Verdict,
        baggage::{MemberParts, decoded, members},
    },
};
use gray_registry::unix_seconds;
use http::HeaderValue;

use crate::support::{Backend, Gateway, Seen, Setup, ok};

/// One route to `app`, gray release on for `gray: gray-996`, and room for more.
const HEAD: &str = "spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }]\n\
                    kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, \
                    gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }";

/// What our member of a request says: tag, signature, lane.
fn said(seen: &Seen) -> (String, Option<String>, Option<String>) {
    let line = seen.one("baggage");
    let ours: Vec<_> = members(line.as_bytes()).filter_map(|member| member.ours()).collect();
    assert_eq!(ours.len(), 1, "{line}");
    assert!(line.starts_with("gray-lane="), "{line}");
    let value = decoded(ours[0]);
    let MemberParts { tag, signature, lane } = MemberParts::of(&value);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(tag), signature.map(text), lane.map(text))
}

/// The members that are not ours, as they stand there.
fn others(seen: &Seen) -> String {
    let line = seen.all("baggage").join(" / ");
    match line.strip_prefix("gray-lane=") {
        Some(rest) => rest.split_once(',').map_or("", |(_, others)| others).to_owned(),
        None => line,
    }
}

async fn sent(gateway: &Gateway, backend: &Backend, headers: &str) -> Seen {
    assert_eq!(gateway.get(headers).await.status, 200, "{headers:?}");
    backend.last()
}

#[tokio::test]
async fn it_says_what_the_headers_say() {
    let (v1, v2) = (Backend::named("v1").await, Backend::named("v2").await);
    let instances = [v1.instance("V1"), v2.instance("V2")];
    for signing in ["", ", signing: { key: 'a secret of the chain' }"] {
        let rules = "gray: { lanes: { exact: { select: { version: $header.v } } },
                       rules: [{ name: x, when: { header.v: { exists: true } }, lane: exact }] }";
        let gateway = Setup::with_documents(&format!("{HEAD}{signing} }}\n{rules}"), &instances).start();
        for (headers, backend) in
            [("", &v1), ("gray: gray-996\r\n", &v2), ("gray: gray-996\r\n", &v2), ("v: V2\r\n", &v2)]
        {
            let seen = sent(&gateway, backend, headers).await;
            let (tag, signature, lane) = said(&seen);
            assert_eq!((&*tag, lane.as_deref()), (seen.one("gray"), Some(seen.one("gray-lane"))), "{headers:?}");
            assert_eq!(signature.as_deref(), seen.all("gray-signature").first().copied(), "{headers:?}");
            if let Some(signature) = signature {
                let key = SigningKey::new(b"a secret of the chain").expect("long enough");
                let value = |text: &str| HeaderValue::from_str(text).expect("a value");
                let tag: GrayStatus = tag.parse().expect("a tag");
                let verdict =
                    key.verify(Some(&value(&signature)), tag, lane.as_deref().map(value).as_ref(), unix_seconds());
                assert_eq!(verdict, Verdict::Valid, "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn switched_off_it_says_the_tag_alone() {
    let v1 = Backend::named("v1").await;
    let mut setup = Setup::new(&[v1.instance("V1")]);
    setup.snapshot.rules = gray_rules::RuleSet::off().into();
    let seen = sent(&setup.start(), &v1, "").await;
    assert_eq!(said(&seen), ("ALL".to_owned(), None, None));
}

#[tokio::test]
async fn members_of_others_go_on_and_a_strangers_does_not() {
    let v1 = Backend::named("v1").await;
    let gateway = Setup::new(&[v1.instance("V1")]).start();
    let evil = "gray-lane=GRAY%3B-%3Br%3Bgray%3B-%3B*%3Dversion:V2";
    for (headers, expect) in [
        ("baggage: a=b;p=q,c=d\r\n".to_owned(), "a=b;p=q,c=d"),
        ("Baggage: a=b , c = d\r\nX: 1\r\nBAGGAGE: e=f\r\n".to_owned(), "a=b,c = d,e=f"),
        (format!("baggage: {evil}\r\n"), ""),
        (format!("baggage: a=b,{evil},c=d\r\nbaggage:{evil}\r\n"), "a=b,c=d"),
        (format!("baggage: a=b\r\nbaggage: {}\r\n", evil.replace("gray-lane", "gray%2Dlane")), "a=b"),
        (format!("baggage: {}\r\n", evil.replace("gray-lane", "GRAY_LANE")), ""),
        (format!("baggage: a=\"b,{evil}\r\n"), ""),
        ("baggage: nonsense,,a=b;\r\nbaggage:\r\nbaggage: c=d\r\n".to_owned(), "c=d"),
        ("baggage: a=b\r\nConnection: baggage\r\n".to_owned(), ""),
    ] {
        let seen = sent(&gateway, &v1, &headers).await;
        assert_eq!(others(&seen), expect, "{headers:?}");
        let (tag, _, lane) = said(&seen);
        assert_eq!((&*tag, lane.as_deref()), ("PROD", Some(seen.one("gray-lane"))), "{headers:?}");
    }
    let many = (0..70).map(|i| format!("k{i}=v")).collect::<Vec<_>>();
    let seen = sent(&gateway, &v1, &format!("baggage: {}\r\n", many.join(","))).await;
    assert_eq!(others(&seen), many[..63].join(","), "64 with ours");
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.baggage_dropped, stats.baggage_unwritten), ([6, 3, 7], 0));
}

#[tokio::test]
async fn it_goes_to_services_of_the_registry_alone() {
    let (v1, elsewhere) = (Backend::named("v1").await, Backend::named("elsewhere").await);
    let routes = format!(
        "[{{ id: fixed, uri: 'http://{}', predicates: ['Path=/api/fixed'] }}, {{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }}]",
        elsewhere.address
    );
    let gateway = Setup::with_routes(&routes, &[v1.instance("V1")]).start();
    for (headers, expect) in [
        ("", &[][..]),
        ("baggage: a=b , nonsense\r\nbaggage: c=d\r\n", &["a=b , nonsense", "c=d"]),
        ("baggage: a=b , nonsense\r\nbaggage: gray-lane=x\r\n", &["a=b"]),
        ("baggage: gray%2dlane=x\r\n", &[]),
    ] {
        let request = format!("GET /api/fixed HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        assert_eq!(gateway.ask(&request).await.status, 200);
        assert_eq!(elsewhere.last().all("baggage"), expect, "{headers:?}");
    }
    assert!(v1.seen().is_empty());
    sent(&gateway, &v1, "").await;
    said(&v1.last());
}

#[tokio::test]
async fn switched_off_nothing_is_written_and_no_strangers_passes() {
    let v1 = Backend::named("v1").await;
    let gateway = Setup::with_documents(&format!("{HEAD}, baggage: false }}\n"), &[v1.instance("V1")]).start();
    for (headers, expect) in
        [("", &[][..]), ("baggage: a=b , x\r\n", &["a=b , x"]), ("baggage: gray-lane=x,a=b\r\n", &["a=b"])]
    {
        assert_eq!(sent(&gateway, &v1, headers).await.all("baggage"), expect, "{headers:?}");
    }
    assert_eq!(gateway.stats.snapshot().baggage_unwritten, 0);
}

#[tokio::test]
async fn a_lane_that_is_too_long_for_it_is_counted() {
    let v1 = Backend::named("v1").await;
    let services = (0..95).map(|i| format!("service-with-a-long-name-{i}: V1")).collect::<Vec<_>>().join(", ");
    let gateway = Setup::new(&[v1.instance("V1")])
        .ruled(&format!("{{ lanes: {{ wide: {{ services: {{ {services} }} }} }}, rules: [{{ name: x, when: {{ header.x: w }}, lane: wide }}] }}"))
        .start();
    let seen = sent(&gateway, &v1, "x: w\r\nbaggage: a=b,gray-lane=x\r\n").await;
    assert_eq!(seen.all("baggage"), ["a=b"]);
    assert!(seen.one("gray-lane").len() > 2500);
    sent(&gateway, &v1, "").await;
    assert_eq!(gateway.stats.snapshot().baggage_unwritten, 1);
}

#[tokio::test]
async fn clients_do_not_get_to_see_it() {
    let echo = Backend::serving(|seen| {
        let lines: String = seen.all("baggage").iter().map(|line| format!("Baggage: {line}\r\n")).collect();
        (ok("echo").replacen("\r\n", &format!("\r\n{lines}"), 1), true)
    });
    let echo = echo.await;
    let gateway = Setup::new(&[echo.instance("V1")]).start();
    let answer = gateway.get("").await;
    assert_eq!((answer.status, answer.header("baggage")), (200, None), "{}", answer.head);
    said(&echo.last());
}
