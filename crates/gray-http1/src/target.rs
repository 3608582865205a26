//! What a request line asks for.

use http::Method;

use crate::is_host;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// The path; `/` when there is none.
    pub path: &'b str,
    /// The query, without `?`.
    pub query: Option<&'b str>,
    /// The host of the absolute form.
    pub authority: Option<&'b [u8]>,
}

/// Origin form (`/path`), absolute form (`http://host/path`), or `*` with OPTIONS.
///
/// # Errors
/// Why it is not valid.
pub fn read_target<'b>(method: &Method, target: &'b str) -> Result<Target<'b>, &'static str> {
    // Servers differ in what they make of a fragment or a quote.
    if target.bytes().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'#' | b'<' | b'>')) {
        return Err("the request target has a character that is not allowed");
    }
    let is_path = target.starts_with('/') || (target == "*" && *method == Method::OPTIONS);
    let (authority, relative) = if is_path { (None, target) } else { absolute(target)? };
    let (path, query) = relative.split_once('?').map_or((relative, None), |(path, query)| (path, Some(query)));
    let path = if path.is_empty() { "/" } else { path };
    Ok(Target { path, query, authority })
}

/// The host of an absolute-form target, and what is left of it behind that.
fn absolute(target: &str) -> Result<(Option<&[u8]>, &str), &'static str> {
    let (scheme, rest) = target.split_once("://").ok_or("the request target is not a path")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("the request target has a scheme other than http and https");
    }
    let (authority, relative) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !is_host(authority.as_bytes()) {
        return Err("the request target has no valid host");
    }
    Ok((Some(authority.as_bytes()), relative))
}

/// Whether the first line is a request's, whatever it says of the version: it names a target.
pub fn is_meant_as_http(bytes: &[u8]) -> bool {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = bytes[blank..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let has = |part: &[u8]| memchr::memmem::find(line, part).is_some();
    target.starts_with(b"/") || target == b"*" || has(b"://") || has(b"HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_form() {
        let read = |method: Method, target| {
            read_target(&method, target).map(|found| (found.path, found.query, found.authority))
        };
        for (target, expect) in [
            ("/", ("/", None, None)),
            ("/a?b=/?c", ("/a", Some("b=/?c"), None)),
            ("http://A:80/x?y", ("/x", Some("y"), Some(&b"A:80"[..]))),
            ("HTTPS://a", ("/", None, Some(b"a"))),
            ("http://a?y", ("/", Some("y"), Some(b"a"))),
        ] {
            assert_eq!(read(Method::GET, target), Ok(expect), "{target}");
        }
        assert_eq!(read(Method::OPTIONS, "*"), Ok(("*", None, None)));
        for target in ["*", "x", "a:80", "/a b", "/a#b", "/<", "ftp://a/", "http:///x", "http://a@b/", ""] {
            assert!(read(Method::GET, target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_first_line_is_known() {
        for line in ["GET / HTTP/3", "\r\nOPTIONS * X", "GET http://a X", "X HTTP/1.1"] {
            assert!(is_meant_as_http(line.as_bytes()), "{line}");
        }
        for line in ["", "SSH-2.0-x", "\x16\x03\x01", "hello you /x"] {
            assert!(!is_meant_as_http(line.as_bytes()), "{line}");
        }
    }
}
