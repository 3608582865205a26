//! Every head is one head, and what was meant.

use proptest::prelude::*;

use super::*;
use crate::proxy::http1::{self, read_request as parse_request, read_response as parse_response};

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn written(method: &str, uri: &str, fields: &[(&str, &str)], has_body: bool) -> (String, Framing) {
    let mut out = Vec::new();
    let framing = write_request(&parts(method, uri, fields), has_body, &mut out).expect("a head");
    (String::from_utf8(out).expect("text"), framing)
}

#[test]
fn requests_as_http1() {
    let host = "host: a:1\r\n";
    for (method, uri, fields, has_body, expect, framing) in [
        ("GET", "http://a:1/x?y", &[][..], false, format!("GET /x?y HTTP/1.1\r\n{host}\r\n"), Framing::EMPTY),
        ("GET", "http://a:1", &[("host", "A:1")], false, format!("GET / HTTP/1.1\r\n{host}\r\n"), Framing::EMPTY),
        ("GET", "/x", &[("host", "b")], false, "GET /x HTTP/1.1\r\nhost: b\r\n\r\n".into(), Framing::EMPTY),
        (
            "GET",
            "http://a:1/",
            &[("host", "b"), ("x", "1")],
            false,
            format!("GET / HTTP/1.1\r\n{host}host: b\r\nx: 1\r\n\r\n"),
            Framing::EMPTY,
        ),
        (
            "POST",
            "http://a:1/",
            &[],
            true,
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n"),
            Framing::Chunked,
        ),
        (
            "POST",
            "http://a:1/",
            &[("content-length", "12")],
            true,
            format!("POST / HTTP/1.1\r\n{host}content-length: 12\r\n\r\n"),
            Framing::Length(12),
        ),
        // Space around a value is none of it, for the engine either.
        (
            "POST",
            "http://a:1/",
            &[("content-length", "1\t")],
            true,
            format!("POST / HTTP/1.1\r\n{host}content-length: 1\t\r\n\r\n"),
            Framing::Length(1),
        ),
        // The engine refuses it, and takes nothing behind it.
        (
            "POST",
            "http://a:1/",
            &[("content-length", "1"), ("content-length", "2")],
            true,
            format!("POST / HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n\r\n"),
            Framing::EMPTY,
        ),
        (
            "POST",
            "http://a:1/",
            &[("content-length", "12"), ("content-type", "application/grpc")],
            true,
            format!("POST / HTTP/1.1\r\n{host}content-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"),
            Framing::Chunked,
        ),
        (
            "GET",
            "http://a:1/",
            &[
                ("connection", "x"),
                ("keep-alive", "1"),
                ("proxy-connection", "x"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("expect", "100-Continue"),
                ("te", "gzip"),
                ("cookie", "a=1"),
                ("x", "1"),
                ("te", "trailers"),
                ("cookie", "b=2"),
            ],
            false,
            format!("GET / HTTP/1.1\r\n{host}expect: 100-Continue\r\nte: trailers\r\nx: 1\r\ncookie: a=1; b=2\r\n\r\n"),
            Framing::EMPTY,
        ),
        ("OPTIONS", "*", &[("host", "a:1")], false, format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), Framing::EMPTY),
        ("CONNECT", "a:1", &[], false, format!("CONNECT a:1 HTTP/1.1\r\n{host}\r\n"), Framing::EMPTY),
    ] {
        assert_eq!(written(method, uri, fields, has_body), (expect, framing), "{method} {uri} {fields:?}");
    }
}

#[test]
fn responses_as_http1() {
    let written = |status: u16, fields: &[(&str, &str)], is_head, has_body, keep_alive| {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut out = Vec::new();
        let head = response.body(()).expect("a response").into_parts().0;
        let framing = write_response(&head, is_head, has_body, keep_alive, &mut out)?;
        Some((String::from_utf8(out).expect("text"), framing))
    };
    let length = [("content-length", "5")];
    let grpc = [("content-length", "5"), ("content-type", "application/grpc")];
    for (status, fields, is_head, has_body, keep_alive, lines, framing) in [
        (200, &length[..], false, true, true, "200 OK\r\ncontent-length: 5\r\n", Framing::Length(5)),
        (200, &length, true, false, true, "200 OK\r\ncontent-length: 5\r\n", Framing::EMPTY),
        (304, &length, false, false, true, "304 Not Modified\r\ncontent-length: 5\r\n", Framing::EMPTY),
        (204, &[], false, false, false, "204 No Content\r\nconnection: close\r\n", Framing::EMPTY),
        (299, &[], false, true, true, "299 \r\ntransfer-encoding: chunked\r\n", Framing::Chunked),
        (200, &[("upgrade", "x")], false, false, true, "200 OK\r\ncontent-length: 0\r\n", Framing::EMPTY),
        (
            200,
            &grpc,
            false,
            true,
            true,
            "200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n",
            Framing::Chunked,
        ),
    ] {
        let expect = Some((format!("HTTP/1.1 {lines}\r\n"), framing));
        assert_eq!(written(status, fields, is_head, has_body, keep_alive), expect);
    }
    assert_eq!(written(200, &[("content-length", "5, 5")], false, true, true), None);
}

#[test]
fn what_has_no_place_in_http2_is_refused() {
    for (target, host, fits) in [
        ("/x?y=%20", "a:1", true),
        ("*", "a", true),
        ("/", "[::1]:80", true),
        ("/`", "a", false),
        ("/", "a b", false),
        ("/", "a/b", false),
        ("/", "", false),
    ] {
        let text = format!("OPTIONS {target} HTTP/1.1\r\nHost: {host}\r\nConnection: x\r\n\r\n");
        let mut room = http1::room();
        let request = parse_request(text.as_bytes(), &mut room, 10).expect("a head");
        let read = read_request(&request, Scheme::Https);
        assert_eq!(read.is_ok(), fits, "{text:?}");
        if let Ok((request, _)) = read {
            assert_eq!((request.uri().scheme_str(), request.headers().len()), (Some("https"), 0));
            assert_eq!(request.uri().path_and_query().map(PathAndQuery::as_str), Some(target));
        }
    }
}

#[test]
fn trailers_that_are_none_are_left_out() {
    let read = read_trailers(b"grpc-status: 0\r\nhost: x\r\nte: y\r\nx: 1\r\nx: 2\r\n").expect("trailers");
    let names: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(names, [("grpc-status", &b"0"[..]), ("x", b"1"), ("x", b"2")]);
    assert_eq!(read_trailers(b""), None);
    assert_eq!(read_trailers(b"no line\r\n"), None);
}

/// Any field that HTTP/2 can carry.
fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    const NAMES: [&str; 9] =
        ["host", "content-length", "transfer-encoding", "connection", "cookie", "te", "expect", "gray", "upgrade"];
    const VALUES: [&str; 9] = ["chunked", "5", "trailers", "a", "close", "100-continue", " 5", "5\t", "5, 5"];
    let name = prop_oneof![prop::sample::select(&NAMES[..]).prop_map(str::to_owned), "[a-z!#$%&'*+.^_`|~0-9-]{1,12}"];
    let value = prop_oneof![
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..20),
        prop::sample::select(&VALUES[..]).prop_map(|text| text.into()),
    ];
    (name, value).prop_filter_map("a field", |(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
    })
}

fn uri() -> impl Strategy<Value = Uri> {
    // Mostly what is allowed: a byte that is not makes all of it none.
    let mostly = |allowed: &'static [u8], most| {
        prop::collection::vec(prop_oneof![30 => prop::sample::select(allowed), 1 => any::<u8>()], most)
    };
    let authority = prop::option::of(mostly(b"az09.-:@", 1..12));
    (authority, mostly(b"az09/?&=%2e;,.-_~!$'()*+:@\"[]{}|\\^`#", 0..20)).prop_filter_map(
        "a uri",
        |(authority, path)| {
            let path = PathAndQuery::try_from([b"/", &*path].concat()).ok()?;
            let builder = Uri::builder().path_and_query(path);
            match authority {
                Some(authority) => {
                    builder.scheme("http").authority(Authority::try_from(&*authority).ok()?).build().ok()
                }
                None => builder.build().ok(),
            }
        },
    )
}

proptest! {
    /// Whatever a client sends is one head, as it was meant, or none; nothing of it becomes a line of its own.
    #[test]
    fn nothing_is_smuggled(
        uri in uri(),
        method in "[A-Z!#$%&'*+.^_`|~0-9-]{1,8}",
        fields in prop::collection::vec(field(), 0..12),
        has_body: bool,
    ) {
        let (mut head, ()) = Request::new(()).into_parts();
        head.uri = uri;
        head.method = Method::from_bytes(method.as_bytes()).expect("a method");
        for (name, value) in &fields {
            head.headers.append(name.clone(), value.clone());
        }
        let mut out = Vec::new();
        let Some(framing) = write_request(&head, has_body, &mut out) else { return Ok(()) };
        let mut room = http1::room();
        let Ok(read) = parse_request(&out, &mut room, 128) else { return Ok(()) };
        prop_assert_eq!(read.end, out.len());
        prop_assert_eq!(&read.method, &head.method);
        let meant = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        prop_assert!(head.method == Method::CONNECT || read.target == meant);
        let names = read.head.fields.iter().map(|field| field.name);
        for name in names {
            prop_assert!(name == "host" || name == "transfer-encoding" || head.headers.contains_key(name), "{}", name);
            prop_assert!(name == "transfer-encoding" || !is_framing(name), "{}", name);
        }
        let chunked = read.head.fields.all("transfer-encoding").count();
        prop_assert_eq!(chunked, usize::from(framing == Framing::Chunked));
        match (read.head.content_length(), framing) {
            (Ok(Some(length)), Framing::Length(sent)) => prop_assert_eq!(length, sent),
            (Ok(None), Framing::Chunked | Framing::EMPTY) => {}
            // Refused by the engine.
            (Err(_), _) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// What an instance sends is one head for the engine.
    #[test]
    fn a_response_is_one(status in 200..600_u16, fields in prop::collection::vec(field(), 0..12), flags: [bool; 3]) {
        let mut response = Response::builder().status(status);
        for (name, value) in &fields {
            response = response.header(name, value);
        }
        let (head, ()) = response.body(()).expect("a response").into_parts();
        let mut out = Vec::new();
        let [is_head, has_body, keep_alive] = flags;
        let Some(framing) = write_response(&head, is_head, has_body, keep_alive, &mut out) else { return Ok(()) };
        let mut room = http1::room();
        let Ok(read) = parse_response(&out, &mut room) else { return Ok(()) };
        prop_assert_eq!((read.status, read.head.bytes.len()), (status, out.len()));
        let answer = read_response(&read, is_head).expect("readable");
        prop_assert_eq!(answer.keep_alive, keep_alive);
        let same = match framing {
            Framing::Length(length) => answer.decoder == Decoder::Length(length),
            Framing::Chunked => answer.decoder == Decoder::CHUNKED,
        };
        prop_assert!(same, "{:?} {:?}", framing, answer);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _trailers = read_trailers(&bytes);
    }
}
