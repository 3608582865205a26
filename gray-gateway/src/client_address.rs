//! Whose request is it? The peer's, unless the peer is a proxy that we were told to believe.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use gray_http1::Fields;
use gray_settings::TrustedHeaders;

use crate::trusted_hops::TrustedHops;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_REAL_IP: &str = "x-real-ip";
const FORWARDED: &str = "forwarded";

/// The client's address.
///
/// What the fields of its request say counts only when `peer` is in `trusted`, and only those of one family: the other may
/// hold what a client wrote. `X-Forwarded-For`, or the `for=` of `Forwarded`, is read from its right end, where the nearest
/// proxy wrote, up to the first address that is not trusted itself: what is further left may be a client's invention.
/// `X-Real-IP` is read when there is no `X-Forwarded-For`. An unreadable entry ends the reading.
pub fn client_address(peer: IpAddr, fields: Fields<'_, '_>, trusted: &TrustedHops, family: TrustedHeaders) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !trusted.contains(peer) {
        return peer;
    }
    match family {
        TrustedHeaders::XForwarded => by_x_forwarded(peer, fields, trusted),
        TrustedHeaders::Forwarded => by_forwarded(peer, fields, trusted),
    }
}

fn by_forwarded(peer: IpAddr, fields: Fields<'_, '_>, trusted: &TrustedHops) -> IpAddr {
    let mut nearest = peer;
    for value in fields.all(FORWARDED).rev() {
        let Some(elements) = text(value).and_then(|text| unquoted_parts(text, ',')) else { return nearest };
        for element in elements.into_iter().rev() {
            let Some(ip) = forwarded_for(element).and_then(parse) else { return nearest };
            nearest = ip;
            if !trusted.contains(ip) {
                return nearest;
            }
        }
    }
    nearest
}

/// The value of `for` in one element of `Forwarded`, without its quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    parameter(element, "for")
}

/// The value of a parameter of one element of `Forwarded`, without its quotes; `None` also when it is there twice.
pub(crate) fn parameter<'e>(element: &'e str, parameter: &str) -> Option<&'e str> {
    let pairs = unquoted_parts(element, ';')?;
    let mut values = pairs.into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(parameter).then_some(value.trim())
    });
    let (value, None) = (values.next()?, values.next()) else { return None };
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// Splits where the separator is not within quotes; `None` for open quotes and for escapes.
pub(crate) fn unquoted_parts(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut quoted = false;
    let parts = text.split(|c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    let parts: Vec<_> = parts.collect();
    (!quoted && !text.contains('\\')).then_some(parts)
}

fn by_x_forwarded(peer: IpAddr, fields: Fields<'_, '_>, trusted: &TrustedHops) -> IpAddr {
    if fields.all(X_FORWARDED_FOR).next().is_none() {
        let mut values = fields.all(X_REAL_IP);
        return match (values.next(), values.next()) {
            (Some(value), None) => text(value).and_then(parse).unwrap_or(peer),
            _ => peer,
        };
    }
    let mut nearest = peer;
    for value in fields.all(X_FORWARDED_FOR).rev() {
        let Some(text) = text(value) else { return nearest };
        for entry in text.rsplit(',') {
            let Some(ip) = parse(entry) else { return nearest };
            nearest = ip;
            if !trusted.contains(ip) {
                return nearest;
            }
        }
    }
    nearest
}

/// Whom an address stands for where clients are counted: a network of IPv6 is one client's, who has all of its addresses.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

#[cfg(test)]
mod tests {
    use gray_core::IpSet;
    use gray_http1::{read_request, room};

    use super::*;

    fn resolve(peer: &str, trusted: &[&str], headers: &[(&str, &str)]) -> String {
        resolve_by(TrustedHeaders::XForwarded, peer, trusted, headers)
    }

    fn resolve_by(family: TrustedHeaders, peer: &str, trusted: &[&str], headers: &[(&str, &str)]) -> String {
        let mut set = IpSet::default();
        for text in trusted {
            set.insert(text).expect("address");
        }
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let mut room = room();
        let fields = read_request(head.as_bytes(), &mut room, 100).expect("a request").head.fields;
        client_address(peer.parse().expect("ip"), fields, &set.into(), family).to_string()
    }

    #[test]
    fn a_stranger_cannot_name_its_address() {
        let said = [(X_FORWARDED_FOR, "9.9.9.9"), (X_REAL_IP, "9.9.9.9")];
        assert_eq!(resolve("8.8.8.8", &[], &said), "8.8.8.8");
        assert_eq!(resolve("8.8.8.8", &["10.0.0.0/8"], &said), "8.8.8.8");
    }

    #[test]
    fn a_trusted_hop_is_believed_up_to_the_first_stranger() {
        let trusted = ["10.0.0.0/8"];
        let check = |headers: &[(&str, &str)], expect: &str| {
            assert_eq!(resolve("10.0.0.1", &trusted, headers), expect, "{headers:?}");
        };
        check(&[], "10.0.0.1");
        check(&[(X_REAL_IP, "9.9.9.9")], "9.9.9.9");
        check(&[(X_REAL_IP, "9.9.9.9"), (X_REAL_IP, "9.9.9.8")], "10.0.0.1");
        check(&[(X_REAL_IP, "nonsense")], "10.0.0.1");
        check(&[(X_FORWARDED_FOR, "9.9.9.9")], "9.9.9.9");
        check(&[(X_FORWARDED_FOR, "1.1.1.1, 9.9.9.9, 10.0.0.2")], "9.9.9.9");
        check(&[(X_FORWARDED_FOR, "1.1.1.1"), (X_FORWARDED_FOR, "9.9.9.9,10.0.0.2")], "9.9.9.9");
        check(&[(X_FORWARDED_FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3");
        check(&[(X_FORWARDED_FOR, "9.9.9.9, nonsense, 10.0.0.2")], "10.0.0.2");
        check(&[(X_FORWARDED_FOR, "9.9.9.9:1234")], "9.9.9.9");
        check(&[(X_FORWARDED_FOR, "[2001:db8::1]:1234")], "2001:db8::1");
        check(&[(X_FORWARDED_FOR, "[2001:db8::1]")], "2001:db8::1");
        check(&[(X_FORWARDED_FOR, "::ffff:9.9.9.9")], "9.9.9.9");
        check(&[(X_FORWARDED_FOR, "9.9.9.9"), (X_REAL_IP, "1.1.1.1")], "9.9.9.9");
    }

    #[test]
    fn one_family_is_believed_and_the_other_is_not() {
        let both = [(X_FORWARDED_FOR, "9.9.9.9"), (X_REAL_IP, "9.9.9.8"), (FORWARDED, "for=7.7.7.7")];
        let trusted = ["10.0.0.0/8"];
        let check = |headers: &[(&str, &str)], expect: &str| {
            let found = resolve_by(TrustedHeaders::Forwarded, "10.0.0.1", &trusted, headers);
            assert_eq!(found, expect, "{headers:?}");
        };
        assert_eq!(resolve("10.0.0.1", &trusted, &both), "9.9.9.9");
        assert_eq!(resolve("10.0.0.1", &trusted, &both[2..]), "10.0.0.1");
        check(&both, "7.7.7.7");
        check(&both[..2], "10.0.0.1");
        for (value, expect) in [
            ("for=1.1.1.1, for=9.9.9.9, For=10.0.0.2", "9.9.9.9"),
            ("proto=https; for = \"9.9.9.9:80\" ;by=10.0.0.1", "9.9.9.9"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=9.9.9.9, for=\"a,b\"", "10.0.0.1"),
            ("for=9.9.9.9, for=unknown", "10.0.0.1"),
            ("for=9.9.9.9, for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=9.9.9.9, proto=https", "10.0.0.1"),
            ("for=9.9.9.9;for=8.8.8.8", "10.0.0.1"),
            ("for=\"9.9.9.9", "10.0.0.1"),
            ("for=\"9.9.9.9\\\"\"", "10.0.0.1"),
        ] {
            check(&[(FORWARDED, value)], expect);
        }
    }

    #[test]
    fn a_client_has_a_whole_network_of_version_6() {
        let counted = |text: &str| counted_as(text.parse().expect("ip")).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("192.0.2.7"), "192.0.2.7");
        assert_eq!(counted("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
