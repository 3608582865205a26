//! Routes as Spring Cloud Gateway reads them, on the wire: expressions, releases, trusted proxies.

use gray_gateway::proxy::Refusal;

use crate::support::{Backend, Gateway, HEAD, Setup};

/// A gateway with these settings below `spring.cloud.gateway`, and these at the top.
fn gateway(settings: &str, top: &str, backend: &Backend) -> Gateway {
    let text = format!("spring.cloud.gateway:\n{settings}{HEAD}{top}");
    Setup::with_documents(&text, &[backend.instance("V1")]).start()
}

async fn status(gateway: &Gateway, path: &str, host: &str, fields: &str) -> u16 {
    gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await.status
}

/// A route that keeps requests out by an expression that clients can make expensive: they are refused, not let through to the
/// route behind it.
#[tokio::test]
async fn an_expression_that_guards_is_not_walked_around() {
    let backend = Backend::named("v1").await;
    let gateway = gateway(
        r"  routes:
  - { id: guard, uri: 'no://op', predicates: ['Path=/**', 'Header=X-Who, (?!ok)(a+)+b?'], filters: ['SetStatus=403'] }
  - { id: seg, uri: 'lb://app', predicates: ['Path=/s/{x:(?!ok)(?:a+)+b}/**'] }
  - { id: open, uri: 'lb://app', predicates: ['Path=/**'], filters: ['RewritePath=/r/(?<rest>(?!ok)(?:a+)+b), /$\{rest}'] }
",
        "",
        &backend,
    );
    let many = "a".repeat(60);
    for (path, who, expect) in [
        ("/x", "aab", 403),
        ("/x", "okay", 200),
        ("/x", &*format!("{many}c"), 400),
        (&format!("/s/{many}/x"), "ok", 400),
        (&format!("/r/{many}"), "ok", 400),
        ("/r/aab", "ok", 200),
        ("/r/x", "ok", 200),
    ] {
        assert_eq!(status(&gateway, path, "h", &format!("X-Who: {who}\r\n")).await, expect, "{path} {who}");
    }
    assert_eq!(gateway.stats.snapshot().refused(Refusal::ExpressionLimit), 3);
    // The connection goes on.
    let mut client = gateway.client().await;
    for expect in [400, 200] {
        let who = if expect == 400 { &*format!("{many}c") } else { "ok" };
        client.send(&format!("GET /x HTTP/1.1\r\nHost: h\r\nX-Who: {who}\r\n\r\n")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, expect, "{}", answer.head);
        assert!(expect == 200 || answer.body.contains("too many steps"), "{}", answer.body);
    }
    assert_eq!(client_of(&backend, "/aab"), 1);
}

/// How many requests for this path the backend has seen.
fn client_of(backend: &Backend, path: &str) -> usize {
    backend.seen().iter().filter(|seen| seen.line() == format!("GET {path} HTTP/1.1")).count()
}

/// The same for every other predicate that has an expression.
#[tokio::test]
async fn what_a_predicate_would_take_too_long_for_is_refused() {
    let backend = Backend::named("v1").await;
    let gateway = gateway(
        r"  routes:
  - { id: query, uri: 'no://op', predicates: ['Path=/q', 'Query=x, (?!ok)(a+)+b?'], filters: ['SetStatus=403'] }
  - { id: cookie, uri: 'no://op', predicates: ['Path=/c', 'Cookie=x, (?!ok)(a+)+b?'], filters: ['SetStatus=403'] }
  - { id: host, uri: 'no://op', predicates: ['Path=/h', 'Host={x:(?!ok)(?:a+)+b}.example'], filters: ['SetStatus=403'] }
  - { id: open, uri: 'lb://app', predicates: ['Path=/**'] }
",
        "",
        &backend,
    );
    let many = "a".repeat(60);
    for predicate in ["Query", "Cookie", "Host"] {
        for (value, expect) in [("aab", 403), ("okay", 200), (&*format!("{many}c"), 400)] {
            let (path, host, fields) = match predicate {
                "Query" => (format!("/q?x={value}"), "h".to_owned(), String::new()),
                "Cookie" => ("/c".to_owned(), "h".to_owned(), format!("Cookie: x={value}\r\n")),
                _ => ("/h".to_owned(), format!("{value}.example"), String::new()),
            };
            assert_eq!(status(&gateway, &path, &host, &fields).await, expect, "{predicate} {value}");
        }
    }
    assert_eq!(gateway.stats.snapshot().refused(Refusal::ExpressionLimit), 3);
}

#[tokio::test]
async fn an_answer_that_an_expression_would_take_too_long_for_is_not_passed_on() {
    let secret = "a".repeat(60);
    for (field, filter, easy) in [
        ("X-Secret", "'RewriteResponseHeader=X-Secret, (?!x)(a+)+b, -'", "aab"),
        (
            "Location",
            "{ name: RewriteLocationResponseHeader, args: { protocols: '(?!x)(a+)+b' } }",
            "aab://inside.example/x",
        ),
    ] {
        for (value, expect) in [(easy.to_owned(), 302), (format!("{secret}://inside.example/x"), 502)] {
            let head = format!("HTTP/1.1 302 Found\r\nContent-Length: 2\r\n{field}: {value}\r\n\r\nok");
            let backend = Backend::serving(move |_| (head.clone(), true)).await;
            let routes =
                format!("  routes:\n  - {{ id: a, uri: 'lb://app', predicates: ['Path=/**'], filters: [{filter}] }}\n");
            let gateway = gateway(&routes, "", &backend);
            let answer = gateway.ask("GET /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(answer.status, expect, "{field} {value}: {}", answer.head);
            // Neither as it came nor half rewritten.
            assert!(!answer.head.contains(&secret) && !answer.head.contains("inside"), "{}", answer.head);
            assert_eq!(answer.body.contains("too many steps"), expect == 502, "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn hosts_and_ends_of_paths_by_release() {
    let backend = Backend::named("v1").await;
    let routes = "  routes:
  - { id: host, uri: 'lb://app', predicates: ['Host=h.example,*.t.example', 'Path=/host/**'] }
  - { id: end, uri: 'lb://app', predicates: ['Path=/end'] }
  - { id: slash, uri: 'lb://app', predicates: ['Path=/slash,true'] }
";
    let asked: [(&str, &str, [u16; 4]); 9] = [
        // Path, host, and the status without a release, with 3.1, 4 and 5.
        ("/host/x", "h.example", [200, 200, 200, 200]),
        ("/host/x", "h.example:8080", [200, 404, 404, 404]),
        ("/host/x", "H.example", [200, 404, 404, 404]),
        ("/host/x", "a.t.example", [200, 200, 200, 200]),
        ("/host/x", "a.t.example:80", [200, 404, 404, 404]),
        ("/end", "any:1", [200, 200, 200, 200]),
        ("/end/", "any", [200, 200, 200, 404]),
        ("/slash/", "any", [200, 200, 200, 200]),
        ("/end//", "any", [400, 400, 400, 400]),
    ];
    for (place, release) in
        ["", "gray.spring.release: 3.1\n", "gray: { spring: { release: 4 } }\n", "gray.spring.release: '5.0'\n"]
            .into_iter()
            .enumerate()
    {
        let gateway = gateway(routes, release, &backend);
        for (path, host, expect) in asked {
            assert_eq!(status(&gateway, path, host, "").await, expect[place], "{release} {host} {path}");
        }
    }
    let with_port = "  routes:\n  - { id: host, uri: 'lb://app', predicates: ['Host={sub}.example:8080'] }\n";
    let gateway = gateway(with_port, "gray.spring.release: 4.3\n", &backend);
    for (host, expect) in [("a.example:8080", 200), ("a.example", 404), ("a.example:80", 404)] {
        assert_eq!(status(&gateway, "/", host, "").await, expect, "{host}");
    }
    let lenient = "  routes:\n  - { id: port, uri: 'lb://app', predicates: ['Host=**.b.example:8080'] }\n\
                   \x20 - { id: host, uri: 'lb://app', predicates: ['Host=a.example'] }\n";
    let gateway = self::gateway(lenient, "", &backend);
    for (host, expect) in [
        ("a.example:8080", 200),
        ("A.example", 200),
        ("x.b.example:8080", 200),
        ("x.b.example", 404),
        ("b.example:80", 404),
    ] {
        assert_eq!(status(&gateway, "/", host, "").await, expect, "{host}");
    }
    let without = "  predicate.host.include-port: false\n  routes:\n  - { id: host, uri: 'lb://app', predicates: ['Host=a.example'] }\n";
    let gateway = self::gateway(without, "gray.spring.release: 4.3\n", &backend);
    for (host, expect) in [("a.example:8080", 200), ("a.example", 200), ("A.example", 404)] {
        assert_eq!(status(&gateway, "/", host, "").await, expect, "{host}");
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed_and_strangers_are_not() {
    let backend = Backend::named("v1").await;
    let routes = "  routes:\n  - { id: a, uri: 'lb://app', predicates: ['Path=/**'] }\n";
    let said =
        "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 8.8.8.8\r\n";
    for (trusted, top, x_forwarded_for, forwarded) in [
        (r"  trusted-proxies: '10\..*'", "", "127.0.0.1", false),
        (r"  trusted-proxies: '127\.0\.0\.\d+'", "", "9.9.9.9, 127.0.0.1", false),
        (r"  server.webflux.trusted-proxies: '(?!10\.)127\..*'", "", "9.9.9.9, 127.0.0.1", false),
        (
            r"  trusted-proxies: '127\..*'",
            "kerwin.tool.gray.gateway.trustedHeaders: forwarded\n",
            "7.7.7.7, 127.0.0.1",
            true,
        ),
    ] {
        let gateway = gateway(&format!("{trusted}\n{routes}"), top, &backend);
        assert_eq!(status(&gateway, "/x", "h", said).await, 200);
        let seen = backend.last();
        assert_eq!(seen.all("x-forwarded-for"), [x_forwarded_for], "{trusted}");
        assert_eq!(seen.one("forwarded").starts_with("for=7.7.7.7, "), forwarded, "{trusted}: {}", seen.head);
        assert_eq!(seen.one("forwarded").contains("7.7.7.7"), forwarded, "{trusted}: {}", seen.head);
    }
}
