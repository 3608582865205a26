//! `fallbackUri` that leads to a route: with all that the route asks for, and with the client's own request.

use gray_gateway::proxy::Refusal;

use crate::support::{Backend, Gateway, Response, Setup, WITH_WARNINGS};

const TOKEN: &str = "{ name: JsonWebToken, args: { key: 'a secret of some length', algorithm: HS256 } }";

fn breaker(uri: &str) -> String {
    format!("{{ name: CircuitBreaker, args: {{ name: x, fallbackUri: 'forward:{uri}', statusCodes: 500 }} }}")
}

/// `/api/{seg}/**` to a service without instances, whose fallback this is; and these routes.
fn gateway(uri: &str, others: &str) -> Gateway {
    gateway_with(uri, others, "")
}

fn gateway_with(uri: &str, others: &str, settings: &str) -> Gateway {
    let filter = breaker(uri);
    let text = format!(
        "{WITH_WARNINGS}{settings}spring.cloud.gateway.routes:\n\
         - {{ id: api, uri: 'lb://none', predicates: ['Path=/api/{{seg}}/**'], filters: ['AddRequestHeader=X-Api, 1', {filter}] }}\n{others}\n\
         kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, \
         gateway: {{ enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }} }}\n"
    );
    Setup::with_documents(&text, &[]).start()
}

fn to(backend: &Backend, id: &str, path: &str, filters: &str) -> String {
    format!("- {{ id: {id}, uri: 'http://{}', predicates: ['Path={path}'], filters: [{filters}] }}\n", backend.address)
}

async fn ask(gateway: &Gateway, line: &str, fields: &str, body: &str) -> Response {
    gateway.ask(&format!("{line} HTTP/1.1\r\nHost: shop\r\n{fields}\r\n{body}")).await
}

#[tokio::test]
async fn the_clients_own_request_comes_to_the_fallback() {
    let backend = Backend::named("fallback").await;
    let gateway = gateway("/fallback/{seg}", &to(&backend, "fallback", "/fallback/**", "StripPrefix=1"));
    let response = ask(&gateway, "PUT /api/a%20b/c?x=1", "X-Own: 2\r\nContent-Length: 3\r\n", "abc").await;
    assert_eq!((response.status, response.body.as_str()), (200, "fallback"));
    let seen = backend.last();
    assert_eq!((seen.line(), &*seen.body), ("PUT /a%20b?x=1 HTTP/1.1", &b"abc"[..]));
    assert_eq!((seen.one("x-own"), seen.all("x-api").len(), seen.one("x-forwarded-prefix")), ("2", 0, "/fallback"));
    assert_eq!(gateway.stats.snapshot().breaker_fallbacks, [1, 0, 0]);
    // The fallback's own query takes the place of the client's.
    let gateway = self::gateway("/fallback?from=api", &to(&backend, "fallback", "/fallback/**", ""));
    assert_eq!(ask(&gateway, "GET http://shop/api/x?y", "", "").await.status, 200);
    assert_eq!(backend.last().line(), "GET /fallback?from=api HTTP/1.1");
}

/// A segment stays one, whatever the client writes in it.
#[tokio::test]
async fn segments_are_encoded() {
    let backend = Backend::named("fallback").await;
    let gateway = gateway("/fallback/{seg}/end", &to(&backend, "fallback", "/fallback/**", ""));
    for (sent, path) in
        [("a%3Fb%23", "/fallback/a%3Fb%23/end"), ("%C3%A9", "/fallback/%C3%A9/end"), ("x;y", "/fallback/x/end")]
    {
        let response = ask(&gateway, &format!("GET /api/{sent}/c"), "", "").await;
        if response.status == 200 {
            assert_eq!(backend.last().line(), format!("GET {path} HTTP/1.1"), "{sent}");
        } else {
            assert!(matches!(response.status, 400 | 503), "{sent}: {}", response.status);
        }
    }
    for sent in ["..%2fadmin", "%2e%2e", "a%2Fb", "a%0d%0ab"] {
        let before = backend.seen().len();
        let response = ask(&gateway, &format!("GET /api/{sent}/c"), "", "").await;
        let went = backend.seen().len() > before;
        assert!(!went || backend.last().line().ends_with("/end HTTP/1.1"), "{sent}");
        assert!(!went || backend.last().line().matches('/').count() == 4, "{sent}: {}", backend.last().line());
        assert!(went || response.status >= 400, "{sent}");
    }
}

/// A fallback that takes too long to find is not passed over for the route behind it.
#[tokio::test]
async fn an_expression_of_a_fallback_is_not_walked_around() {
    let backend = Backend::named("fallback").await;
    let answers = "gray.spring.fallbacks: { '/fallback/{x:(?!ok)(?:a+)+b}': { status: 403 } }\n";
    let gateway = gateway_with("/fallback/{seg}", &to(&backend, "fallback", "/fallback/**", ""), answers);
    for (seg, status, went) in [("aab", 403, 0), (&*"a".repeat(60), 400, 0), ("x", 200, 1)] {
        assert_eq!(ask(&gateway, &format!("GET /api/{seg}/c"), "", "").await.status, status, "{seg}");
        assert_eq!(backend.seen().len(), went, "{seg}");
    }
    assert_eq!(gateway.stats.snapshot().refused(Refusal::ExpressionLimit), 1);
}

#[tokio::test]
async fn the_guards_of_the_fallback_count() {
    let backend = Backend::named("fallback").await;
    let limit = "'RequestRateLimiter=1, 1, 1, route'";
    let routes = to(&backend, "token", "/token", TOKEN)
        + &to(&backend, "rate", "/rate", limit)
        + &to(&backend, "size", "/size", "RequestSize=2B")
        + &format!(
            "- {{ id: method, uri: 'http://{}', predicates: ['Path=/method', 'Method=GET'] }}\n",
            backend.address
        );
    for (uri, line, fields, body, statuses) in [
        ("/token", "GET /api/x", "", "", [401, 401]),
        ("/rate", "GET /api/x", "", "", [200, 429]),
        ("/size", "PUT /api/x", "Content-Length: 3\r\n", "abc", [413, 413]),
        ("/size", "PUT /api/x", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", [413, 413]),
        ("/method", "PUT /api/x", "", "", [503, 503]),
    ] {
        let gateway = gateway(uri, &routes);
        for status in statuses {
            let response = ask(&gateway, line, fields, body).await;
            assert_eq!(response.status, status, "{uri} {fields}: {}", response.body);
        }
    }
}

/// The lane is decided once, by the request that came.
#[tokio::test]
async fn there_is_no_second_decision() {
    let backend = Backend::named("fallback").await;
    let rules = "gray: { lanes: { v2: { select: V2 } }, rules: [{ name: a, when: { path: { prefix: /fallback } }, lane: v2 }] }\n";
    let gateway = gateway_with("/fallback", &to(&backend, "fallback", "/fallback/**", ""), rules);
    assert_eq!(ask(&gateway, "GET /fallback", "", "").await.status, 200);
    let decided = |seen: crate::support::Seen| seen.one("gray").to_owned();
    let direct = decided(backend.last());
    assert_eq!(ask(&gateway, "GET /api/x", "", "").await.status, 200);
    assert_ne!(decided(backend.last()), direct, "by /api/x");
    assert_eq!(gateway.stats.snapshot().decisions.iter().sum::<u64>(), 2);
}

/// From one fallback to the next, three times and no more.
#[tokio::test]
async fn fallbacks_of_fallbacks_end() {
    let backend = Backend::named("end").await;
    let chain = |length: usize| {
        let links: String = (1..length)
            .map(|link| {
                let (filter, next) = (breaker(&format!("/f{}", link + 1)), link);
                format!("- {{ id: f{next}, uri: 'lb://none', predicates: ['Path=/f{next}'], filters: [{filter}] }}\n")
            })
            .collect();
        links + &to(&backend, "end", &format!("/f{length}"), "")
    };
    for (length, status) in [(1, 200), (3, 200), (4, 503), (6, 503)] {
        let gateway = gateway("/f1", &chain(length));
        assert_eq!(ask(&gateway, "GET /api/x", "", "").await.status, status, "{length}");
    }
}

/// A body that is whole is sent once more; of a long one a part is gone.
#[tokio::test]
async fn bodies_are_kept_up_to_a_bound() {
    let fallback = Backend::named("fallback").await;
    let failing = Backend::answering("HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno").await;
    let filter = breaker("/fallback");
    let routes = to(&failing, "own", "/own/**", &filter) + &to(&fallback, "fallback", "/fallback/**", "");
    let gateway = gateway("/fallback", &routes);
    for (length, status) in [(0, 200), (1_000, 200), (60_000, 200), (200_000, 503), (300_000, 503)] {
        let body = "x".repeat(length);
        let response = ask(&gateway, "POST /own/x", &format!("Content-Length: {length}\r\n"), &body).await;
        assert_eq!(response.status, status, "{length}");
        if status == 200 {
            assert_eq!(fallback.last().body.len(), length);
        }
        // In chunks as well.
        let chunked = if length == 0 { "0\r\n\r\n".to_owned() } else { format!("{length:x}\r\n{body}\r\n0\r\n\r\n") };
        let response = ask(&gateway, "POST /own/x", "Transfer-Encoding: chunked\r\n", &chunked).await;
        assert_eq!(response.status, status, "{length} in chunks");
        if status == 200 {
            assert_eq!(fallback.last().body.len(), length);
        }
    }
    // Where no instance was asked, nothing of it is gone.
    let body = "x".repeat(300_000);
    let response = ask(&gateway, "POST /api/x", "Content-Length: 300000\r\n", &body).await;
    assert_eq!((response.status, fallback.last().body.len()), (200, 300_000));
}

#[tokio::test]
async fn a_fallback_is_told_what_has_failed_and_no_client_says_it() {
    let fallback = Backend::named("fallback").await;
    let failing = Backend::answering("HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno").await;
    let filter = breaker("/fallback");
    let names = "{ name: FallbackHeaders, args: { executionExceptionTypeHeaderName: X-Type } }";
    let routes = to(&failing, "own", "/own/**", &filter) + &to(&fallback, "fallback", "/fallback/**", names);
    let gateway = gateway("/fallback", &routes);
    let spoofed = "X-Type: me\r\nExecution_Exception_Message: me\r\nRoot-Cause-Exception-Type: me\r\n";
    for (line, class) in [
        (
            "GET /own/x",
            "org.springframework.cloud.gateway.filter.factory.SpringCloudCircuitBreakerFilterFactory$CircuitBreakerStatusCodeException",
        ),
        ("GET /api/x", "org.springframework.cloud.gateway.support.NotFoundException"),
    ] {
        assert_eq!(ask(&gateway, line, spoofed, "").await.status, 200);
        let seen = fallback.last();
        assert_eq!((seen.one("x-type"), seen.one("root-cause-exception-type")), (class, class));
        assert!(seen.one("execution-exception-message").starts_with("50"), "{}", seen.head);
    }
    assert_eq!(ask(&gateway, "GET /fallback", spoofed, "").await.status, 200);
    let seen = fallback.last();
    assert!(!seen.head.contains("me\r\n"), "{}", seen.head);
    assert_eq!(seen.all("x-type").len() + seen.all("root-cause-exception-type").len(), 0, "nothing has failed");
}
