//! `Forwarded` and `X-Forwarded-*`: where a request came from, and what it asked for before we changed it.
//!
//! Their values depend on the peer and on `Host`, which stay the same for a connection: they are rendered once.

use std::{cell::RefCell, fmt::Write, net::SocketAddr, rc::Rc};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::scheme::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What one connection's requests are forwarded with.
pub(super) struct Forwarded {
    peer: SocketAddr,
    peer_ip: HeaderValue,
    scheme: Scheme,
    /// As of the last request.
    asked: RefCell<Option<Rc<Asked>>>,
    prefix: RefCell<Option<HeaderValue>>,
}

/// A `Host` header, read.
#[derive(Debug)]
pub(super) struct Asked {
    /// As sent; `None` with HTTP/1.0 only.
    host: Option<HeaderValue>,
    name_len: usize,
    port: Option<HeaderValue>,
    forwarded: HeaderValue,
}

impl Asked {
    /// The host without its port.
    pub(super) fn name(&self) -> Option<&str> {
        self.host.as_ref()?.to_str().ok()?.get(..self.name_len)
    }
}

impl Forwarded {
    pub(super) fn new(peer: SocketAddr, scheme: Scheme) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer_ip = value(&peer.ip().to_string());
        Self { peer, peer_ip, scheme, asked: RefCell::default(), prefix: RefCell::default() }
    }

    /// The peer's socket; IPv4 is never written as IPv6.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Reads the `Host` header, of which there is one at most.
    ///
    /// # Errors
    /// When it is no host.
    pub(super) fn asked(&self, headers: &HeaderMap) -> Result<Rc<Asked>, &'static str> {
        let host = headers.get(header::HOST);
        let mut cached = self.asked.borrow_mut();
        match &*cached {
            Some(asked) if asked.host.as_ref() == host => Ok(Rc::clone(asked)),
            _ => Ok(Rc::clone(cached.insert(Rc::new(self.read(host)?)))),
        }
    }

    fn read(&self, host: Option<&HeaderValue>) -> Result<Asked, &'static str> {
        let mut forwarded = format!("proto={};", self.scheme);
        let (mut name_len, mut port) = (0, None);
        if let Some(host) = host {
            let text = host.to_str().ok().filter(|text| is_host(text)).ok_or("Host is no host")?;
            let (name, number) = split(text, self.scheme).ok_or("Host is no host")?;
            name_len = name.len();
            port = Some(value(number));
            // Writing to a string does not fail.
            let _written = write!(forwarded, "host=\"{text}\";");
        }
        let _written = write!(forwarded, "for=\"{}\"", self.peer);
        Ok(Asked { host: host.cloned(), name_len, port, forwarded: value(&forwarded) })
    }

    /// Sets the headers; what a trusted peer said stays in front of what we say.
    pub(super) fn set(&self, headers: &mut HeaderMap, asked: &Asked, prefix: Option<&str>, trusted: bool) {
        let mut put = |name: HeaderName, ours: HeaderValue| {
            if trusted { append(headers, name, &ours) } else { drop(headers.insert(name, ours)) }
        };
        put(header::FORWARDED, asked.forwarded.clone());
        put(X_FORWARDED_FOR, self.peer_ip.clone());
        put(X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme.as_str()));
        if let (Some(host), Some(port)) = (&asked.host, &asked.port) {
            put(X_FORWARDED_HOST, host.clone());
            put(X_FORWARDED_PORT, port.clone());
        }
        if let Some(prefix) = prefix.and_then(|prefix| self.prefix(prefix)) {
            put(X_FORWARDED_PREFIX, prefix);
        }
    }

    fn prefix(&self, prefix: &str) -> Option<HeaderValue> {
        let mut cached = self.prefix.borrow_mut();
        if cached.as_ref().is_none_or(|cached| cached.as_bytes() != prefix.as_bytes()) {
            *cached = HeaderValue::from_str(prefix).ok();
        }
        cached.clone()
    }
}

/// Joins a list header with one more element, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, ours: &HeaderValue) {
    let mut line = Vec::new();
    for value in headers.get_all(&name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(ours.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&line).unwrap_or_else(|_| ours.clone()));
}

/// A value from text that is known to be plain.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]!$&'()*+,;=%".contains(&byte))
}

/// `name:port`, with the scheme's port when there is none.
fn split(host: &str, scheme: Scheme) -> Option<(&str, &str)> {
    let name_len = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at_checked(name_len)?;
    let default_port = match scheme {
        Scheme::Http => "80",
        Scheme::Https => "443",
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => default_port,
        None => return None,
        Some("") => default_port,
        Some(port) => port.parse::<u16>().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit())).map(|_| port)?,
    };
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_or_refused() {
        for (host, expect) in [
            ("a", ("a", "80")),
            ("a.b:7000", ("a.b", "7000")),
            ("a:", ("a", "80")),
            ("[::1]", ("[::1]", "80")),
            ("[::1]:81", ("[::1]", "81")),
        ] {
            assert_eq!(split(host, Scheme::Http), Some(expect), "{host}");
        }
        for host in ["a:b", "a:1:2", "::1", ":80", "[::1", "[::1]x", "a:65536", "a:+1"] {
            assert_eq!(split(host, Scheme::Http), None, "{host}");
        }
        for host in ["", "a/b", "a@b", "a\"b", "a b", "a\\b", "a?b", "ä"] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn strangers_are_overwritten_and_trusted_hops_continued() {
        let forwarded = Forwarded::new("[::ffff:9.9.9.9]:4321".parse().expect("peer"), Scheme::Http);
        let host = HeaderValue::from_static("shop:7000");
        for (trusted, expect) in [(false, "9.9.9.9"), (true, "1.1.1.1, 2.2.2.2, 9.9.9.9")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.clone());
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1"));
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static("2.2.2.2"));
            let asked = forwarded.asked(&headers).expect("host");
            assert_eq!(asked.name(), Some("shop"));
            forwarded.set(&mut headers, &asked, Some("/order-api"), trusted);
            assert_eq!(headers[X_FORWARDED_FOR], expect);
            assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
            assert_eq!(headers[header::FORWARDED], "proto=http;host=\"shop:7000\";for=\"9.9.9.9:4321\"");
            assert_eq!(headers[X_FORWARDED_HOST], "shop:7000");
            assert_eq!(headers[X_FORWARDED_PORT], "7000");
            assert_eq!(headers[X_FORWARDED_PREFIX], "/order-api");
        }
        // Another Host on the same connection is read anew.
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("other"));
        assert_eq!(forwarded.asked(&headers).expect("host").name(), Some("other"));
    }

    #[test]
    fn what_came_by_tls_is_said_to_be_https() {
        let forwarded = Forwarded::new("9.9.9.9:4321".parse().expect("peer"), Scheme::Https);
        for (host, port) in [("shop", "443"), ("shop:7443", "7443")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            let asked = forwarded.asked(&headers).expect("host");
            forwarded.set(&mut headers, &asked, None, false);
            assert_eq!(headers[header::FORWARDED], format!("proto=https;host=\"{host}\";for=\"9.9.9.9:4321\""));
            assert_eq!(headers[X_FORWARDED_PROTO], "https");
            assert_eq!(headers[X_FORWARDED_PORT], port);
        }
    }
}
