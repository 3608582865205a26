//! What is taken off requests and responses before anything of ours is put on.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::dye;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Takes off what ends at this hop, every spelling of the headers that only we write, and, unless the peer is `trusted`, everything that
/// claims to say where the request came from.
pub fn strip_request(headers: &mut HeaderMap, trusted: bool) {
    let trailers = headers.contains_key(header::TE) && mentions(headers, &header::TE, "trailers");
    strip_connection(headers);
    // Empty for nearly every request, so nothing is allocated.
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name.as_str(), trusted)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes off what ends at this hop. False when the response's framing is not one we can pass on.
#[must_use]
pub(super) fn strip_response(headers: &mut HeaderMap) -> bool {
    strip_connection(headers);
    for name in [KEEP_ALIVE, PROXY_CONNECTION, header::UPGRADE] {
        headers.remove(name);
    }
    match headers.get_all(header::TRANSFER_ENCODING).iter().count() {
        0 => true,
        // Hyper frames the response anew, for the client's version of HTTP.
        count => {
            let coding = headers.remove(header::TRANSFER_ENCODING);
            count == 1 && coding.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        }
    }
}

/// Whether one of the header's values has this token; parameters do not count.
pub(super) fn mentions(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        tokens(value).any(|found| {
            let found = found.split(|byte| *byte == b';').next().unwrap_or_default();
            found.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
        })
    })
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Removes `Connection` and everything that any of its values names, but never what frames or addresses the message.
fn strip_connection(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::CONNECTION).iter();
    let harmless = |value: &HeaderValue| {
        value.as_bytes().eq_ignore_ascii_case(b"keep-alive") || value.as_bytes().eq_ignore_ascii_case(b"close")
    };
    match (values.next(), values.next()) {
        (None, _) => return,
        (Some(value), None) if harmless(value) => {}
        _ => {
            let named: Vec<HeaderName> = headers
                .get_all(header::CONNECTION)
                .iter()
                .flat_map(tokens)
                .filter_map(|token| HeaderName::from_bytes(token).ok())
                .filter(|name| ![header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name))
                .collect();
            for name in named {
                headers.remove(name);
            }
        }
    }
    headers.remove(header::CONNECTION);
}

/// Whether a request header is for us to set or to consume.
fn is_ours(name: &str, trusted: bool) -> bool {
    // Most names leave by the first look at their first byte and by having neither dot nor underscore.
    let folded = name.bytes().any(|byte| byte == b'_' || byte == b'.');
    match name.as_bytes().first() {
        Some(b'g' | b'-') if dye::is_ours(name) => true,
        Some(b'k' | b'p' | b't' | b'u') if !folded => {
            matches!(name, "keep-alive" | "proxy-connection" | "proxy-authorization" | "te" | "upgrade")
        }
        Some(b'x' | b'f') if !folded => {
            !trusted && (name.starts_with("x-forwarded-") || name == "x-real-ip" || name == "forwarded")
        }
        _ if folded => dye::is_ours(name) || is_origin_spelling(name),
        _ => false,
    }
}

/// Whether a backend that folds `_` and `.` into `-` could take the name for one that says where a request came from.
fn is_origin_spelling(name: &str) -> bool {
    let plain: String = name.chars().map(|c| if c == '_' || c == '.' { '-' } else { c }).collect();
    plain.starts_with("x-forwarded-") || plain == "x-real-ip"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
            map.append(name, HeaderValue::from_str(value).expect("value"));
        }
        map
    }

    fn left(headers: &[(&str, &str)], trusted: bool) -> Vec<String> {
        let mut map = map(headers);
        strip_request(&mut map, trusted);
        let mut names: Vec<_> = map.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn hop_by_hop_headers_go() {
        let cases = [
            (vec![("connection", "keep-alive"), ("keep-alive", "5"), ("accept", "*")], vec!["accept"]),
            (
                vec![
                    ("connection", "close, Gray"),
                    ("gray", "1"),
                    ("connection", " X-A ,x-b"),
                    ("x-a", "1"),
                    ("x-b", "1"),
                ],
                vec![],
            ),
            (vec![("connection", "host, content-length, Transfer-Encoding"), ("host", "h")], vec!["host"]),
            (vec![("te", "gzip, trailers;q=1"), ("trailer", "x")], vec!["te", "trailer"]),
            (vec![("te", "gzip")], vec![]),
            (vec![("upgrade", "h2c"), ("proxy-authorization", "x"), ("proxy-connection", "x")], vec![]),
        ];
        for (headers, expect) in cases {
            assert_eq!(left(&headers, false), expect, "{headers:?}");
        }
    }

    #[test]
    fn no_spelling_of_the_tag_passes() {
        for name in [
            "gray",
            "g.ray",
            "gray_",
            "gr-ay",
            "-gray",
            "_gray",
            ".gray",
            "g_r_a_y",
            "gray-lane",
            "gray_signature",
            "gray-caller",
        ] {
            assert_eq!(left(&[(name, "GRAY"), ("grayish", "x")], true), ["grayish"], "{name}");
        }
    }

    #[test]
    fn only_a_trusted_peer_says_where_a_request_came_from() {
        let said = [("x-forwarded-for", "1"), ("x-forwarded-ssl", "on"), ("x-real-ip", "1"), ("forwarded", "for=1")];
        assert!(left(&said, false).is_empty());
        assert_eq!(left(&said, true).len(), 4);
        assert!(left(&[("x_forwarded_for", "1"), ("x_real.ip", "1")], true).is_empty());
        assert_eq!(left(&[("x-request-id", "1"), ("from", "a"), ("user_id", "1")], false).len(), 3);
    }

    #[test]
    fn responses_are_framed_anew() {
        let mut headers =
            map(&[("connection", "close, x-a"), ("x-a", "1"), ("transfer-encoding", "chunked"), ("etag", "1")]);
        assert!(strip_response(&mut headers));
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
        assert!(!strip_response(&mut map(&[("transfer-encoding", "gzip, chunked")])));
    }
}
