//! Where a request goes: paths, hosts, and what stands for them.

use super::{
    Bench,
    Expect::{self, Answered, Refused, Seen},
};

#[tokio::test]
async fn paths_mean_one_thing() {
    let refused = [
        "/api/..",
        "/api/../x",
        "/api/./x",
        "/api/x/..",
        "/api/x/.",
        "/api/%2e%2e/x",
        "/api/%2E%2e/x",
        "/api/.%2e/x",
        "/api/%2e/x",
        "/api/..%2fx",
        "/api/..%5cx",
        "/api/%2e%2e%2fx",
        "/api\\..\\x",
        "/api/..;/x",
        "/api/..;a=b/x",
        "/api/.;/x",
        "/api/%2e%2e;/x",
        "/api/x%00",
        "/api/x%00.html",
        "/api/x%0d%0aHost:%20evil",
        "/api/x%0a",
        "/api/x%0d",
        "/api/x%7f",
        "/api/x%1b",
        "/api/x%",
        "/api/x%2",
        "/api/x%gg",
        "/api/x%u002e",
        "/api/x#y",
        "/api/#/../x",
        "/api/x<y",
        "/api/x>y",
        "api/x",
        "*",
        "",
        "?x",
    ];
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let bench = Bench::new().await;
    bench.check_all(refused.map(|target| (target, get(target), Refused(400)))).await;
    let passed: [(&str, Expect); 16] = [
        ("/api/x;v=..", Seen(&[("GET /x;v=.. HTTP/1.1", "")])),
        ("/api/x;a=b/y", Seen(&[("GET /x;a=b/y HTTP/1.1", "")])),
        ("/api/a%2fb", Seen(&[("GET /a%2fb HTTP/1.1", "")])),
        ("/api/a%5Cb", Seen(&[("GET /a%5Cb HTTP/1.1", "")])),
        ("/api/%252e%252e/x", Seen(&[("GET /%252e%252e/x HTTP/1.1", "")])),
        ("/api/...", Seen(&[("GET /... HTTP/1.1", "")])),
        ("/api/.x", Seen(&[("GET /.x HTTP/1.1", "")])),
        ("/api/x?a=../../b", Seen(&[("GET /x?a=../../b HTTP/1.1", "")])),
        ("/api/x?a=%0d%0ab", Seen(&[("GET /x?a=%0d%0ab HTTP/1.1", "")])),
        ("/api//x", Seen(&[("GET /x HTTP/1.1", "")])),
        ("/api/x//y", Seen(&[("GET /x/y HTTP/1.1", "")])),
        ("/api", Seen(&[("GET / HTTP/1.1", "")])),
        ("/api%2fx", Answered(404)),
        ("/API/x", Answered(404)),
        ("/x/api/y", Answered(404)),
        ("/;/api/x", Answered(404)),
    ];
    bench.check_all(passed.map(|(target, expect)| (target, get(target), expect))).await;
}

#[tokio::test]
async fn nobody_chooses_whom_we_call() {
    let x: Expect = Seen(&[("GET /x HTTP/1.1", "")]);
    let cases: [(&str, &str, Expect); 48] = [
        ("GET http://evil/api/x", "Host: a\r\n", x),
        ("GET http://evil:80/api/x", "Host: a\r\n", x),
        ("GET https://evil/api/x", "Host: a\r\n", x),
        ("GET http://a@evil/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://evil@a/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a:80/api/x", "Host: a\r\n", x),
        ("GET http://a./api/x", "Host: a\r\n", x),
        ("GET http:///api/x", "Host: a\r\n", Refused(400)),
        ("GET http://:80/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a:b/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a:80:80/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a b/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a\te/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a#@evil/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a?@evil/api/x", "Host: a\r\n", Answered(404)),
        ("GET http://a/api/../x", "Host: a\r\n", Refused(400)),
        ("GET http://http://a/api/x", "Host: a\r\n", Answered(404)),
        ("GET http://evil/api/x", "", Refused(400)),
        ("GET http://evil/api/x", "Host:\r\n", Refused(400)),
        ("GET http://evil/api/x", "Host: a@b\r\n", Refused(400)),
        ("GET http://evil/api/x", "Host: a\r\nHost: evil\r\n", Refused(400)),
        ("GET http://evil/api/x", "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n", Refused(400)),
        ("GET http://a\\@evil/api/x", "Host: a\r\n", Refused(400)),
        ("GET http://a/../api/x", "Host: a\r\n", Refused(400)),
        ("GET ftp://a/api/x", "Host: a\r\n", Refused(400)),
        ("GET file:///etc/passwd", "Host: a\r\n", Refused(400)),
        ("GET gopher://a/api/x", "Host: a\r\n", Refused(400)),
        ("GET //evil/api/x", "Host: a\r\n", Answered(404)),
        ("GET ///api/x", "Host: a\r\n", Answered(404)),
        ("GET a:80", "Host: a\r\n", Refused(400)),
        ("GET evil", "Host: a\r\n", Refused(400)),
        ("CONNECT evil:443", "Host: evil:443\r\n", Refused(400)),
        ("CONNECT a", "Host: a\r\n", Refused(400)),
        ("CONNECT /api/x", "Host: a\r\n", Refused(400)),
        ("GET /api/x", "", Refused(400)),
        ("GET /api/x", "Host: a\r\nHost: evil\r\n", Refused(400)),
        ("GET /api/x", "Host: a, evil\r\n", Refused(400)),
        ("GET /api/x", "Host: a evil\r\n", Refused(400)),
        ("GET /api/x", "Host: evil@a\r\n", Refused(400)),
        ("GET /api/x", "Host: a/evil\r\n", Refused(400)),
        ("GET /api/x", "Host: a?evil\r\n", Refused(400)),
        ("GET /api/x", "Host: a#evil\r\n", Refused(400)),
        ("GET /api/x", "Host: a\\evil\r\n", Refused(400)),
        ("GET /api/x", "Host: \u{e4}\r\n", Refused(400)),
        ("GET /api/x", "Host: 169.254.169.254\r\n", x),
        ("GET /api/x", "Host: localhost:7001\r\n", x),
        ("GET http://a/api/x", "Host: a\r\n", x),
        ("GET HTTP://A/api/x", "Host: a\r\n", x),
    ];
    let bench = Bench::new().await;
    for (line, fields, expect) in cases {
        let head = format!("{line} HTTP/1.1\r\n{fields}\r\n");
        bench.check(&format!("{line} {fields}"), head.as_bytes(), expect).await;
    }
    // Whatever the host: it was the instance that was called, by its own name.
    let own = bench.backend.address.to_string();
    assert!(bench.backend.seen().iter().all(|seen| seen.one("host") == own));
}
