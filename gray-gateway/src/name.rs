//! Header names that mean something to the gateway: what ends at this hop, what only it may say.

use crate::dye;

/// What a header field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Passed on.
    Other,
    /// `Host`
    Host,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `TE`
    Te,
    /// `Upgrade`
    Upgrade,
    /// `Expect`
    Expect,
    /// Others that end at this hop: `Keep-Alive`, `Proxy`, `Proxy-Connection`, `Proxy-Authorization`; and what could pass for one of
    /// them, or for a length.
    Hop,
    /// `baggage`: one member of it is ours.
    Baggage,
    /// `gray` and its kin, in any spelling that a backend could take for it.
    Ours,
    /// `Forwarded`, `X-Forwarded-*`, `X-Real-IP`: where a request came from, which only a trusted peer may say.
    Origin,
    /// The same with `_` or `.`, which some backends take for `-`: never to be believed.
    OriginSpelling,
}

impl Name {
    /// What this name is. The case does not matter.
    pub(crate) fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let bytes = name.as_bytes();
        // Most names leave by their first byte or their length.
        match (bytes.first().map(u8::to_ascii_lowercase), bytes.len()) {
            (Some(b'h'), 4) if is("host") => Self::Host,
            (Some(b'c'), 10) if is("connection") => Self::Connection,
            (Some(b'c'), 14) if is("content-length") => Self::ContentLength,
            (Some(b't'), 17) if is("transfer-encoding") => Self::TransferEncoding,
            (Some(b't'), 2) if is("te") => Self::Te,
            (Some(b'u'), 7) if is("upgrade") => Self::Upgrade,
            (Some(b'e'), 6) if is("expect") => Self::Expect,
            // The same with `_` or `.`: a backend that takes these for `-` must not read another length than we did.
            (Some(b'c'), 14) if is_spelling(bytes, b"content-length") => Self::Hop,
            (Some(b't'), 17) if is_spelling(bytes, b"transfer-encoding") => Self::Hop,
            (Some(b'k'), 10) if is_spelling(bytes, b"keep-alive") => Self::Hop,
            // What a CGI program takes for the address of its own proxy.
            (Some(b'p'), 5) if is("proxy") => Self::Hop,
            (Some(b'p'), 16) if is_spelling(bytes, b"proxy-connection") => Self::Hop,
            (Some(b'p'), 19) if is_spelling(bytes, b"proxy-authorization") => Self::Hop,
            (Some(b'b'), 7) if is("baggage") => Self::Baggage,
            (Some(b'f'), 9) if is("forwarded") => Self::Origin,
            (Some(b'x'), 9) if is("x-real-ip") => Self::Origin,
            (Some(b'x'), 13..) if bytes[..12].eq_ignore_ascii_case(b"x-forwarded-") => {
                // What follows may be spelled in two ways as well.
                if folded(bytes) { Self::OriginSpelling } else { Self::Origin }
            }
            (Some(b'x'), 9..) if is_origin_spelling(bytes) => Self::OriginSpelling,
            (Some(b'g' | b'-' | b'_' | b'.'), _) if dye::is_ours(name) => Self::Ours,
            _ => Self::Other,
        }
    }

    /// Whether a trailer of this name may be passed on. What frames the message, names its host, or is ours to say is not.
    pub(crate) fn passes_as_trailer(name: &str) -> bool {
        Self::of(name) == Self::Other
    }
}

fn folded(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'_' | b'.'))
}

fn plain(byte: &u8) -> u8 {
    if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() }
}

/// Whether a backend that folds `_` and `.` into `-` could take the name for this one.
fn is_spelling(name: &[u8], known: &[u8]) -> bool {
    name.iter().map(plain).eq(known.iter().copied())
}

/// Whether a backend that folds `_` and `.` into `-` could take the name for one that says where a request came from.
fn is_origin_spelling(name: &[u8]) -> bool {
    folded(name) && (name.iter().map(plain).take(12).eq(*b"x-forwarded-") || is_spelling(name, b"x-real-ip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        for (name, expect) in [
            ("Host", Name::Host),
            ("CONNECTION", Name::Connection),
            ("Content-length", Name::ContentLength),
            ("transfer-Encoding", Name::TransferEncoding),
            ("te", Name::Te),
            ("Upgrade", Name::Upgrade),
            ("Expect", Name::Expect),
            ("Keep-Alive", Name::Hop),
            ("Proxy-Connection", Name::Hop),
            ("proxy-authorization", Name::Hop),
            ("Proxy", Name::Hop),
            ("proxy-x", Name::Other),
            ("Keep.Alive", Name::Hop),
            ("Content_Length", Name::Hop),
            ("Transfer.Encoding", Name::Hop),
            ("content-lengths", Name::Other),
            ("Baggage", Name::Baggage),
            ("baggages", Name::Other),
            ("Forwarded", Name::Origin),
            ("X-Real-IP", Name::Origin),
            ("X-Forwarded-For", Name::Origin),
            ("x-forwarded-ssl", Name::Origin),
            ("X_Forwarded_For", Name::OriginSpelling),
            ("x-forwarded-f.or", Name::OriginSpelling),
            ("x_real.ip", Name::OriginSpelling),
            ("x-forwarded", Name::Other),
            ("x-request-id", Name::Other),
            ("user_id", Name::Other),
            ("from", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(name), expect, "{name}");
        }
    }

    #[test]
    fn trailers_pass_if_they_may() {
        for (name, passes) in [
            ("Grpc-Status", true),
            ("x-sum", true),
            ("Content-Length", false),
            ("gray", false),
            ("Baggage", false),
            ("Host", false),
        ] {
            assert_eq!(Name::passes_as_trailer(name), passes, "{name}");
        }
    }

    #[test]
    fn no_spelling_of_the_tag_passes() {
        for name in [
            "gray",
            "G.ray",
            "GRAY_",
            "gr-ay",
            "-gray",
            "_Gray",
            ".gray",
            "g_r_a_y",
            "gray-lane",
            "gray_signature",
            "Gray-Caller",
        ] {
            assert_eq!(Name::of(name), Name::Ours, "{name}");
        }
        for name in ["grayish", "x-gray", "gray-lanes", "stingray", "gray-path", "-", "_"] {
            assert_eq!(Name::of(name), Name::Other, "{name}");
        }
    }
}
