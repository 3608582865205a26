//! Which servers are asked for keys.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use gray_rules::KeyUrl;

/// A server that the flag `--key-server` names: it may be asked by `http://`, and at an address that is not public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedServer {
    host: Box<str>,
    /// `None`: the usual port of the scheme.
    port: Option<u16>,
}

impl ListedServer {
    /// Whether it is the server of this URL.
    pub(super) fn is(&self, url: &KeyUrl) -> bool {
        let is_port = self.port.map_or_else(|| url.is_usual_port(), |port| port == url.port());
        *self.host == *url.host() && is_port
    }
}

impl FromStr for ListedServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not a server: expected HOST or HOST:PORT, such as keycloak:8080");
        let text = text.trim();
        let url: KeyUrl = format!("http://{text}").parse().map_err(|_| invalid())?;
        let has_port = match text.strip_prefix('[') {
            Some(rest) => rest.contains("]:"),
            None => text.contains(':'),
        };
        if text.contains(['/', '?']) {
            return Err(invalid());
        }
        Ok(Self { host: url.host().into(), port: has_port.then(|| url.port()) })
    }
}

/// Whether keys may be fetched from this address. `is_listed`: `--key-server` names its server.
pub(super) fn may_be_asked(ip: IpAddr, is_listed: bool) -> bool {
    let ip = ip.to_canonical();
    if is_listed { !is_never_asked(ip) } else { is_public(ip) }
}

/// Link-local addresses, where clouds keep their secrets, and those that are not of one machine.
pub(crate) fn is_never_asked(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast() || ip.octets()[0] == 0 || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified(),
    }
}

/// Whether the address belongs to one machine on the internet (the special-purpose registries of RFC 6890 aside).
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = match (a, b, c) {
        (0 | 10 | 127, ..) | (240.., ..) => true,
        // Shared by carriers; at one cloud, its metadata too.
        (100, 64..=127, _) => true,
        (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => true,
        (198, 18 | 19, _) => true,
        _ => ip.is_multicast(),
    };
    !is_special
}

/// Of 2000::/3, where all that is public lies, without what holds an IPv4 address or is for documentation.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let is_special = matches!((first, second), (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff));
    first & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_asked_only_when_it_is_listed_and_link_local_never() {
        for (text, open, listed) in [
            ("8.8.8.8", true, true),
            ("172.32.0.1", true, true),
            ("100.128.0.1", true, true),
            ("192.0.1.1", true, true),
            ("2600:1901::1", true, true),
            ("::ffff:8.8.8.8", true, true),
            ("127.0.0.1", false, true),
            ("10.1.2.3", false, true),
            ("172.16.0.1", false, true),
            ("192.168.1.1", false, true),
            ("100.100.100.200", false, true),
            ("198.18.0.1", false, true),
            ("192.0.2.1", false, true),
            ("::1", false, true),
            ("fd00::1", false, true),
            ("2001:db8::1", false, true),
            ("2002:7f00:1::", false, true),
            ("2001::1", false, true),
            ("64:ff9b::a9fe:a9fe", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("::ffff:10.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("240.0.0.1", false, true),
            ("0.0.0.0", false, false),
            ("0.1.2.3", false, false),
            ("::", false, false),
            ("ff02::1", false, false),
        ] {
            let ip: IpAddr = text.parse().expect(text);
            assert_eq!((may_be_asked(ip, false), may_be_asked(ip, true)), (open, listed), "{text}");
        }
    }

    #[test]
    fn a_server_is_listed_with_its_port() {
        let is = |listed: &str, url: &str| {
            listed.parse::<ListedServer>().expect(listed).is(&url.parse().expect("a URL of keys"))
        };
        for (listed, url, expect) in [
            ("keycloak", "https://keycloak/realms/a", true),
            ("Keycloak", "http://KEYCLOAK:80/", true),
            ("keycloak", "http://keycloak:8080/", false),
            ("keycloak:8080", "http://keycloak:8080/", true),
            ("keycloak:8080", "https://keycloak:8080/", true),
            ("keycloak:8080", "https://keycloak/", false),
            ("keycloak", "https://keycloak.example/", false),
            ("10.0.0.1:8080", "http://10.0.0.1:8080/", true),
            ("[::1]:8080", "http://[::1]:8080/", true),
            ("[::1]", "http://[::1]/", true),
        ] {
            assert_eq!(is(listed, url), expect, "{listed} {url}");
        }
        for text in
            ["", "http://keycloak", "keycloak/realms", "keycloak:", "keycloak:0", "a b", "*", "user@keycloak", "[::1"]
        {
            assert!(text.parse::<ListedServer>().is_err(), "{text}");
        }
    }
}
