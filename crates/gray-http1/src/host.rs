//! Hosts: of `Host`, of `:authority`, of targets.

use std::net::Ipv6Addr;

/// A name or an address, and the port, if it says one. `None` when it is not a valid host, or when a server may take it for two.
pub fn read_host(text: &str) -> Option<(&str, Option<&str>)> {
    split(text).filter(|(name, _)| is_name(name))
}

/// Whether it is a name or an address, with a port or without.
pub fn is_host(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| read_host(text).is_some())
}

/// Labels out of letters, digits, `-`, `_` and `~`, or an IPv6 address in brackets. RFC 3986 would take more, for names
/// that no resolver knows.
fn is_name(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    name.len() <= 255 && { labels }.all(|label| !label.is_empty() && label.bytes().all(fits))
}

/// `name:port`; an empty port is none.
fn split(host: &str) -> Option<(&str, Option<&str>)> {
    let name_len = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at_checked(name_len)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(port) => {
            let is_port = port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
            Some(is_port.then_some(port)?)
        }
    };
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_or_refused() {
        for (host, expect) in [
            ("a", ("a", None)),
            ("a.b:7000", ("a.b", Some("7000"))),
            ("a:", ("a", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:81", ("[::1]", Some("81"))),
        ] {
            assert_eq!(split(host), Some(expect), "{host}");
        }
        for host in ["a:b", "a:1:2", "::1", ":80", "[::1", "[::1]x", "a:65536", "a:+1"] {
            assert_eq!(split(host), None, "{host}");
        }
        for host in ["a", "a.b.", "1.2.3.4", "[::1]", "a_b-c~d", "xn--zz"] {
            assert!(is_name(host), "{host}");
        }
        for host in [
            "",
            "a/b",
            "a@b",
            "a\"b",
            "a b",
            "a\\b",
            "a?b",
            "ä",
            "a,b",
            "evil.com,x.internal.example",
            "a;b",
            "a%2eb",
            "*.b",
            ".",
            ".a",
            "a..b",
            "[::1",
            "[1.2.3.4]",
            "[::1%eth0]",
            "[]",
            "a(b)",
            "a=b",
            "a'b",
        ] {
            assert!(!is_name(host), "{host}");
        }
    }
}
