//! From HTTP/2, where a field may hold anything, to HTTP/1, where it must not.

use super::{Bench, unambiguous};
use crate::h2::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, get, literals};

type Fields<'f> = &'f [(&'f str, &'f [u8])];

/// What reaches the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaches {
    Nothing,
    /// That or the request itself: what is wrong with it is left out.
    Any,
    /// One request with this line and body.
    One(&'static str, &'static str),
}

use Reaches::{Any, Nothing, One};

const X: Reaches = One("GET /x HTTP/1.1", "");

/// Sends a request of these fields on one stream, and an honest one on the next.
async fn check(bench: &Bench, name: &str, fields: Fields<'_>, body: &str, trailers: Fields<'_>, expect: Reaches) {
    let before = bench.backend.seen().len();
    let mut raw = Raw::connect(&bench.gateway, &[]).await;
    let block = |fields: Fields<'_>| literals(fields.iter().map(|(name, value)| (name.as_bytes(), *value)));
    let end = if body.is_empty() && trailers.is_empty() { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, END_HEADERS | end, 1, &block(fields));
    if end == 0 {
        let last = if trailers.is_empty() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, last, 1, body.as_bytes()));
    }
    if !trailers.is_empty() {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
    }
    bytes.extend(get(3));
    raw.send(&bytes).await;
    // The answer to the honest one; or the connection was ended for what came before.
    while let Some((_, stream, _)) = raw.next(HEADERS).await {
        if stream == 3 {
            break;
        }
    }
    crate::support::until("it is over", || bench.gateway.stats.snapshot().in_flight == 0).await;
    let seen = bench.backend.seen().split_off(before);
    seen.iter().for_each(|seen| unambiguous(name, seen));
    let strange: Vec<_> = seen
        .iter()
        .map(|seen| (seen.line(), String::from_utf8_lossy(&seen.body).into_owned()))
        .filter(|(line, body)| !(*line == "GET /x HTTP/1.1" && body.is_empty()))
        .collect();
    match expect {
        Any => {}
        Nothing => assert!(strange.is_empty() && seen.len() <= 1, "{name}: {seen:?}"),
        X => assert!(strange.is_empty() && seen.len() == 2, "{name}: {seen:?}"),
        One(line, body) => assert_eq!(strange, [(line, body.to_owned())], "{name}"),
    }
}

fn request<'f>(method: &'f str, path: &'f [u8], more: Fields<'f>) -> Vec<(&'f str, &'f [u8])> {
    let begin: [(&str, &[u8]); 4] =
        [(":method", method.as_bytes()), (":scheme", b"http"), (":path", path), (":authority", b"a")];
    begin.into_iter().chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn fields() {
    let bench = Bench::new().await;
    let cases: [(&str, Fields<'_>, Reaches); 31] = [
        ("as it should be", &[("x", b"y")], X),
        ("CR LF in a value", &[("x", b"y\r\ngray: GRAY")], Nothing),
        ("LF in a value", &[("x", b"y\ngray: GRAY")], Nothing),
        ("CR in a value", &[("x", b"y\rgray: GRAY")], Nothing),
        ("a request in a value", &[("x", b"y\r\n\r\nGET /api/evil HTTP/1.1\r\nhost: a\r\n\r\n")], Nothing),
        ("NUL in a value", &[("x", b"y\0z")], Nothing),
        ("ESC in a value", &[("x", b"\x1b[31m")], Nothing),
        ("CR LF in a name", &[("x\r\ngray", b"GRAY")], Nothing),
        ("a colon in a name", &[("x: y\r\nz", b"1")], Nothing),
        ("a space in a name", &[("x y", b"1")], Nothing),
        ("an empty name", &[("", b"1")], Nothing),
        ("a capital letter", &[("X-Y", b"1")], Nothing),
        ("transfer-encoding", &[("transfer-encoding", b"chunked")], Nothing),
        ("connection", &[("connection", b"close")], Nothing),
        ("connection that names", &[("connection", b"gray, x-forwarded-for")], Nothing),
        ("keep-alive", &[("keep-alive", b"timeout=5")], Nothing),
        ("proxy-connection", &[("proxy-connection", b"close")], Nothing),
        ("upgrade", &[("upgrade", b"websocket")], Nothing),
        ("te", &[("te", b"gzip")], Nothing),
        ("te: trailers", &[("te", b"trailers")], X),
        ("gray", &[("gray", b"GRAY"), ("g.ray", b"GRAY"), ("gray_", b"GRAY")], X),
        ("x-forwarded-for", &[("x-forwarded-for", b"1.1.1.1"), ("x_forwarded_for", b"1.1.1.1")], X),
        ("another host", &[("host", b"evil")], Nothing),
        ("the same host", &[("host", b"a")], X),
        ("two hosts", &[("host", b"a"), ("host", b"evil")], Nothing),
        ("a length for nothing", &[("content-length", b"5")], Nothing),
        ("an alias of a length", &[("content_length", b"5"), ("transfer_encoding", b"chunked")], X),
        ("a pseudo-field behind", &[("x", b"y"), (":path", b"/api/evil")], Nothing),
        ("an unknown pseudo-field", &[(":evil", b"1")], Nothing),
        ("an extended CONNECT", &[(":protocol", b"websocket")], Nothing),
        ("crumbs", &[("cookie", b"a=1"), ("cookie", b"b=2\r\ngray: GRAY")], Nothing),
    ];
    for (name, more, expect) in cases {
        check(&bench, name, &request("GET", b"/api/x", more), "", &[], expect).await;
    }
}

#[tokio::test]
async fn pseudo_fields() {
    let bench = Bench::new().await;
    let paths: [(&[u8], Reaches); 21] = [
        (b"/api/x HTTP/1.1\r\nhost: evil\r\n\r\nGET /api/y", Nothing),
        (b"/api/x y", Nothing),
        (b"/api/x\r\ngray: GRAY", Nothing),
        (b"/api/x\n", Nothing),
        (b"/api/x\0", Nothing),
        (b"/api/x\t", Nothing),
        (b"/api/x#y", X),
        (b"/api/../evil", Nothing),
        (b"/api/%2e%2e/evil", Nothing),
        (b"/api/x%0d%0ay", Nothing),
        (b"", Nothing),
        (b"*", Nothing),
        (b"api/y", Nothing),
        (b"http://evil/api/y", Nothing),
        (b"//evil/api/y", Nothing),
        (b"/api/\xff", Nothing),
        (b"/api/<script>", Nothing),
        (b"/api/y;v=1", One("GET /y;v=1 HTTP/1.1", "")),
        (b"/api/y?a=b", One("GET /y?a=b HTTP/1.1", "")),
        (b"/api/a%2fb", One("GET /a%2fb HTTP/1.1", "")),
        (b"/elsewhere", Nothing),
    ];
    for (path, expect) in paths {
        check(&bench, &String::from_utf8_lossy(path), &request("GET", path, &[]), "", &[], expect).await;
    }
    let whole = |method: &'static [u8], scheme: &'static [u8], authority: &'static [u8]| -> Vec<(&str, &[u8])> {
        vec![(":method", method), (":scheme", scheme), (":path", b"/api/x"), (":authority", authority)]
    };
    for (name, fields) in [
        ("a method with a space", whole(b"GET /api/evil", b"http", b"a")),
        ("a method with CR LF", whole(b"GET / HTTP/1.1\r\n\r\nGET", b"http", b"a")),
        ("an empty method", whole(b"", b"http", b"a")),
        ("CONNECT", whole(b"CONNECT", b"http", b"a")),
        ("an authority with CR LF", whole(b"GET", b"http", b"a\r\ngray: GRAY")),
        ("an authority with a space", whole(b"GET", b"http", b"a b")),
        ("an authority with a user", whole(b"GET", b"http", b"a@evil")),
        ("an authority with a path", whole(b"GET", b"http", b"a/evil")),
        ("an empty authority", whole(b"GET", b"http", b"")),
        (
            "two paths",
            vec![
                (":method", b"GET"),
                (":scheme", b"http"),
                (":path", b"/api/x"),
                (":path", b"/api/evil"),
                (":authority", b"a"),
            ],
        ),
        (
            "two methods",
            vec![
                (":method", b"GET"),
                (":method", b"POST"),
                (":scheme", b"http"),
                (":path", b"/api/x"),
                (":authority", b"a"),
            ],
        ),
        ("no path", vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a")]),
        ("no method", vec![(":scheme", b"http"), (":path", b"/api/x"), (":authority", b"a")]),
        ("a status", vec![(":method", b"GET"), (":scheme", b"http"), (":path", b"/api/x"), (":status", b"200")]),
    ] {
        check(&bench, name, &fields, "", &[], Nothing).await;
    }
}

#[tokio::test]
async fn bodies() {
    let bench = Bench::new().await;
    let hello = One("POST /x HTTP/1.1", "hello");
    let cases: [(&str, Fields<'_>, Fields<'_>, Reaches); 12] = [
        ("no length", &[], &[], hello),
        ("its length", &[("content-length", b"5")], &[], hello),
        ("longer than it says", &[("content-length", b"4")], &[], Nothing),
        ("nothing announced", &[("content-length", b"0")], &[], Nothing),
        ("shorter than it says", &[("content-length", b"6")], &[], Nothing),
        ("two lengths", &[("content-length", b"5"), ("content-length", b"4")], &[], Nothing),
        ("the same twice", &[("content-length", b"5"), ("content-length", b"5")], &[], Nothing),
        ("a length that is none", &[("content-length", b"+5")], &[], Nothing),
        ("a list of lengths", &[("content-length", b"5, 5")], &[], Nothing),
        ("trailers of ours", &[], &[("gray", b"GRAY"), ("content-length", b"1")], hello),
        ("a pseudo-field in trailers", &[], &[(":path", b"/api/evil")], Any),
        ("CR LF in a trailer", &[], &[("x", b"y\r\n\r\nGET /api/evil HTTP/1.1\r\n\r\n")], Nothing),
    ];
    for (name, more, trailers, expect) in cases {
        check(&bench, name, &request("POST", b"/api/x", more), "hello", trailers, expect).await;
    }
    let chunks = "0\r\n\r\nGET /api/evil HTTP/1.1\r\nhost: a\r\n\r\n";
    let whole = One("POST /x HTTP/1.1", "0\r\n\r\nGET /api/evil HTTP/1.1\r\nhost: a\r\n\r\n");
    check(&bench, "the end of chunks in a body", &request("POST", b"/api/x", &[]), chunks, &[], whole).await;
}
