//! Whose request is it? The peer's, unless the peer is a proxy that we were told to believe.

use std::net::{IpAddr, SocketAddr};

use gray_common::rule::IpSet;
use http::HeaderName;

use crate::header::Lookup;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The client's address.
///
/// What headers say counts only when `peer` is in `trusted`. Then `X-Forwarded-For` is read from its right end, where
/// the nearest proxy wrote, up to the first address that is not trusted itself: further left anybody may have written.
/// `X-Real-IP` is read when there is no `X-Forwarded-For`. An unreadable entry ends the reading.
pub fn client_address(peer: IpAddr, headers: &impl Lookup, trusted: &IpSet) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !trusted.contains(peer) {
        return peer;
    }
    if !headers.has(&X_FORWARDED_FOR) {
        let name = X_REAL_IP;
        let mut values = headers.values(&name);
        return match (values.next(), values.next()) {
            (Some(value), None) => text(value).and_then(parse).unwrap_or(peer),
            _ => peer,
        };
    }
    let mut nearest = peer;
    for value in headers.values(&X_FORWARDED_FOR).rev() {
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
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn resolve(peer: &str, trusted: &[&str], headers: &[(HeaderName, &str)]) -> String {
        let mut set = IpSet::default();
        for text in trusted {
            set.insert(text).expect("address");
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).expect("value"));
        }
        client_address(peer.parse().expect("ip"), &map, &set).to_string()
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
        let check = |headers: &[(HeaderName, &str)], expect: &str| {
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
}
