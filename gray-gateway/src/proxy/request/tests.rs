//! Heads as they are sent, whatever a route's filters are.

use std::net::SocketAddr;

use gray_core::Instance;
use proptest::prelude::*;

use super::{
    destined::Made,
    forwarded::Forwarded,
    steps::{Reader, Reading},
};
use crate::{
    name::Name,
    proxy::{
        bench,
        http1::{read_request, room},
    },
    scheme::Scheme,
};

/// Every filter of a request, with a name or a value that only the client knows where it takes one.
const FILTERS: &[&str] = &[
    "'AddRequestHeader=X-A, {seg}'",
    "'AddRequestHeader=X-B, one, two'",
    "'SetRequestHeader=X-A, 1'",
    "'SetRequestHeader=Authorization, {rest}'",
    "'RemoveRequestHeader=X-A'",
    "'MapRequestHeader=X-A, X-C'",
    "'MapRequestHeader=X-C, X-A'",
    "'MapRequestHeader=Host, X-Host'",
    "'MapRequestHeader=Connection, X-Was'",
    "'AddRequestHeadersIfNotPresent=X-A:{sub},X-D:2,X-D:3'",
    "'AddRequestParameter=p, {seg}'",
    "'AddRequestParameter=q&r, =#'",
    "'RemoveRequestParameter=a'",
    "'RewriteRequestParameter=a, b c'",
    "'StripPrefix=1'",
    "'StripPrefix=2'",
    "'PrefixPath=/in/{seg}'",
    "'SetPath=/s/{seg}{rest}'",
    r"'RewritePath=/(?<one>[^/]*)(?<more>.*), $\{more}/$\{one}'",
    r"'RewritePath=., $0$0'",
    "'SetRequestHostHeader={sub}.example'",
    "PreserveHostHeader",
    "CacheRequestBody",
];

const HEADERS: &[&str] = &[
    "X-A: 1",
    "x_a: 2",
    "X-A:  ",
    "X-C: \u{e9}",
    "Connection: X-A, keep-alive",
    "Connection: close",
    "Gray: GRAY",
    "gray-lane: 1;x",
    "G_ray: x",
    "X-Forwarded-For: 1.2.3.4",
    "X_Forwarded_For: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "Proxy: x",
    "Keep-Alive: 5",
    "baggage: a=b",
    "TE: trailers",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// What is written is one request that the strict parser takes, and holds nothing that only the gateway may say but what
    /// the gateway says.
    #[test]
    fn no_filters_make_a_head_that_is_not_one(
        filters in prop::collection::vec(prop::sample::select(FILTERS), 0..8),
        headers in prop::collection::vec(prop::sample::select(HEADERS), 0..8),
        path in "/api/([a-c:@%]|%2[0-9a-f]|/|;|\\.){0,12}(\\?[a-c=&%+]{0,8})?",
    ) {
        let filters: Vec<_> = filters.iter().map(|filter| filter.replace("one, two", "one")).collect();
        let settings = format!(
            "spring.cloud.gateway.routes: [{{ id: app, uri: 'lb://app', predicates: ['Path=/{{seg}}/{{*rest}}', 'Host={{sub}}.shop'], \
             filters: [{}] }}]",
            filters.join(", ")
        );
        let worker = bench::worker_with(&settings, &[Instance::new("127.0.0.1", 1).with_version("V1")]);
        let held = worker.snapshot();
        let forwarded = Forwarded::new(SocketAddr::from(([127, 0, 0, 1], 4321)), Scheme::Http);
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: eu.shop\r\n{lines}\r\n");
        let mut out = Vec::new();
        let reader = Reader { worker: &worker, forwarded: &forwarded };
        if !matches!(reader.read(head.as_bytes(), (&held, &Made::default()), &mut out, (&mut None, &mut None)), Reading::Request(_, Ok(_))) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&out).into_owned();
        let mut room = room();
        let sent = read_request(&out, &mut room, 128);
        prop_assert!(sent.is_ok(), "{sent:?} {shown}");
        let sent = sent.expect("checked");
        prop_assert_eq!(sent.end, out.len(), "{}", shown);
        prop_assert!(!sent.target.contains("//"), "{}", shown);
        let count = |name: &str| sent.head.fields.all(name).count();
        prop_assert_eq!((count("host"), count("gray"), count("forwarded"), count("x-forwarded-for")), (1, 1, 1, 1), "{}", shown);
        prop_assert_eq!(sent.head.fields.all("x-forwarded-for").next(), Some(&b"127.0.0.1"[..]), "{}", shown);
        for field in sent.head.fields.iter() {
            let is_ours = matches!(
                Name::of(field.name),
                Name::Connection | Name::ContentLength | Name::TransferEncoding | Name::Upgrade | Name::Expect | Name::Hop
                    | Name::OriginSpelling
            );
            prop_assert!(!is_ours, "{} in {}", field.name, shown);
        }
    }
}

/// What the gateway takes for its own, no filter writes: the two lists are kept by different crates.
#[test]
fn filters_write_no_name_that_is_the_gateways() {
    use gray_document::{Documents, check};

    use crate::config::GatewayConfig;
    for name in [
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Expect",
        "Keep-Alive",
        "Proxy",
        "Proxy-Connection",
        "proxy_authorization",
        "content.length",
        "Forwarded",
        "X-Real-IP",
        "X-Forwarded-Anything",
        "x_forwarded_for",
        "X.Real_IP",
        "gray",
        "Gray-Lane",
        "gray-signature",
        "gray-caller",
        "gray-hops",
        "_gray",
    ] {
        assert_ne!(Name::of(name), Name::Other, "{name}");
        for filter in [
            format!("'AddRequestHeader={name}, x'"),
            format!("'SetRequestHeader={name}, x'"),
            format!("'MapRequestHeader=X, {name}'"),
            format!("'AddRequestHeadersIfNotPresent={name}:x'"),
            format!("'AddResponseHeader={name}, x'"),
            format!("'SetResponseHeader={name}, x'"),
            format!("'RewriteResponseHeader={name}, x, y'"),
            format!("'DedupeResponseHeader={name}'"),
            format!("'RewriteLocationResponseHeader=NEVER_STRIP, {name}'"),
            format!("{{ name: RequestHeaderSize, args: {{ errorHeaderName: {name} }} }}"),
            format!("{{ name: FallbackHeaders, args: {{ executionExceptionTypeHeaderName: {name} }} }}"),
            format!("{{ name: FallbackHeaders, args: {{ rootCauseExceptionMessageHeaderName: {name} }} }}"),
            format!(
                "'SetStatus=200'] }}]\nspring.cloud.gateway.set-status: {{ original-status-header-name: {name} }} #"
            ),
        ] {
            let text = format!(
                "spring.cloud.gateway.routes: [{{ id: a, uri: 'lb://a', predicates: ['Path=/**'], filters: [{filter}] }}]"
            );
            let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
            assert!(check(&[("a.yaml", &text)], read).is_err(), "{filter}");
        }
    }
}
