use super::*;
use crate::proxy::http1::{read_request, room};

/// What a request with these lines is sent on with.
fn sent(forwarded: &Forwarded, lines: &str, prefix: Option<&str>, trusted: Option<(TrustedHeaders, &str)>) -> String {
    sent_with(forwarded, lines, prefix, trusted, ForwardedFields::default())
}

fn sent_with(
    forwarded: &Forwarded,
    lines: &str,
    prefix: Option<&str>,
    trusted: Option<(TrustedHeaders, &str)>,
    switches: ForwardedFields,
) -> String {
    let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let mut room = room();
    let fields = read_request(text.as_bytes(), &mut room, 100).expect("a request").head.fields;
    let asked = forwarded.asked(fields.all("host").next()).expect("host");
    let trusted = trusted.map(|(family, client)| (fields, family, client.parse().expect("ip")));
    let mut out = Vec::new();
    forwarded.write(&mut out, &asked, prefix, trusted, switches);
    String::from_utf8(out).expect("text")
}

#[test]
fn strangers_are_overwritten_and_trusted_hops_continued() {
    let forwarded = Forwarded::new("[::ffff:9.9.9.9]:4321".parse().expect("peer"), Scheme::Http);
    let said = "Host: shop:7000\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n";
    let said = format!("{said}Forwarded: for=3.3.3.3\r\n");
    for (trusted, said_first, expect) in [
        (None, "proto=http;host=\"shop:7000\";for=\"9.9.9.9:4321\"", "9.9.9.9"),
        (
            Some((TrustedHeaders::XForwarded, "2.2.2.2")),
            "proto=http;host=\"shop:7000\";for=2.2.2.2, for=\"9.9.9.9:4321\"",
            "1.1.1.1, 2.2.2.2, 9.9.9.9",
        ),
        (Some((TrustedHeaders::Forwarded, "3.3.3.3")), "for=3.3.3.3, for=\"9.9.9.9:4321\"", "3.3.3.3, 9.9.9.9"),
        (Some((TrustedHeaders::Forwarded, "9.9.9.9")), "for=3.3.3.3, for=\"9.9.9.9:4321\"", "9.9.9.9"),
    ] {
        assert_eq!(
            sent(&forwarded, &said, Some("/order-api"), trusted),
            format!(
                "forwarded: {said_first}\r\nx-forwarded-for: {expect}\r\n\
                 x-forwarded-proto: http\r\nx-forwarded-host: shop:7000\r\nx-forwarded-port: 7000\r\n\
                 x-forwarded-prefix: /order-api\r\n"
            )
        );
    }
    // Another Host on the same connection is read anew.
    let other = forwarded.asked(Some(b"other")).expect("host");
    assert_eq!((other.name(), forwarded.asked(None).expect("none").name()), (Some("other"), None));
}

/// What an edge in front of us says is one value each, and the same in both families.
#[test]
fn the_edge_says_what_the_client_has_asked() {
    let forwarded = Forwarded::new("10.0.0.1:4321".parse().expect("peer"), Scheme::Http);
    for (said, proto, host, port, authority) in [
        ("X-Forwarded-Proto: https\r\n", "https", "gw:7000", "7000", "gw:7000"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n", "https", "shop", "443", "shop"),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nX-Forwarded-Port: 443\r\n",
            "https",
            "shop",
            "443",
            "shop",
        ),
        (
            "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: shop\r\nX-Forwarded-Port: 8443\r\n",
            "https",
            "shop",
            "8443",
            "shop:8443",
        ),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop:8443\r\n", "https", "shop:8443", "8443", "shop:8443"),
        ("X-Forwarded-Proto: https, http\r\nX-Forwarded-Proto: http\r\n", "https", "gw:7000", "7000", "gw:7000"),
        // What cannot be is not said on.
        (
            "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\nX-Forwarded-Port: 0\r\n",
            "http",
            "gw:7000",
            "7000",
            "gw:7000",
        ),
        ("X-Forwarded-Port: 99999\r\n", "http", "gw:7000", "7000", "gw:7000"),
    ] {
        let lines = format!("Host: gw:7000\r\nX-Forwarded-For: 9.9.9.9\r\n{said}");
        assert_eq!(
            sent(&forwarded, &lines, None, Some((TrustedHeaders::XForwarded, "9.9.9.9"))),
            format!(
                "forwarded: proto={proto};host=\"{authority}\";for=9.9.9.9, for=\"10.0.0.1:4321\"\r\n\
                 x-forwarded-for: 9.9.9.9, 10.0.0.1\r\nx-forwarded-proto: {proto}\r\nx-forwarded-host: {host}\r\n\
                 x-forwarded-port: {port}\r\n"
            ),
            "{said}"
        );
    }
    let lines =
        "Host: gw:7000\r\nForwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop:8443\"\r\nX-Forwarded-Proto: ws\r\n";
    assert_eq!(
        sent(&forwarded, lines, None, Some((TrustedHeaders::Forwarded, "2001:db8::1"))),
        "forwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop:8443\", for=\"10.0.0.1:4321\"\r\n\
         x-forwarded-for: 2001:db8::1, 10.0.0.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop:8443\r\n\
         x-forwarded-port: 8443\r\n"
    );
    // A stranger says nothing.
    let said = "Host: gw:7000\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n";
    assert!(!sent(&forwarded, said, None, None).contains("evil"));
}

#[test]
fn what_came_by_tls_is_said_to_be_https() {
    let forwarded = Forwarded::new("9.9.9.9:4321".parse().expect("peer"), Scheme::Https);
    for (host, port) in [("shop", "443"), ("shop:7443", "7443")] {
        assert_eq!(
            sent(&forwarded, &format!("Host: {host}\r\n"), None, None),
            format!(
                "forwarded: proto=https;host=\"{host}\";for=\"9.9.9.9:4321\"\r\nx-forwarded-for: 9.9.9.9\r\n\
                 x-forwarded-proto: https\r\nx-forwarded-host: {host}\r\nx-forwarded-port: {port}\r\n"
            )
        );
    }
}

/// What the switches of Spring leave out is not written, of strangers nothing of it is passed on.
#[test]
fn switches_leave_fields_out() {
    let settings = |text: &str| {
        let text = format!("spring.cloud: {{ gateway: {text} }}");
        let documents = gray_document::Documents::parse(&[("g.yaml", &text)], &|_| None).expect("well formed");
        crate::route::RouteTable::read(&documents.root()).forwarded_fields()
    };
    let said = "Host: gw\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\n\
                X-Forwarded-Prefix: /edge\r\nForwarded: for=3.3.3.3\r\n";
    let forwarded = Forwarded::new("9.9.9.9:4321".parse().expect("peer"), Scheme::Http);
    for (text, family, expect) in [
        ("{ x-forwarded.enabled: false }", None, "forwarded: proto=http;host=\"gw\";for=\"9.9.9.9:4321\"\r\n"),
        (
            "{ x-forwarded: { port-enabled: false, prefix-enabled: false } }",
            None,
            "forwarded: proto=http;host=\"gw\";for=\"9.9.9.9:4321\"\r\nx-forwarded-for: 9.9.9.9\r\n\
             x-forwarded-proto: http\r\nx-forwarded-host: gw\r\n",
        ),
        (
            "{ forwarded.enabled: false }",
            None,
            "x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: gw\r\nx-forwarded-port: 80\r\n\
             x-forwarded-prefix: /api\r\n",
        ),
        // What a trusted hop says stays, unless it is to be replaced.
        (
            "{ forwarded.enabled: false, x-forwarded: { proto-enabled: false, host-enabled: false, port-append: false } }",
            Some(TrustedHeaders::XForwarded),
            "x-forwarded-for: 1.1.1.1, 9.9.9.9\r\nx-forwarded-proto: https\r\nx-forwarded-port: 80\r\n\
             x-forwarded-prefix: /edge, /api\r\n",
        ),
        (
            "{ forwarded.enabled: false, x-forwarded: { for-append: false, proto-append: false, port-enabled: false, \
             prefix-append: false } }",
            Some(TrustedHeaders::XForwarded),
            "x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: gw\r\nx-forwarded-port: 444\r\n\
             x-forwarded-prefix: /api\r\n",
        ),
        (
            "{ forwarded.enabled: false, x-forwarded.enabled: false }",
            Some(TrustedHeaders::Forwarded),
            "forwarded: for=3.3.3.3\r\n",
        ),
    ] {
        let trusted = family.map(|family| (family, "1.1.1.1"));
        let fields = settings(text);
        assert_eq!(sent_with(&forwarded, said, Some("/api"), trusted, fields), expect, "{text}");
    }
}
