use gray_document::Documents;
use gray_rules::RequestFacts;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{origin::OriginPattern, *};
use crate::RouteTable;

fn read(text: &str) -> (RouteTable, Vec<String>) {
    let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
    let table = RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    (table, problems.iter().map(ToString::to_string).collect())
}

/// `/**` with these settings, in YAML's flow form.
fn global(settings: &str) -> RouteTable {
    let (table, problems) = read(&format!(
        "spring.cloud.gateway:\n  routes: []\n  globalcors.cors-configurations:\n    '[/**]': {{ {settings} }}\n"
    ));
    let unexpected: Vec<_> = problems.iter().filter(|problem| problem.contains("cors")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    table
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).expect("name"), HeaderValue::from_str(value).expect("value"))
    };
    lines.iter().map(line).collect()
}

fn judge(table: &RouteTable, method: &str, lines: &[(&str, &str)]) -> Verdict {
    let cors = table.cors().find("/a/b").expect("known").expect("settings");
    let headers = headers(lines);
    cors.judge(&RequestFacts { method, ..RequestFacts::new(&headers) }, "http", "shop.example:8080")
}

/// `name: value` in the answer's order, or what there is instead.
fn shown(verdict: &Verdict) -> String {
    let list = |fields: &[(HeaderName, HeaderValue)]| {
        let line = |(name, value): &(HeaderName, HeaderValue)| {
            format!("{}: {}", name.as_str().trim_start_matches("access-control-"), value.to_str().expect("text"))
        };
        fields.iter().map(line).collect::<Vec<_>>().join("; ")
    };
    match verdict {
        Verdict::SameOrigin => "same origin".into(),
        Verdict::Allowed(fields) => format!("allowed: {}", list(fields)),
        Verdict::Preflight(fields) => format!("preflight: {}", list(fields)),
        Verdict::Refused => "refused".into(),
    }
}

const ORIGIN: (&str, &str) = ("origin", "https://page.example");
const ASKS_PUT: (&str, &str) = ("access-control-request-method", "PUT");

#[test]
fn what_spring_answers() {
    let star = "allowed-origins: '*', allowed-methods: '*', allowed-headers: '*'";
    let named = "allowedOrigins: ['https://page.example'], allowedMethods: [GET, PUT], allowedHeaders: [X-A, x-b], \
                 exposedHeaders: [X-Total], allowCredentials: true, maxAge: 3600";
    let (a, none) =
        (("access-control-request-headers", "x-a, X-Evil,x-B"), ("access-control-request-headers", "x-evil"));
    let evil = ("origin", "https://evil.example");
    for (settings, method, lines, expect) in [
        (star, "GET", &[][..], "same origin"),
        (star, "GET", &[("origin", "http://shop.example:8080")], "same origin"),
        (star, "GET", &[("origin", "https://shop.example:8080")], "allowed: allow-origin: *"),
        (star, "GET", &[("origin", "http://shop.example")], "allowed: allow-origin: *"),
        (star, "GET", &[("origin", "null")], "allowed: allow-origin: *"),
        (star, "DELETE", &[ORIGIN], "allowed: allow-origin: *"),
        (star, "OPTIONS", &[ORIGIN], "allowed: allow-origin: *"),
        (star, "OPTIONS", &[ORIGIN, ASKS_PUT], "preflight: allow-origin: *; allow-methods: PUT"),
        (
            star,
            "OPTIONS",
            &[ORIGIN, ASKS_PUT, a],
            "preflight: allow-origin: *; allow-methods: PUT; allow-headers: x-a, X-Evil, x-B",
        ),
        (
            named,
            "GET",
            &[ORIGIN],
            "allowed: allow-origin: https://page.example; allow-credentials: true; expose-headers: x-total",
        ),
        (named, "GET", &[evil], "refused"),
        (named, "GET", &[("origin", "null")], "refused"),
        (named, "GET", &[("origin", "https://page.example.evil.example")], "refused"),
        (named, "GET", &[("origin", "https://page.example:444")], "refused"),
        (named, "GET", &[("origin", "")], "refused"),
        (
            named,
            "GET",
            &[("origin", "HTTPS://Page.example/")],
            "allowed: allow-origin: HTTPS://Page.example/; allow-credentials: true; expose-headers: x-total",
        ),
        (named, "POST", &[ORIGIN], "refused"),
        (
            named,
            "OPTIONS",
            &[ORIGIN, ASKS_PUT],
            "preflight: allow-origin: https://page.example; allow-credentials: true; allow-methods: GET,PUT; expose-headers: x-total; max-age: 3600",
        ),
        (
            named,
            "OPTIONS",
            &[ORIGIN, ASKS_PUT, a],
            "preflight: allow-origin: https://page.example; allow-credentials: true; allow-methods: GET,PUT; allow-headers: x-a, x-B; expose-headers: x-total; max-age: 3600",
        ),
        (named, "OPTIONS", &[ORIGIN, ASKS_PUT, none], "refused"),
        (named, "OPTIONS", &[ORIGIN, ("access-control-request-method", "DELETE")], "refused"),
        (named, "OPTIONS", &[ORIGIN, ("access-control-request-method", "a b")], "refused"),
        (named, "OPTIONS", &[evil, ASKS_PUT], "refused"),
        // What is not said allows nothing, but for GET and HEAD.
        ("allowed-methods: '*'", "GET", &[ORIGIN], "refused"),
        ("allowed-origins: '*'", "HEAD", &[ORIGIN], "allowed: allow-origin: *"),
        ("allowed-origins: '*'", "POST", &[ORIGIN], "refused"),
        ("allowed-origins: '*', allowed-methods: PUT", "OPTIONS", &[ORIGIN, ASKS_PUT, none], "refused"),
        (
            "allowed-origins: 'https://a.example,https://page.example'",
            "GET",
            &[ORIGIN],
            "allowed: allow-origin: https://page.example",
        ),
        ("allowed-origin-patterns: '*'", "GET", &[ORIGIN], "allowed: allow-origin: *"),
        (
            "allowed-origin-patterns: 'https://*.example', allow-credentials: true",
            "GET",
            &[ORIGIN],
            "allowed: allow-origin: https://page.example; allow-credentials: true",
        ),
        ("allowed-origins: '*', exposed-headers: '*'", "GET", &[ORIGIN], "allowed: allow-origin: *; expose-headers: *"),
        (
            "allowed-origins: '*', allowed-methods: put, allow-private-network: true",
            "OPTIONS",
            &[ORIGIN, ASKS_PUT, ("access-control-request-private-network", "true")],
            "preflight: allow-origin: *; allow-methods: PUT; allow-private-network: true",
        ),
    ] {
        assert_eq!(shown(&judge(&global(settings), method, lines)), expect, "{settings}: {method} {lines:?}");
    }
}

#[test]
fn an_origin_that_only_the_star_allows_gets_no_credentials() {
    for key in ["allowed-origins", "allowed-origin-patterns"] {
        let (table, problems) = read(&format!(
            "spring.cloud.gateway:\n  routes: []\n  globalcors.cors-configurations:\n    '[/**]':\n      {key}: ['*', 'https://page.example']\n      \
             allow-credentials: true\n"
        ));
        assert!(
            problems.iter().any(|problem| problem.contains("allow-credentials") && problem.contains(":6")),
            "{problems:?}"
        );
        let named = shown(&judge(&table, "GET", &[ORIGIN]));
        assert_eq!(named, "allowed: allow-origin: https://page.example; allow-credentials: true", "{key}");
        let other = shown(&judge(&table, "GET", &[("origin", "https://evil.example")]));
        assert_eq!(other, "allowed: allow-origin: *", "{key}");
    }
}

/// `*` by another name: what every page can have gets no credentials either.
#[test]
fn an_origin_that_any_page_can_have_gets_no_credentials() {
    let evil = "https://evil.example";
    for (origins, origin, is_open) in [
        ("allowed-origin-patterns: 'https://*'", evil, true),
        ("allowed-origin-patterns: 'http*'", evil, true),
        ("allowed-origin-patterns: '**'", evil, true),
        ("allowed-origin-patterns: '*://*'", evil, true),
        ("allowed-origin-patterns: '*:[*]'", evil, true),
        ("allowed-origin-patterns: 'https://*.*'", evil, true),
        ("allowed-origin-patterns: 'https://*:8443'", "https://evil.example:8443", true),
        ("allowed-origin-patterns: '*://*:*'", "http://evil.example:81", true),
        ("allowed-origin-patterns: ['https://*:[8080,8443]']", "https://evil.example:8443", true),
        ("allowed-origin-patterns: 'https://shop.*'", "https://shop.evil.example", true),
        ("allowed-origin-patterns: 'http://localhost*'", "http://localhost.evil.example", true),
        ("allowed-origin-patterns: ['https://shop*:[443,8443]']", "https://shop.evil.example:443", true),
        ("allowed-origin-patterns: 'http://localhost:*'", "http://localhost:81", false),
        ("allowed-origin-patterns: 'http://[::1]:*'", "http://[::1]:81", false),
        ("allowed-origins: 'null'", "null", true),
        ("allowed-origin-patterns: 'n*'", "null", true),
        ("allowed-origin-patterns: ['https://*', 'https://*.page.example']", evil, true),
        ("allowed-origin-patterns: ['https://*', 'https://*.page.example']", "https://a.page.example", false),
        ("allowed-origin-patterns: 'https://*.page.example'", "https://a.page.example", false),
        ("allowed-origin-patterns: 'http://localhost:[*]'", "http://localhost:81", false),
        ("allowed-origin-patterns: 'http://*.page.example:*'", "http://a.page.example:81", false),
    ] {
        let (table, problems) = read(&format!(
            "spring.cloud.gateway:\n  routes: []\n  globalcors.cors-configurations:\n    '[/**]': {{ {origins}, allow-credentials: true }}\n"
        ));
        let told = shown(&judge(&table, "GET", &[("origin", origin)]));
        let credentials = if is_open { "" } else { "; allow-credentials: true" };
        assert_eq!(told, format!("allowed: allow-origin: {origin}{credentials}"), "{origins}");
        let is_warned = problems.iter().any(|problem| problem.contains("any page can have"));
        assert_eq!(is_warned, is_open || origins.contains("'https://*'"), "{origins}: {problems:?}");
    }
}

#[test]
fn patterns_of_origins() {
    for (pattern, origin, matches) in [
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://a.example.com.evil.example", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:8443", false),
        ("https://*.example.com:[*]", "https://a.example.com:8443", true),
        ("https://*.example.com:[*]", "https://a.example.com", true),
        ("https://*.example.com:[*]", "https://a.example.com:x", false),
        ("https://*.example.com:[8080,8443]", "https://a.example.com:8443", true),
        ("https://*.example.com:[8080, 8443]", "https://a.example.com:8443", true),
        ("https://*.example.com:[8080,8443]", "https://a.example.com:84", false),
        ("https://*.example.com:[8080,8443]", "https://a.example.com", false),
        ("https://*.example.com:[8080]", "https://a.example.com:+8080", false),
        ("*://localhost:*", "http://localhost:3000", true),
        ("https://a*a.example", "https://a.example", false),
        ("https://x.example", "https://x.example", true),
    ] {
        let parsed = OriginPattern::parse(pattern).expect(pattern);
        assert_eq!(parsed.matches(origin), matches, "{pattern} {origin}");
    }
    for bad in ["", ":[80]", "https://a:[80,x]", "https://a:[99999]"] {
        assert!(OriginPattern::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn routes_come_before_globalcors_and_the_first_pattern_that_matches_counts() {
    let (table, problems) = read(
        "spring.cloud.gateway:
  routes:
    - { id: a, uri: 'lb://a', predicates: ['Path=/a/**,/x/**'], metadata: { cors: { allowedOrigins: 'https://a' } } }
    - { id: b, uri: 'lb://b', predicates: ['Path=/b/**'] }
    - { id: c, uri: 'lb://c', predicates: ['Path=/a/**', 'Method=GET'], metadata: { cors: { allowedOrigins: 'https://c' } } }
  globalcors:
    add-to-simple-url-handler-mapping: true
    cors-configurations:
      '[/a/**]': { allowed-origins: 'https://global-a' }
      '[/b/**]': { allowed-origins: 'https://b' }
      '[/**]': { allowed-origins: 'https://rest' }
",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let allows = |path: &str| {
        let cors = table.cors().find(path).expect("known")?;
        let of = |host: &str| {
            matches!(cors.judge(&RequestFacts::new(&headers(&[("origin", host)])), "http", "x"), Verdict::Allowed(_))
        };
        ["https://a", "https://b", "https://c", "https://global-a", "https://rest"].into_iter().find(|host| of(host))
    };
    assert_eq!(allows("/a/1"), Some("https://c"), "a later route with the same pattern replaces the first");
    assert_eq!(allows("/x/1"), Some("https://rest"), "only the first pattern of a route's paths counts");
    assert_eq!(allows("/b/1"), Some("https://b"));
    assert_eq!(allows("/none"), Some("https://rest"));
    assert!(table.cors().find_unrouted("/none").expect("known").is_some());
    assert!(global("allowed-origins: '*'").cors().find_unrouted("/none").expect("known").is_none());
    assert!(read("spring.cloud.gateway.routes: []").0.cors().is_empty());
}

#[test]
fn bad_settings_are_named() {
    for (settings, message) in [
        ("allowed-origin: 'https://a'", "allowed-origin"),
        ("allowed-origins: 'page.example'", "browsers send a scheme as well"),
        ("allowed-origins: 'https://*.example'", "allowed-origin-patterns"),
        ("allowed-origin-patterns: 'https://a:[x]'", "is not a pattern of origins"),
        ("allowed-methods: 'a b'", "is not a method"),
        ("allowed-headers: 'a b'", "is not the name of a header field"),
        ("exposed-headers: 'a b'", "is not the name of a header field"),
        ("allow-credentials: maybe", "expected"),
        ("max-age: soon", "expected"),
    ] {
        let text = format!(
            "spring.cloud.gateway:\n  routes: []\n  globalcors.corsConfigurations:\n    '[/**]': {{ {settings} }}\n"
        );
        let (_, problems) = read(&text);
        assert!(
            problems.iter().any(|problem| problem.contains(message) && problem.contains(":4")),
            "{settings}: {problems:?}"
        );
    }
    let (_, problems) = read(
        "spring.cloud.gateway:\n  routes: []\n  globalcors.cors-configurations:\n    '[a]': { allowed-origins: '*' }\n    '[/b]': x\n",
    );
    assert!(problems.iter().any(|problem| problem.contains("must begin with `/`")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("expected CORS settings")), "{problems:?}");
}

proptest! {
    /// Whatever a client sends: no panic, an echo is what it sent, and nothing is allowed that no setting allows.
    #[test]
    fn only_what_is_allowed_is_allowed(
        origin in proptest::collection::vec(any::<u8>().prop_filter("a field", |byte| *byte >= 0x20 && *byte != 0x7f), 0..40),
        asked in "[ -~]{0,20}",
        requested in proptest::collection::vec("[ -~]{0,30}", 0..4),
        is_preflight: bool,
    ) {
        let table = global("allowed-origins: 'https://page.example', allowed-methods: [GET, PUT], allowed-headers: X-A, allow-credentials: true");
        let cors = table.cors().find("/").expect("known").expect("settings");
        let mut fields = HeaderMap::new();
        fields.append("origin", HeaderValue::from_bytes(&origin).expect("a value"));
        fields.append("access-control-request-method", HeaderValue::from_str(&asked).expect("a value"));
        for line in &requested {
            fields.append("access-control-request-headers", HeaderValue::from_str(line).expect("a value"));
        }
        let method = if is_preflight { "OPTIONS" } else { "GET" };
        let is_ours = origin.eq_ignore_ascii_case(b"https://page.example") || origin.eq_ignore_ascii_case(b"https://page.example/");
        match cors.judge(&RequestFacts { method, ..RequestFacts::new(&fields) }, "http", "shop.example") {
            Verdict::Allowed(_) | Verdict::Preflight(_) => prop_assert!(is_ours),
            Verdict::Refused | Verdict::SameOrigin => {}
        }
    }
}
