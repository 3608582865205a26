//! Where a body ends.

use super::{
    Bench,
    Expect::{self, Refused, Seen},
};

const EMPTY: Expect = Seen(&[("POST /x HTTP/1.1", "")]);
const HELLO: Expect = Seen(&[("POST /x HTTP/1.1", "hello")]);
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /api/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
}

#[tokio::test]
async fn two_framings_are_none() {
    let smuggled = "0\r\n\r\nGET /api/evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"),
        ("CL.TE, casing", "CONTENT-LENGTH: 6\r\ntransfer-ENCODING: CHUNKED\r\n"),
        ("CL 0 and TE", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ("CL and identity", "Content-Length: 6\r\nTransfer-Encoding: identity\r\n"),
        ("CL and empty TE", "Content-Length: 6\r\nTransfer-Encoding:\r\n"),
        ("CL named away", "Connection: content-length\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
        ("TE named away", "Connection: transfer-encoding\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
        ("CL, CL and TE", "Content-Length: 6\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
    ];
    let cases = cases.map(|(name, fields)| (name, post(fields, smuggled), Refused(400)));
    Bench::new().await.check_all(cases).await;
}

#[tokio::test]
async fn the_only_coding_is_chunked() {
    let refused = [
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "chunked;q=1",
        "chunked;",
        "\"chunked\"",
        "'chunked'",
        ",chunked",
        "chunked,",
        " , chunked",
        "chun ked",
        "chunked\u{b}",
        "\u{b}chunked",
        "\u{c}chunked",
        "chunked\0",
        "\0chunked",
        "chunked\u{a0}",
        "chunked\u{7f}",
        "ch\u{fc}nked",
        "",
        "chunked\r\n\tx",
        "\r\n chunked",
        "x\r\n chunked",
        "chunked\rX: y",
        "chunked\nX: y",
    ];
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let cases: Vec<_> = refused
        .iter()
        .map(|value| (*value, post(&format!("Transfer-Encoding: {value}\r\n"), body), Refused(400)))
        .collect();
    let bench = Bench::new().await;
    bench.check_all(cases).await;
    let lines = [
        ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Refused(400)),
        ("and another", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Refused(400)),
        ("another first", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", Refused(400)),
        ("space before the colon", "Transfer-Encoding : chunked\r\n", Refused(400)),
        ("tab before the colon", "Transfer-Encoding\t: chunked\r\n", Refused(400)),
        ("space before the name", " Transfer-Encoding: chunked\r\n", Refused(400)),
        ("behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n", Refused(400)),
        ("behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n", Refused(400)),
        ("name cut in two", "Transfer-\r\n Encoding: chunked\r\n", Refused(400)),
        ("NUL in the name", "Transfer-Encoding\0: chunked\r\n", Refused(400)),
        ("any casing", "tRANSFER-eNCODING: cHUNKED\r\n", HELLO),
        ("tab before the value", "Transfer-Encoding:\tchunked\r\n", HELLO),
        ("no space", "Transfer-Encoding:chunked\r\n", HELLO),
        ("spaces behind", "Transfer-Encoding: chunked  \r\n", HELLO),
    ];
    bench.check_all(lines.map(|(name, fields, expect)| (name, post(fields, body), expect))).await;
    let old = "POST /api/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    bench.check("HTTP/1.0 with a coding", old.as_bytes(), Refused(400)).await;
    // What a lenient backend could take for it goes no further; without it there is no body.
    for name in ["Transfer_Encoding", "Transfer.Encoding", "transfer_encoding"] {
        bench.check(name, &post(&format!("{name}: chunked\r\n"), ""), EMPTY).await;
        bench.check(name, &post(&format!("Content-Length: 5\r\n{name}: chunked\r\n"), "hello"), HELLO).await;
    }
}

#[tokio::test]
async fn a_length_is_a_number() {
    let refused = [
        "+5",
        "-5",
        "0x5",
        "5,5",
        "5, 5",
        "5,6",
        "5 5",
        "5;",
        "5.0",
        "5e0",
        "",
        " ",
        "five",
        "\u{665}",
        "5\u{a0}",
        "5\0",
        "5\u{b}",
        "99999999999999999999",
        "18446744073709551621",
        "-0",
        "5\r\n 5",
        "\r\n 5",
        "5\rX: y",
    ];
    let cases: Vec<_> = refused
        .iter()
        .map(|value| (*value, post(&format!("Content-Length: {value}\r\n"), "hello"), Refused(400)))
        .collect();
    let bench = Bench::new().await;
    bench.check_all(cases).await;
    let lines = [
        ("the same twice", "Content-Length: 5\r\nContent-Length: 5\r\n", Refused(400)),
        ("two", "Content-Length: 5\r\nContent-Length: 6\r\n", Refused(400)),
        ("two casings", "Content-Length: 5\r\ncontent-length: 0\r\n", Refused(400)),
        ("space before the colon", "Content-Length : 5\r\n", Refused(400)),
        ("tab before the colon", "Content-Length\t: 5\r\n", Refused(400)),
        ("space in the name", "Content Length: 5\r\n", Refused(400)),
        ("bare LF before", "X: y\nContent-Length: 5\r\n", Refused(400)),
        ("CR CR LF", "Content-Length: 5\r\r\n", Refused(400)),
        ("spaces around", "Content-Length:  5 \r\n", HELLO),
        ("tabs around", "Content-Length:\t5\t\r\n", HELLO),
        ("named away", "Connection: Content-Length\r\nContent-Length: 5\r\n", HELLO),
        ("beside an alias", "Content-Length: 5\r\nContent_Length: 0\r\n", HELLO),
        ("behind an alias", "Content.Length: 50\r\nContent-Length: 5\r\n", HELLO),
    ];
    bench.check_all(lines.map(|(name, fields, expect)| (name, post(fields, "hello"), expect))).await;
    bench.check("an alias alone", &post("Content_Length: 5\r\n", ""), EMPTY).await;
    bench.check("none", &post("", ""), EMPTY).await;
    let old = b"POST /api/x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
    bench.check("HTTP/1.0 with a length", old, HELLO).await;
}

#[tokio::test]
async fn chunks_are_what_they_say() {
    let refused = [
        ("LF behind a size", "5\nhello\r\n0\r\n\r\n"),
        ("LF behind a chunk", "5\r\nhello\n0\r\n\r\n"),
        ("LF everywhere", "5\nhello\n0\n\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("LF as an extension", "5;\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
        ("no semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n"),
        ("space behind a size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("space before a size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("tab before a size", "\t5\r\nhello\r\n0\r\n\r\n"),
        ("0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("plus", "+5\r\nhello\r\n0\r\n\r\n"),
        ("minus", "-5\r\nhello\r\n0\r\n\r\n"),
        ("underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("no digit", "g\r\nhello\r\n0\r\n\r\n"),
        ("too large", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("as large as can be", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("longer than it says", "4\r\nhello\r\n0\r\n\r\n"),
        ("shorter than it says", "6\r\nhello\r\n0\r\n\r\n"),
        ("CR alone behind a chunk", "5\r\nhello\r0\r\n\r\n"),
        ("nothing behind a chunk", "5\r\nhello0\r\n\r\n"),
        ("CR CR LF", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("LF behind the last size", "5\r\nhello\r\n0\n\r\n"),
        ("trailer that is none", "0\r\nGET /api/evil HTTP/1.1\r\n\r\n"),
        ("trailer with LF", "0\r\nX: y\nZ: 1\r\n\r\n"),
        ("trailer that is folded", "0\r\nX: y\r\n z\r\n\r\n"),
        ("trailer with a space", "0\r\nX : y\r\n\r\n"),
        ("trailer with NUL", "0\r\nX: \0\r\n\r\n"),
    ];
    let bench = Bench::new().await;
    bench.check_all(refused.map(|(name, body)| (name, post(CHUNKED, body), Refused(400)))).await;
    let passed = [
        ("as it should be", "5\r\nhello\r\n0\r\n\r\n", HELLO),
        ("byte by byte", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", HELLO),
        ("leading zeros", "0005\r\nhello\r\n000\r\n\r\n", HELLO),
        ("an extension", "5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n", HELLO),
        ("an empty extension", "5;\r\nhello\r\n0\r\n\r\n", HELLO),
        ("trailers of ours", "5\r\nhello\r\n0\r\ngray: GRAY\r\nGray_Lane: x\r\n\r\n", HELLO),
        (
            "trailers that frame",
            "5\r\nhello\r\n0\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n",
            HELLO,
        ),
        (
            "a request as a body",
            "2d\r\nGET /api/evil HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n\r\n0\r\n\r\n",
            Seen(&[("POST /x HTTP/1.1", "GET /api/evil HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n")]),
        ),
    ];
    bench.check_all(passed.map(|(name, body, expect)| (name, post(CHUNKED, body), expect))).await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5_000));
    bench.check("an endless extension", &post(CHUNKED, &long), Refused(400)).await;
}

#[tokio::test]
async fn a_body_belongs_to_its_request() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let get = |fields: &str, body: &str| format!("GET /api/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes();
    let cases = [
        ("upgrade with a length", get(&format!("{upgrade}Content-Length: 5\r\n"), "hello"), Refused(400)),
        ("upgrade with chunks", get(&format!("{upgrade}{CHUNKED}"), "5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        (
            "a request behind an upgrade (CVE-2026-2833)",
            get(upgrade, "GET /api/y HTTP/1.1\r\nHost: a\r\n\r\n"),
            Seen(&[("GET /x HTTP/1.1", ""), ("GET /y HTTP/1.1", "")]),
        ),
        ("an evil request behind an upgrade", get(upgrade, "GET /api/../y HTTP/1.1\r\nHost: a\r\n\r\n"), Refused(200)),
        (
            "h2c",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", ""),
            Seen(&[("GET /x HTTP/1.1", "")]),
        ),
        ("GET with a body", get("Content-Length: 5\r\n", "hello"), Seen(&[("GET /x HTTP/1.1", "hello")])),
        ("GET with chunks", get(CHUNKED, "5\r\nhello\r\n0\r\n\r\n"), Seen(&[("GET /x HTTP/1.1", "hello")])),
        (
            "a body without a length is the next request",
            post("", "GET /api/y HTTP/1.1\r\nHost: a\r\n\r\n"),
            Seen(&[("POST /x HTTP/1.1", ""), ("GET /y HTTP/1.1", "")]),
        ),
        ("expectation of something else", post("Expect: 200-ok\r\nContent-Length: 5\r\n", "hello"), {
            Expect::Answered(417)
        }),
        (
            "expectation of something else in chunks",
            post("Expect: 200-ok\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            { Expect::Answered(417) },
        ),
        (
            "an expectation that hides a second one",
            post("Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n", "hello"),
            { Expect::Answered(417) },
        ),
        (
            "an expectation and two lengths",
            post("Expect: x\r\nContent-Length: 5\r\nContent-Length: 4\r\n", "hello"),
            Refused(400),
        ),
        (
            "the last hop's body",
            b"OPTIONS /api/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 5\r\n\r\nhello".into(),
            { Expect::Answered(200) },
        ),
        ("a body behind a refusal", b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".into(), {
            Expect::Answered(404)
        }),
    ];
    let bench = Bench::new().await;
    for (name, bytes, expect) in cases {
        if name.starts_with("an evil") {
            // The first is served, the second is refused: an answer and then the end.
            let before = bench.backend.seen().len();
            let mut client = bench.gateway.client().await;
            client.send(&String::from_utf8(bytes).expect("text")).await;
            assert_eq!((client.response().await.status, client.response().await.status), (200, 400));
            assert!(client.is_closed().await);
            assert_eq!(bench.backend.seen().len(), before + 1);
        } else {
            bench.check(name, &bytes, expect).await;
        }
    }
}
