//! Spring's filters on the wire: what an instance gets, what a client gets.

use crate::support::{Backend, Response, Setup};

/// A gateway with these filters on `/a/{seg}/**` of any host.
fn setup(filters: &str, backend: &Backend) -> Setup {
    let routes = format!("[{{ id: one, uri: 'lb://app', predicates: ['Path=/a/{{seg}}/**'], filters: [{filters}] }}]");
    Setup::with_routes(&routes, &[backend.instance("V1")])
}

async fn ask(filters: &str, backend: &Backend, request: &str) -> Response {
    setup(filters, backend).start().ask(request).await
}

const GET: &str = "GET /a/b/c?x=1&y=2 HTTP/1.1\r\nHost: shop:81\r\nX-Old: 1\r\nGray: gray-1\r\n\r\n";

#[tokio::test]
async fn requests() {
    let backend = Backend::named("v1").await;
    for (filters, line, fields) in [
        ("'SetPath=/v2/{seg}'", "GET /v2/b?x=1&y=2 HTTP/1.1", &[("x-old", &["1"][..])][..]),
        ("'PrefixPath=/in'", "GET /in/a/b/c?x=1&y=2 HTTP/1.1", &[("x-forwarded-prefix", &[])]),
        ("'StripPrefix=1', 'StripPrefix=1'", "GET /c?x=1&y=2 HTTP/1.1", &[("x-forwarded-prefix", &["/a/b,/b"])]),
        (
            "'AddRequestParameter=z, {seg}', 'RemoveRequestParameter=x', 'RewriteRequestParameter=y, 3'",
            "GET /a/b/c?z=b&y=3 HTTP/1.1",
            &[],
        ),
        (
            "'MapRequestHeader=X-Old, X-New', 'SetRequestHeader=X-Seg, {seg}', 'RemoveRequestHeader=X-Old'",
            "GET /a/b/c?x=1&y=2 HTTP/1.1",
            &[("x-old", &[]), ("x-new", &["1"]), ("x-seg", &["b"]), ("gray", &["PROD"])],
        ),
        ("'SetRequestHostHeader={seg}.example:8'", "GET /a/b/c?x=1&y=2 HTTP/1.1", &[("host", &["b.example:8"])]),
        ("'PreserveHostHeader=true'", "GET /a/b/c?x=1&y=2 HTTP/1.1", &[("host", &["shop:81"])]),
    ] {
        let answer = ask(filters, &backend, GET).await;
        assert_eq!((answer.status, &*answer.body), (200, "v1"), "{filters}: {}", answer.head);
        let seen = backend.last();
        assert_eq!(seen.line(), line, "{filters}");
        for (name, values) in fields {
            assert_eq!(seen.all(name), *values, "{filters} {name}");
        }
    }
}

#[tokio::test]
async fn answers() {
    let backend = Backend::serving(|_| {
        let head = "HTTP/1.1 201 Made\r\nContent-Length: 2\r\nLocation: http://i:8080/v2/x\r\nX-A: 1\r\nX-A: 1\r\nServer: s\r\n";
        (format!("{head}Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok"), true)
    })
    .await;
    let filters = "'DedupeResponseHeader=X-A, RETAIN_UNIQUE', RewriteLocationResponseHeader, 'RemoveResponseHeader=Server', \
                   'SetResponseHeader=X-Seg, {seg}', 'RewriteResponseHeader=X-A, (.), <$1>', SecureHeaders";
    let gateway = setup(filters, &backend).start();
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send(GET).await;
        let answer = client.response().await;
        assert_eq!((answer.status, &*answer.body), (201, "ok"), "{}", answer.head);
        for (name, value) in [
            ("location", Some("http://shop:81/x")),
            ("x-a", Some("<1>")),
            ("x-seg", Some("b")),
            ("server", None),
            ("x-frame-options", Some("DENY")),
            ("content-length", Some("2")),
        ] {
            assert_eq!(answer.header(name), value, "{}", answer.head);
        }
        assert_eq!(answer.head.to_lowercase().matches("\r\nx-a:").count(), 1, "{}", answer.head);
        assert_eq!(answer.head.to_lowercase().matches("\r\ndate:").count(), 1, "{}", answer.head);
    }
    assert_eq!(backend.connections(), 1, "the connection is used again");
}

/// A status without a body in the place of one with, and the other way round: the client does not wait for bytes that never come, and
/// none are taken for the next answer.
#[tokio::test]
async fn another_status_keeps_the_framing() {
    for (answer, status, length, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 401, Some("2"), "ok"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 204, None, ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 204, None, ""),
        ("HTTP/1.1 204 No\r\n\r\n", 200, Some("0"), ""),
        ("HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", 200, Some("0"), ""),
        ("HTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n", 304, None, ""),
    ] {
        let backend = Backend::answering(answer).await;
        let gateway = setup(&format!("'SetStatus={status}'"), &backend).start();
        let mut client = gateway.client().await;
        for _ in 0..2 {
            client.send(GET).await;
            let seen = client.response().await;
            assert_eq!((seen.status, &*seen.body, seen.header("content-length")), (status, body, length), "{answer}");
            assert_eq!(seen.header("transfer-encoding"), None, "{answer}");
        }
    }
}

#[tokio::test]
async fn routes_that_answer_themselves() {
    let backend = Backend::named("v1").await;
    let answer = ask("'AddResponseHeader=X-A, 1', 'RedirectTo=302, /new#f, true'", &backend, GET).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/new?x=1&y=2#f")), "{}", answer.head);
    assert_eq!((answer.header("x-a"), answer.header("content-length")), (None, Some("0")), "{}", answer.head);
    assert!(backend.seen().is_empty());
    let routes = "
- { id: gone, uri: 'no://op', predicates: ['Path=/gone'], filters: ['SetStatus=410', 'SetResponseHeader=X-Why, moved'] }
- { id: none, uri: 'no://op', predicates: ['Path=/none'], filters: ['AddResponseHeader=X-A, 1'] }
- { id: safe, uri: 'no://op', predicates: ['Path=/safe'], filters: ['SecureHeaders', 'RedirectTo=302, /new'] }
- { id: away, uri: 'lb://nowhere', predicates: ['Path=/away'], filters: ['RequestRateLimiter=1', 'RedirectTo=307, https://a.example/'] }";
    let gateway = Setup::with_routes(routes, &[]).start();
    let mut client = gateway.client().await;
    for (path, status, name, value) in [
        ("/gone", 410, "x-why", "moved"),
        ("/none", 200, "x-a", "1"),
        ("/safe", 302, "x-frame-options", "DENY"),
        ("/away", 307, "location", "https://a.example/"),
        ("/away", 429, "retry-after", "1"),
    ] {
        // A body that comes with it is passed over.
        client.send(&format!("POST {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nab")).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.header(name)), (status, Some(value)), "{path}: {}", answer.head);
    }
}

/// What a filter of the system's own guards is closed where nothing stands for that filter, in every spelling of the path.
#[tokio::test]
async fn routes_that_java_guards_are_refused() {
    let backend = Backend::named("v1").await;
    let routes = "
- { id: admin, uri: 'lb://app', predicates: ['Path=/admin/**'], filters: ['Auth=a,b', 'AddResponseHeader=X-A, 1'], metadata: { lanes: { gray: 'lb://app' } } }
- { id: page, uri: 'lb://app', predicates: ['Path=/admin2/**'], filters: ['RedirectTo=302, https://a.example', Auth] }
- { id: open, uri: 'lb://app', predicates: ['Path=/**'], filters: [Log] }
gray.spring.filters: { Auth: refuse, Log: { drop: the access log does it } }";
    let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    for (path, status) in [
        ("/admin/x", 403),
        ("/admin2/x", 403),
        ("//admin/x", 400),
        ("/%61dmin/x", 403),
        ("/a/../admin/x", 400),
        ("/x", 200),
    ] {
        let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\nGray: gray-996\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("x-a")), (status, None), "{path}: {}", answer.head);
    }
    assert_eq!(backend.seen().len(), 1, "only what is open");
    // The connection stays, and a body that comes with it is passed over.
    client
        .send("POST /admin HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nabGET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
        .await;
    assert_eq!((client.response().await.status, client.response().await.status), (403, 200));
}

/// As in Spring, filters of the answer are for what an instance said, not for what the gateway says itself.
#[tokio::test]
async fn errors_are_not_edited() {
    let routes = "[{ id: one, uri: 'lb://app', predicates: ['Path=/**'], filters: ['SetStatus=200', 'AddResponseHeader=X-A, 1'] }]";
    let answer = Setup::with_routes(routes, &[]).start().ask(GET).await;
    assert_eq!((answer.status, answer.header("x-a")), (503, None), "{}", answer.head);
}

#[tokio::test]
async fn header_fields_have_a_length() {
    let backend = Backend::named("v1").await;
    let gateway =
        setup("{ name: RequestHeaderSize, args: { maxSize: 20B, errorHeaderName: X-Why } }", &backend).start();
    let mut client = gateway.client().await;
    client.send("GET /a/b/c HTTP/1.1\r\nHost: shop\r\nX-Long: 0123456789\r\nx-long: 01234\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!(answer.status, 431);
    let said =
        "Request Header/s size is larger than permissible limit (20B). Request Header/s size for 'X-Long' is 21B.";
    assert_eq!(answer.header("x-why"), Some(said));
    client.send("GET /a/b/c HTTP/1.1\r\nHost: shop\r\nX-Long: 0123456789\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200, "the connection goes on");
    assert_eq!(gateway.stats.snapshot().refused.iter().sum::<u64>(), 1);
}

/// What a client puts in a variable cannot be a line, another parameter or another host.
#[tokio::test]
async fn variables_stay_what_they_are() {
    let backend = Backend::named("v1").await;
    let filters =
        "'SetRequestHeader=X-Seg, {seg}', 'AddRequestParameter=p, {seg}', 'SetRequestHostHeader={seg}.example'";
    for (seg, status) in
        [("b", 200), ("b%0d%0aX: y", 400), ("a%40b", 400), ("a%20b", 400), ("a%2fb", 400), ("a:1", 400)]
    {
        let request = format!("GET /a/{}/c HTTP/1.1\r\nHost: shop\r\n\r\n", seg.replace(": ", ":"));
        assert_eq!(ask(filters, &backend, &request).await.status, status, "{seg}");
    }
    let answer = ask("'AddRequestParameter=p, {seg}'", &backend, "GET /a/b%26q=1/c HTTP/1.1\r\nHost: s\r\n\r\n").await;
    assert_eq!((answer.status, backend.last().line()), (200, "GET /a/b%26q=1/c?p=b%26q%3D1 HTTP/1.1"));
}

#[tokio::test]
async fn slashes_are_merged_in_what_is_sent() {
    let backend = Backend::named("v1").await;
    let routes = "[{ id: one, uri: 'lb://app', predicates: ['Path=/**'] }]";
    let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
    for (path, sent) in [("//a///b//", "/a/b/"), ("//", "/"), ("/a%2fb", "/a%2fb"), ("/a/b", "/a/b")] {
        let answer = gateway.ask(&format!("GET {path}?x=//y HTTP/1.1\r\nHost: shop\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(backend.last().line(), format!("GET {sent}?x=//y HTTP/1.1"));
    }
}
