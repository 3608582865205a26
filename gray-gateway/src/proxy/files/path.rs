//! Which paths may name a file at all.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The decoded path, when it may name a file: no dot segment, no encoded or other separator, no control character,
/// nothing hidden. What begins with a dot is hidden, except `.well-known` at the top (RFC 8615).
///
/// Dot segments never get here from a client; the directory itself cannot be left either. This is the first wall.
pub(super) fn decoded(path: &str) -> Option<Cow<'_, str>> {
    let mut is_top = true;
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        let hidden = name.starts_with('.') && !(is_top && name == ".well-known");
        if hidden || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
            return None;
        }
        is_top = false;
    }
    // Segment by segment it was text, so it is as a whole.
    percent_decode_str(path).decode_utf8().ok()
}

/// Whether a decoded path looks like a page of a single-page app and not like a file: its name has no extension.
pub(super) fn is_page(decoded: &str) -> bool {
    let name = decoded.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    !name.contains('.')
}

/// Whether what answers this path is HTML.
pub(super) fn is_html(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    path.ends_with('/') || ["html", "htm", "shtml", "xhtml"].iter().any(|html| extension.eq_ignore_ascii_case(html))
}

/// Where a directory asked for without its slash is: relative, so that it is right behind every prefix that we or a
/// proxy in front of us took off, and cannot lead to another host.
pub(super) fn with_slash(path: &str, query: Option<&str>) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    match query {
        Some(query) => format!("./{name}/?{query}"),
        None => format!("./{name}/"),
    }
}
