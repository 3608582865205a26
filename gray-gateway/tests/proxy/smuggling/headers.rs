//! Lines of a head.

use super::{
    Bench,
    Expect::{self, Closed, Refused, Seen},
};

const X: Expect = Seen(&[("GET /x HTTP/1.1", "")]);

#[tokio::test]
async fn request_lines() {
    let cases: [(&str, &[u8], Expect); 31] = [
        ("as it should be", b"GET /api/x HTTP/1.1\r\n", X),
        ("empty lines before", b"\r\n\r\nGET /api/x HTTP/1.1\r\n", X),
        ("two spaces", b"GET  /api/x HTTP/1.1\r\n", Refused(400)),
        ("two spaces before the version", b"GET /api/x  HTTP/1.1\r\n", Refused(400)),
        ("a tab", b"GET\t/api/x HTTP/1.1\r\n", Refused(400)),
        ("a space before", b" GET /api/x HTTP/1.1\r\n", Refused(400)),
        ("a space behind", b"GET /api/x HTTP/1.1 \r\n", Refused(400)),
        ("LF", b"GET /api/x HTTP/1.1\n", Refused(400)),
        ("CR", b"GET /api/x HTTP/1.1\rX: y\r\n", Refused(400)),
        ("CR CR LF", b"GET /api/x HTTP/1.1\r\r\n", Refused(400)),
        ("NUL in the method", b"G\0T /api/x HTTP/1.1\r\n", Refused(400)),
        ("NUL in the target", b"GET /api/x\0 HTTP/1.1\r\n", Refused(400)),
        ("a space in the target", b"GET /api/x y HTTP/1.1\r\n", Refused(400)),
        ("a header as a method", b"Host: b\r\n", Refused(400)),
        ("a colon in the method", b"GET: /api/x HTTP/1.1\r\n", Refused(400)),
        ("HTTP/1.2", b"GET /api/x HTTP/1.2\r\n", Refused(400)),
        ("HTTP/2.0", b"GET /api/x HTTP/2.0\r\n", Refused(400)),
        ("HTTP/1.10", b"GET /api/x HTTP/1.10\r\n", Refused(400)),
        ("HTTP/0.9", b"GET /api/x HTTP/0.9\r\n", Refused(400)),
        ("http/1.1", b"GET /api/x http/1.1\r\n", Refused(400)),
        ("HtTp/1.1", b"GET /api/x HtTp/1.1\r\n", Refused(400)),
        ("an empty version", b"GET /api/x \r\n", Refused(400)),
        ("half a version", b"GET /api/x HTTP\r\n", Refused(400)),
        ("another version", b"GET /api/x RTSP/1.0\r\n", Refused(400)),
        ("no version of a whole uri", b"GET http://a/api/x x\r\n", Refused(400)),
        ("no preface of HTTP/2 either", b"INVALID CONNECTION PREFACE\r\n", Closed),
        ("mail", b"EHLO example.com x\r\n", Closed),
        ("no version", b"GET /api/x\r\n", Refused(400)),
        ("another protocol", b"SSH-2.0 x y\r\n", Closed),
        ("bytes beyond ASCII in the method", b"G\xc3\x89T /api/x HTTP/1.1\r\n", Refused(400)),
        ("a method in small letters is another one", b"get /api/x HTTP/1.1\r\n", Seen(&[("get /x HTTP/1.1", "")])),
    ];
    let bench = Bench::new().await;
    for (name, line, expect) in cases {
        // Nothing else in it says HTTP.
        let rest: &[u8] = if matches!(expect, Closed) { b"\r\n" } else { b"Host: a\r\n\r\n" };
        if matches!(expect, Closed) {
            closed(&bench, name, &[line, rest].concat()).await;
        } else {
            bench.check(name, &[line, rest].concat(), expect).await;
        }
    }
}

/// What is no HTTP is not even followed by a probe, which would be.
async fn closed(bench: &Bench, name: &str, bytes: &[u8]) {
    let before = bench.backend.seen().len();
    let mut client = bench.gateway.client().await;
    client.send(std::str::from_utf8(bytes).expect("text")).await;
    assert!(client.is_closed().await, "{name}");
    assert_eq!(bench.backend.seen().len(), before, "{name}");
}

#[tokio::test]
async fn field_lines() {
    let cases: [(&str, &[u8], Expect); 27] = [
        ("no colon", b"X\r\n", Refused(400)),
        ("no name", b": y\r\n", Refused(400)),
        ("space before the colon", b"X : y\r\n", Refused(400)),
        ("space in the name", b"X Y: z\r\n", Refused(400)),
        ("folded", b"X: y\r\n z\r\n", Refused(400)),
        ("folded by a tab", b"X: y\r\n\tz\r\n", Refused(400)),
        ("folded to nothing", b"X: y\r\n \r\n", Refused(400)),
        ("bare LF", b"X: y\nZ: 1\r\n", Refused(400)),
        ("bare LF at the end", b"X: y\n", Refused(400)),
        ("bare CR", b"X: y\rZ: 1\r\n", Refused(400)),
        ("bare CR in the name", b"X\rY: z\r\n", Refused(400)),
        ("NUL in a value", b"X: y\0z\r\n", Refused(400)),
        ("NUL in a name", b"X\0: z\r\n", Refused(400)),
        ("BEL in a value", b"X: \x07\r\n", Refused(400)),
        ("DEL in a value", b"X: \x7f\r\n", Refused(400)),
        ("ESC in a value", b"X: \x1b[31m\r\n", Refused(400)),
        ("beyond ASCII in a name", b"X\xc3\xa9: y\r\n", Refused(400)),
        ("a quote in a name", b"X\"Y: z\r\n", Refused(400)),
        ("a user number with CR LF", b"userNo: U1\r\n\r\nGET /api/../evil HTTP/1.1\r\nHost: a\r\n", Refused(200)),
        ("a user number with CR", b"userNo: U1\rgray: GRAY\r\n", Refused(400)),
        ("a user number with NUL", b"userNo: U1\0\r\n", Refused(400)),
        ("a user number that is encoded", b"userNo: U1%0d%0agray:%20GRAY\r\n", X),
        ("Host twice", b"Host: a\r\n", Refused(400)),
        ("Host in another casing", b"HOST: b\r\n", Refused(400)),
        ("beyond ASCII in a value", b"X: \xc3\xa9\r\n", X),
        ("an empty value", b"X:\r\n", X),
        ("a tab in a value", b"X: a\tb\r\n", X),
    ];
    let bench = Bench::new().await;
    for (name, field, expect) in cases {
        if matches!(expect, Refused(200)) {
            // It ends the first request; the second is refused.
            let before = bench.backend.seen().len();
            let mut client = bench.gateway.client().await;
            let bytes = [b"GET /api/x HTTP/1.1\r\nHost: a\r\n", field, b"\r\n".as_slice()].concat();
            client.send(std::str::from_utf8(&bytes).expect("text")).await;
            assert_eq!((client.response().await.status, client.response().await.status), (200, 400), "{name}");
            assert_eq!(bench.backend.seen().len(), before + 1, "{name}");
            continue;
        }
        let head = [b"GET /api/x HTTP/1.1\r\nHost: a\r\n", field, b"\r\n".as_slice()].concat();
        bench.check(name, &head, expect).await;
        let first = [b"GET /api/x HTTP/1.1\r\n", field, b"Host: a\r\n\r\n".as_slice()].concat();
        bench.check(name, &first, expect).await;
    }
    let much = |line: String| format!("GET /api/x HTTP/1.1\r\nHost: a\r\n{line}\r\n").into_bytes();
    bench.check("many lines", &much("X: y\r\n".repeat(120)), Refused(431)).await;
    bench.check("very many lines", &much("X: y\r\n".repeat(2_000)), Refused(431)).await;
    bench.check("a long line", &much(format!("X: {}\r\n", "y".repeat(70_000))), Refused(431)).await;
    bench.check("a long name", &much(format!("{}: y\r\n", "x".repeat(70_000))), Refused(431)).await;
}
