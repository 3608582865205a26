//! What clients send, odd ones among it.

use super::Draw;
use crate::request::{Answer, Request};

/// Behind the route's prefix.
const PLAIN: [&str; 14] =
    ["", "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/7/b", "/a.html", "/x/1", "/p-q/z", "/A/B", "/a/b/c/d/e"];

const ODD: [&str; 58] = [
    "//",
    "//a",
    "/a//b",
    "/a//",
    "/a/b//",
    "///a///b",
    "/./a",
    "/a/.",
    "/a/./b",
    "/a/../b",
    "/..",
    "/a/..",
    "/%2e/a",
    "/a/%2e%2e/b",
    "/a%2Fb",
    "/a%2fb/c",
    "/%2F",
    "/a%5Cb",
    "/%61",
    "/%61/b",
    "/a%20b",
    "/caf%C3%A9/b",
    "/caf%c3%a9",
    "/é/b",
    "/a;v=1",
    "/a;v=1/b",
    "/;v=1",
    "/a;",
    "/a%3Bv=1/b",
    "/a%25b",
    "/a%252Fb",
    "/a%",
    "/a%z/b",
    "/a+b/c",
    "/a&b",
    "/a=b",
    "/a@b:c/d",
    "/a,b/c",
    "/~a",
    "/a|b",
    "/a\"b",
    "/{a}/b",
    "/a\\b",
    "/a^b",
    "/a`b",
    "/a%00b",
    "/a%0Ab",
    "/a*b",
    "/a!b/c",
    "/a$b/c",
    "/(a)/b",
    "/'a'/b",
    "/<a>",
    "/%E4%BD%A0/%E5%A5%BD",
    "/.a/b",
    "/..a",
    "/...",
    "/[a]",
];

const QUERIES: [&str; 20] = [
    "?",
    "?q=a",
    "?q=b",
    "?q",
    "?q=",
    "?q=a&q=c",
    "?q=a%20b&x=%2F",
    "?q=a+b",
    "?q=é",
    "?x=1&q=abc",
    "?q=a;b",
    "?q=%",
    "?q=a|b",
    "?q=a&&",
    "?q=1?2",
    "?Q=a",
    "?q=a/b",
    "?q=%61",
    "?n=0&q=a",
    "?q[]=a",
];

const FIELDS: [(&str, &str); 24] = [
    ("X-P", "1"),
    ("X-P", "abc"),
    ("X-P", "a, b"),
    ("X-P", ""),
    ("x-p", "42"),
    ("X-M", "mine"),
    ("X-A", "0"),
    ("X-N", "0"),
    ("X-Q", "q"),
    ("Cookie", "c=v1"),
    ("Cookie", "d=1; c=w"),
    ("Cookie", "a=b; d=7"),
    ("Host", "api.shop.example"),
    ("Host", "a.b.example"),
    ("Host", "SHOP.example"),
    ("Host", "shop.example:8080"),
    ("Host", "other.example"),
    ("X-Forwarded-For", "9.9.9.9"),
    ("X-Forwarded-For", "9.9.9.9, 8.8.8.8"),
    ("X-Forwarded-Prefix", "/before"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "front.example"),
    ("Forwarded", "for=9.9.9.9;proto=https"),
    ("User-Agent", "compat"),
];

const ANSWERS: [(u16, &[(&str, &str)]); 12] = [
    (200, &[("X-I", "a"), ("X-I", "b")]),
    (200, &[("X-I", "a"), ("X-I", "a"), ("X-I", "b")]),
    (200, &[("X-I", "b"), ("X-R", "0")]),
    (200, &[("X-R", "0"), ("X-R", "1")]),
    (201, &[("Location", "http://BACKEND/new")]),
    (302, &[("Location", "http://BACKEND/v1/new?x=1")]),
    (302, &[("Location", "/new")]),
    (204, &[]),
    (404, &[("X-I", "a")]),
    (503, &[]),
    (500, &[("X-R", "0")]),
    (200, &[("X-Frame-Options", "SAMEORIGIN"), ("Vary", "Origin"), ("Set-Cookie", "a=b; Path=/")]),
];

fn target(prefix: &str, draw: &mut Draw) -> String {
    let path = match draw.below(100) {
        0..58 => format!("{prefix}{}", PLAIN[draw.below(PLAIN.len())]),
        58..92 => format!("{prefix}{}", ODD[draw.below(ODD.len())]),
        92..94 => format!("{prefix}/{}", "long/".repeat(60)),
        94..96 => format!("/{prefix}/a"),
        96..98 => prefix.replace('r', "%72") + "/a/b",
        _ => format!("/.{prefix}/a"),
    };
    if draw.percent(38) { path + QUERIES[draw.below(QUERIES.len())] } else { path }
}

/// A request to a route.
pub(super) fn any(prefix: &str, draw: &mut Draw) -> Request {
    let method = ["GET", "GET", "GET", "GET", "GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"][draw.below(11)];
    let mut request = Request::new(method, &target(prefix, draw));
    let count = [0, 0, 0, 1, 1, 2, 3][draw.below(7)];
    for _ in 0..count {
        let (name, value) = FIELDS[draw.below(FIELDS.len())];
        if name == "X-P" || !request.has(name) {
            request.fields.push((name.to_owned(), value.to_owned()));
        }
    }
    if method == "POST" || method == "PUT" {
        request.fields.push((":body".to_owned(), ["", "12", "12345"][draw.below(3)].to_owned()));
    }
    if draw.percent(40) {
        let (status, fields) = ANSWERS[draw.below(ANSWERS.len())];
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.answers.push(Answer { status, fields });
    }
    request
}
