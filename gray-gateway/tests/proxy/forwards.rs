//! Routes whose `uri` is `forward:/path`: another route takes over, with all that both ask for.

use crate::support::{Backend, Gateway, Response, Setup, WITH_WARNINGS};

const TOKEN: &str = "{ name: JsonWebToken, args: { key: 'a secret of some length', algorithm: HS256 } }";

fn gateway(routes: &str, settings: &str) -> Gateway {
    let text = format!(
        "{WITH_WARNINGS}{settings}spring.cloud.gateway.routes:\n{routes}\n\
         kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, \
         gateway: {{ enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }} }}\n"
    );
    Setup::with_documents(&text, &[]).start()
}

fn to(backend: &Backend, id: &str, predicates: &str, filters: &str) -> String {
    format!("- {{ id: {id}, uri: 'http://{}', predicates: [{predicates}], filters: [{filters}] }}\n", backend.address)
}

fn on(id: &str, path: &str, uri: &str, filters: &str) -> String {
    format!("- {{ id: {id}, uri: 'forward:{uri}', predicates: ['Path={path}'], filters: [{filters}] }}\n")
}

async fn ask(gateway: &Gateway, line: &str, fields: &str, body: &str) -> Response {
    gateway.ask(&format!("{line} HTTP/1.1\r\nHost: shop\r\n{fields}\r\n{body}")).await
}

#[tokio::test]
async fn the_clients_own_request_is_forwarded() {
    let backend = Backend::named("target").await;
    let routes = on("from", "/from/**", "/to/x", "") + &to(&backend, "to", "'Path=/to/**'", "StripPrefix=1");
    let gateway = gateway(&routes, "");
    for line in ["PUT /from/a?x=1", "PUT http://shop/from/b?x=1"] {
        let response = ask(&gateway, line, "X-Own: 2\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n").await;
        assert_eq!((response.status, response.body.as_str()), (200, "target"), "{line}");
        let seen = backend.last();
        assert_eq!((seen.line(), seen.one("x-own"), &*seen.body), ("PUT /x?x=1 HTTP/1.1", "2", &b"abc"[..]), "{line}");
    }
    // Each was decided once.
    assert_eq!(gateway.stats.snapshot().decisions.iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn the_guards_of_both_count() {
    let backend = Backend::named("target").await;
    let routes = on("open", "/open", "/guarded", "")
        + &on("token", "/token", "/plain", TOKEN)
        + &on("rated", "/rated", "/rate", "")
        + &on("sized", "/sized", "/size", "")
        + &on("method", "/method", "/get", "")
        + &on("none", "/none", "/nowhere", "")
        + &to(&backend, "guarded", "'Path=/guarded'", TOKEN)
        + &to(&backend, "plain", "'Path=/plain'", "")
        + &to(&backend, "rate", "'Path=/rate'", "'RequestRateLimiter=1, 1, 1, route'")
        + &to(&backend, "size", "'Path=/size'", "RequestSize=2B")
        + &to(&backend, "get", "'Path=/get', 'Method=GET'", "");
    let gateway = gateway(&routes, "");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (line, fields, body, status) in [
        ("GET /open", "", "", 401),
        ("GET /token", "", "", 401),
        ("GET /rated", "", "", 200),
        ("GET /rated", "", "", 429),
        ("PUT /sized", "Content-Length: 2\r\n", "ab", 200),
        ("PUT /sized", chunked, "3\r\nabc\r\n0\r\n\r\n", 413),
        ("GET /method", "", "", 200),
        ("PUT /method", "", "", 404),
        ("GET /none", "", "", 404),
        ("TRACE /open", "", "", 405),
    ] {
        let response = ask(&gateway, line, fields, body).await;
        assert_eq!(response.status, status, "{line}: {}", response.body);
    }
}

#[tokio::test]
async fn documents_may_say_what_is_answered() {
    let backend = Backend::named("target").await;
    let routes = on("page", "/page", "/controller", "") + &to(&backend, "all", "'Path=/**'", "");
    let answer = "gray.spring.fallbacks: { /controller: { status: 202, body: '{}', contentType: application/json } }\n";
    let gateway = gateway(&routes, answer);
    let response = ask(&gateway, "GET /page", "", "").await;
    assert_eq!(
        (response.status, &*response.body, response.header("content-type")),
        (202, "{}", Some("application/json"))
    );
    assert_eq!(ask(&gateway, "GET /other", "", "").await.status, 200);
    assert_eq!(backend.seen().len(), 1);
}

/// Three times and no more, even where it cannot be seen from the documents that it never ends.
#[tokio::test]
async fn forwards_end() {
    let backend = Backend::named("end").await;
    let chain = |length: usize| {
        let links =
            (1..=length).map(|link| on(&format!("f{link}"), &format!("/f{link}"), &format!("/f{}", link + 1), ""));
        links.collect::<String>() + &to(&backend, "end", &format!("'Path=/f{}'", length + 1), "")
    };
    for (length, status) in [(1, 200), (3, 200), (4, 508)] {
        let gateway = gateway(&chain(length), "");
        assert_eq!(ask(&gateway, "GET /f1", "", "").await.status, status, "{length}");
    }
    let circle = "- { id: a, uri: 'forward:/b', predicates: ['Path=/a', 'Method=GET'] }\n\
                  - { id: b, uri: 'forward:/a', predicates: ['Path=/b', 'Method=GET'] }\n";
    assert_eq!(ask(&gateway(circle, ""), "GET /a", "", "").await.status, 508);
}

/// A fallback may lead to a route that forwards; the instance is told what has failed.
#[tokio::test]
async fn a_fallback_is_forwarded() {
    let backend = Backend::named("end").await;
    let breaker = "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/f' } }";
    let routes = format!("- {{ id: api, uri: 'lb://none', predicates: ['Path=/api'], filters: [{breaker}] }}\n")
        + &on("f", "/f", "/end", "")
        + &to(&backend, "end", "'Path=/end'", "FallbackHeaders");
    let gateway = gateway(&routes, "");
    assert_eq!(ask(&gateway, "GET /api", "", "").await.status, 200);
    assert!(backend.last().one("execution-exception-type").ends_with("NotFoundException"), "{}", backend.last().head);
    assert_eq!(gateway.stats.snapshot().decisions.iter().sum::<u64>(), 1);
}
