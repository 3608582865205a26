//! What routes ask for. `/r` stands for the route's own prefix.

use super::{Draw, Piece};
use crate::release::Release::V31;

/// Patterns with the variables that all of them have.
const PATHS: [(&str, &[&str]); 16] = [
    ("Path=/r/**", &[]),
    ("Path=/r/**", &[]),
    ("Path=/r/**", &[]),
    ("Path=/r/**", &[]),
    ("Path=/r/{a}/**", &["a"]),
    ("Path=/r/{a}/**", &["a"]),
    ("Path=/r/{a}/{b}", &["a", "b"]),
    ("Path=/r/{a}", &["a"]),
    ("Path=/r/{*rest}", &["rest"]),
    ("Path=/r/*/b", &[]),
    ("Path=/r/*.html,/r/a/**", &[]),
    ("Path=/r/{n:[0-9]+}/**", &["n"]),
    ("Path=/r/{a}-{b}/**", &["a", "b"]),
    ("Path=/r/?/**", &[]),
    ("Path=/r,/r/a,/r/a/b", &[]),
    ("Path=/r/,/r/a/", &[]),
];

const OTHERS: [Piece; 22] = [
    (V31, "Method=GET"),
    (V31, "Method=GET,POST,HEAD"),
    (V31, "Header=X-P"),
    (V31, "Header=X-P, \\d+"),
    (V31, "Header=X-P, a.*"),
    (V31, "Query=q"),
    (V31, "Query=q, a"),
    (V31, "Query=q, a.*"),
    (V31, "Cookie=c, v."),
    (V31, "Cookie=d, [0-9]"),
    (V31, "Host=shop.example"),
    (V31, "Host=**.example"),
    (V31, "Host={sub}.shop.example"),
    (V31, "Host=*.shop.example,shop.example"),
    (V31, "Host=shop.example:8080"),
    (V31, "After=2020-01-20T17:42:47.789-07:00[America/Denver]"),
    (V31, "Before=2120-01-20T17:42:47.789-07:00[America/Denver]"),
    (V31, "Between=2020-01-20T17:42:47Z, 2120-01-21T17:42:47Z"),
    (V31, "Before=2020-01-20T17:42:47Z"),
    (V31, "RemoteAddr=127.0.0.1/8"),
    (V31, "RemoteAddr=10.0.0.0/8"),
    (V31, "XForwardedRemoteAddr=9.9.9.0/24"),
];

/// A pattern and its variables.
pub(super) fn path(draw: &mut Draw) -> (String, &'static [&'static str]) {
    let (path, variables) = PATHS[draw.below(PATHS.len())];
    (path.to_owned(), variables)
}

/// Something else than the path.
pub(super) fn other(draw: &mut Draw) -> Piece {
    OTHERS[draw.below(OTHERS.len())]
}
