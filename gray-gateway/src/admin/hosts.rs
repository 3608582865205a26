//! Which names the admin side may be asked by, and which web pages may ask.
//!
//! A page in a browser on the machine can send requests to loopback. It cannot read the answers of another origin, unless
//! its own name is made to lead to loopback (DNS rebinding): then its requests name that host.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::{HeaderMap, HeaderName, Method, Uri, header, uri::Authority};

/// A host name, without port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > 253 || !text.bytes().all(fits) {
            return Err("expected a host name such as gateway.internal, without scheme and port");
        }
        Ok(Self(text.trim_end_matches('.').to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names that count besides `localhost` and addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Box<[HostName]>);

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It names a host that is not ours.
    Host,
    /// It comes from a page of another origin.
    Origin,
    /// Its body is of a type that any page may send.
    MediaType,
}

impl Hosts {
    pub(super) fn new(names: &[HostName]) -> Self {
        Self(names.into())
    }

    /// Whether a request may come from a page that is not ours, and why it is taken to.
    pub(super) fn foreign(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Foreign> {
        let Some(host) = only(headers, &header::HOST) else { return Some(Foreign::Host) };
        if !self.is_ours(host) || uri.authority().is_some_and(|authority| !self.is_ours(authority.as_str())) {
            return Some(Foreign::Host);
        }
        if headers.contains_key(header::ORIGIN) && !only(headers, &header::ORIGIN).is_some_and(|o| is_of(o, host)) {
            return Some(Foreign::Origin);
        }
        if *method == Method::POST && !only(headers, &header::CONTENT_TYPE).is_some_and(is_asked_for) {
            return Some(Foreign::MediaType);
        }
        None
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = Authority::from_str(authority) else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let name = authority.host();
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|known| name.eq_ignore_ascii_case(&known.0))
    }
}

/// The value of a field that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a page of this origin was loaded from us. `null` is not.
fn is_of(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// JSON or YAML. Browsers send neither across origins before they have asked whether they may.
fn is_asked_for(media_type: &str) -> bool {
    let known = ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    known.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(hosts: &Hosts, method: &str, target: &str, lines: &[(&str, &str)]) -> Option<Foreign> {
        let pairs = lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value")));
        hosts.foreign(&method.parse().expect("a method"), &target.parse().expect("a target"), &pairs.collect())
    }

    fn hosts() -> Hosts {
        Hosts::new(&["Gateway.Internal".parse().expect("a name")])
    }

    #[test]
    fn addresses_localhost_and_given_names_are_ours() {
        for host in [
            "127.0.0.1:7001",
            "127.0.0.1",
            "10.1.2.3:7001",
            "[::1]:7001",
            "[::1]",
            "localhost:7001",
            "LOCALHOST",
            "localhost.",
            "gateway.internal:7001",
            "GATEWAY.internal.",
        ] {
            assert_eq!(judge(&hosts(), "GET", "/status", &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7001",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "gateway.internal.evil.example",
            "localhost@evil.example",
            "evil@localhost",
            "127.1",
            "0x7f000001",
            "2130706433",
            "localhost, evil.example",
            "",
            "a b",
        ] {
            assert_eq!(judge(&hosts(), "GET", "/status", &[("host", host)]), Some(Foreign::Host), "{host}");
        }
        assert_eq!(judge(&hosts(), "GET", "/status", &[]), Some(Foreign::Host), "no Host");
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(judge(&hosts(), "GET", "/status", &two), Some(Foreign::Host), "two");
        let target = "http://evil.example/status";
        assert_eq!(judge(&hosts(), "GET", target, &[("host", "localhost")]), Some(Foreign::Host), "{target}");
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let ask = |origin: &str| judge(&hosts(), "GET", "/status", &[("host", "localhost:7001"), ("origin", origin)]);
        assert_eq!(ask("http://localhost:7001"), None);
        assert_eq!(ask("https://localhost:7001"), None, "TLS may end in front of us");
        for origin in [
            "null",
            "http://localhost:3000",
            "http://localhost",
            "http://127.0.0.1:7001",
            "http://evil.example",
            "localhost:7001",
            "",
        ] {
            assert_eq!(ask(origin), Some(Foreign::Origin), "{origin}");
        }
    }

    #[test]
    fn bodies_that_every_page_may_send_are_refused() {
        let post = |types: &[&str]| {
            let types = types.iter().map(|media_type| ("content-type", *media_type));
            judge(&hosts(), "POST", "/lint", &types.chain([("host", "localhost")]).collect::<Vec<_>>())
        };
        for media_type in ["application/yaml", "Application/JSON; charset=utf-8", "text/x-yaml", "text/yaml ;a=b"] {
            assert_eq!(post(&[media_type]), None, "{media_type}");
        }
        for media_type in [
            "text/plain",
            "text/plain;application/json",
            "text/plain, application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "",
        ] {
            assert_eq!(post(&[media_type]), Some(Foreign::MediaType), "{media_type}");
        }
        assert_eq!(post(&[]), Some(Foreign::MediaType), "none");
        assert_eq!(post(&["application/json", "text/plain"]), Some(Foreign::MediaType), "two");
    }

    #[test]
    fn names_are_names() {
        assert_eq!("Gateway.Internal.".parse(), Ok(HostName("gateway.internal".into())));
        for text in ["", "http://a", "a:7001", "a/b", "*", "ä", "a b"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
