//! `Forwarded` and `X-Forwarded-*`: where a request came from, and what it asked for before we changed it.
//!
//! Their values depend on the peer and on `Host`, which stay the same for a connection: they are rendered once.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use gray_settings::TrustedHeaders;

use crate::{
    client_address::{parameter, unquoted_parts},
    proxy::http1::{Fields, read_host},
    scheme::Scheme,
};

const PREFIX: &str = "x-forwarded-prefix";

/// The fields that are set here.
const NAMES: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", PREFIX];

/// Whether a field is set here, so that it is not passed on as it came.
pub(super) fn is_set(name: &str) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What one connection's requests are forwarded with.
#[derive(Clone)]
pub(in crate::proxy) struct Forwarded {
    peer: SocketAddr,
    scheme: Scheme,
    /// As of the last request; the streams of an HTTP/2 connection share it.
    asked: Rc<RefCell<Option<Rc<Asked>>>>,
}

/// A `Host` header, read.
#[derive(Debug)]
pub(super) struct Asked {
    /// As sent; `None` with HTTP/1.0 only.
    host: Option<Box<str>>,
    name_len: usize,
    /// What it is forwarded with, as lines.
    lines: Vec<u8>,
}

impl Asked {
    /// The host without its port.
    pub(in crate::proxy) fn name(&self) -> Option<&str> {
        self.host.as_ref()?.get(..self.name_len)
    }

    /// The host as sent.
    pub(in crate::proxy) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
}

impl Forwarded {
    pub(in crate::proxy) fn new(peer: SocketAddr, scheme: Scheme) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self { peer, scheme, asked: Rc::default() }
    }

    /// The peer's address; IPv4 is never written as IPv6.
    pub(in crate::proxy) fn peer(&self) -> IpAddr {
        self.peer.ip()
    }

    /// Reads the `Host` header, of which there is one at most.
    ///
    /// # Errors
    /// When it is not a valid host.
    pub(super) fn asked(&self, host: Option<&[u8]>) -> Result<Rc<Asked>, &'static str> {
        let mut cached = self.asked.borrow_mut();
        match &*cached {
            Some(asked) if asked.host.as_ref().map(|host| host.as_bytes()) == host => Ok(Rc::clone(asked)),
            _ => Ok(Rc::clone(cached.insert(Rc::new(self.read(host)?)))),
        }
    }

    fn read(&self, host: Option<&[u8]>) -> Result<Asked, &'static str> {
        let mut forwarded = format!("proto={};", self.scheme);
        let (mut name_len, mut named) = (0, None);
        if let Some(host) = host {
            let invalid = "Host is not a host name or address with an optional port";
            let text = std::str::from_utf8(host).map_err(|_| invalid)?;
            let (name, port) = read_host(text).ok_or(invalid)?;
            let port = port.unwrap_or(match self.scheme {
                Scheme::Http => "80",
                Scheme::Https => "443",
            });
            name_len = name.len();
            named = Some((text, port));
            // Writing to a string does not fail.
            let _written = write!(forwarded, "host=\"{text}\";");
        }
        let _written = write!(forwarded, "for=\"{}\"", self.peer);
        let [forwarded_name, for_, proto, host_name, port_name, _] = NAMES;
        let peer = self.peer.ip();
        let mut lines = format!("{forwarded_name}: {forwarded}\r\n{for_}: {peer}\r\n{proto}: {}\r\n", self.scheme);
        if let Some((text, port)) = named {
            let _written = write!(lines, "{host_name}: {text}\r\n{port_name}: {port}\r\n");
        }
        Ok(Asked { host: named.map(|(text, _)| text.into()), name_len, lines: lines.into() })
    }

    /// What the client itself has asked, as a trusted peer says it in its family of fields, else as it reached us.
    pub(super) fn said<'f>(&self, asked: &'f Asked, trusted: Option<(Fields<'_, 'f>, TrustedHeaders)>) -> Said<'f> {
        let own = Said { scheme: self.scheme, host: asked.host(), port: None };
        let Some((fields, family)) = trusted else { return own };
        let value = |name: &str, parameter: &str| match family {
            TrustedHeaders::XForwarded => first(fields, name),
            TrustedHeaders::Forwarded => forwarded_parameter(fields, parameter),
        };
        let scheme = value(NAMES[2], "proto").and_then(read_scheme);
        let host = value(NAMES[3], "host").filter(|host| read_host(host).is_some());
        let port = (family == TrustedHeaders::XForwarded).then(|| first(fields, NAMES[4])).flatten();
        let port = port.filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        Said { scheme: scheme.unwrap_or(own.scheme), host: host.or(own.host), port }
    }

    /// Writes the lines. The scheme, the host and the port are one value each: what a trusted peer says in its family of `fields`,
    /// for `client`, or else what reached us. An application behind us makes links of them, and its framework takes a list for nonsense
    /// (Tomcat's RemoteIpValve) or for its first value (Spring's ForwardedHeaderFilter). Of the addresses and the prefixes,
    /// what the trusted peer said stays in front of what we say.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        asked: &Asked,
        prefix: Option<&str>,
        trusted: Option<(Fields<'_, '_>, TrustedHeaders, IpAddr)>,
    ) {
        let Some((fields, family, client)) = trusted else {
            out.extend_from_slice(&asked.lines);
            if let Some(prefix) = prefix.filter(|prefix| prefix.is_ascii()) {
                // Writing to a vector does not fail.
                let _written = write!(out, "{PREFIX}: {prefix}\r\n");
            }
            return;
        };
        let [forwarded, for_, proto, host_name, port_name, _] = NAMES;
        let is_x = family == TrustedHeaders::XForwarded;
        let said = self.said(asked, Some((fields, family)));
        let append = |out: &mut Vec<u8>, name: &str, is_theirs: bool, ours: Option<&str>| {
            let theirs = is_theirs.then(|| fields.all(name)).into_iter().flatten();
            let mut begun = false;
            for value in theirs.chain(ours.map(str::as_bytes)) {
                let before = if begun { ", " } else { name };
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(if begun { b"" } else { b": " });
                out.extend_from_slice(value);
                begun = true;
            }
            if begun {
                out.extend_from_slice(b"\r\n");
            }
        };
        if is_x {
            // In `Forwarded` the other family's words are said anew: the client first, then who passed it on.
            let _written = write!(out, "{forwarded}: proto={};", said.scheme);
            if let Some(host) = said.authority() {
                let _written = write!(out, "host=\"{host}\";");
            }
            let _written = match client {
                client if client == self.peer.ip() => write!(out, "for=\"{}\"\r\n", self.peer),
                IpAddr::V4(client) => write!(out, "for={client}, for=\"{}\"\r\n", self.peer),
                IpAddr::V6(client) => write!(out, "for=\"[{client}]\", for=\"{}\"\r\n", self.peer),
            };
        } else {
            append(out, forwarded, true, Some(&format!("for=\"{}\"", self.peer)));
        }
        let peer = self.peer.ip().to_string();
        match (is_x, client == self.peer.ip()) {
            (true, _) => append(out, for_, true, Some(&peer)),
            (false, true) => append(out, for_, false, Some(&peer)),
            (false, false) => append(out, for_, false, Some(&format!("{client}, {peer}"))),
        }
        let _written = write!(out, "{proto}: {}\r\n", said.scheme);
        if let Some(host) = said.host {
            let _written = write!(out, "{host_name}: {host}\r\n{port_name}: {}\r\n", said.port());
        }
        append(out, PREFIX, is_x, prefix.filter(|prefix| prefix.is_ascii()));
    }
}

/// What a client has asked, before it was passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'f> {
    pub(super) scheme: Scheme,
    /// As in `Host`; `None` with HTTP/1.0 only.
    host: Option<&'f str>,
    /// The port, where it is said by itself.
    port: Option<&'f str>,
}

impl<'f> Said<'f> {
    fn usual_port(&self) -> &'static str {
        match self.scheme {
            Scheme::Http => "80",
            Scheme::Https => "443",
        }
    }

    fn port(&self) -> &'f str {
        let of_host = self.host.and_then(read_host).and_then(|(_, port)| port);
        self.port.or(of_host).unwrap_or_else(|| self.usual_port())
    }

    /// The host, with its port unless that is the usual one of the scheme.
    pub(super) fn authority(&self) -> Option<Cow<'f, str>> {
        let host = self.host?;
        let has_port = read_host(host).is_some_and(|(_, port)| port.is_some());
        Some(match self.port() {
            port if has_port || port == self.usual_port() => host.into(),
            port => format!("{host}:{port}").into(),
        })
    }
}

fn read_scheme(text: &str) -> Option<Scheme> {
    match text {
        text if text.eq_ignore_ascii_case("https") || text.eq_ignore_ascii_case("wss") => Some(Scheme::Https),
        text if text.eq_ignore_ascii_case("http") || text.eq_ignore_ascii_case("ws") => Some(Scheme::Http),
        _ => None,
    }
}

/// The first of the values of a field: what the proxy nearest to the client wrote.
fn first<'f>(fields: Fields<'_, 'f>, name: &str) -> Option<&'f str> {
    let value = std::str::from_utf8(fields.all(name).next()?).ok()?;
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// A parameter of the first element of `Forwarded`.
fn forwarded_parameter<'f>(fields: Fields<'_, 'f>, name: &str) -> Option<&'f str> {
    let text = std::str::from_utf8(fields.all(NAMES[0]).next()?).ok()?;
    parameter(unquoted_parts(text, ',')?.first()?, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http1::{read_request, room};

    /// What a request with these lines is sent on with.
    fn sent(
        forwarded: &Forwarded,
        lines: &str,
        prefix: Option<&str>,
        trusted: Option<(TrustedHeaders, &str)>,
    ) -> String {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let mut room = room();
        let fields = read_request(text.as_bytes(), &mut room, 100).expect("a request").head.fields;
        let asked = forwarded.asked(fields.all("host").next()).expect("host");
        let mut out = Vec::new();
        forwarded.write(
            &mut out,
            &asked,
            prefix,
            trusted.map(|(family, client)| (fields, family, client.parse().expect("ip"))),
        );
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn strangers_are_overwritten_and_trusted_hops_continued() {
        let forwarded = Forwarded::new("[::ffff:9.9.9.9]:4321".parse().expect("peer"), Scheme::Http);
        let said = "Host: shop:7000\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n";
        let said = format!("{said}Forwarded: for=3.3.3.3\r\n");
        for (trusted, said_first, expect) in [
            (None, "proto=http;host=\"shop:7000\";for=\"9.9.9.9:4321\"", "9.9.9.9"),
            (
                Some((TrustedHeaders::XForwarded, "2.2.2.2")),
                "proto=http;host=\"shop:7000\";for=2.2.2.2, for=\"9.9.9.9:4321\"",
                "1.1.1.1, 2.2.2.2, 9.9.9.9",
            ),
            (Some((TrustedHeaders::Forwarded, "3.3.3.3")), "for=3.3.3.3, for=\"9.9.9.9:4321\"", "3.3.3.3, 9.9.9.9"),
            (Some((TrustedHeaders::Forwarded, "9.9.9.9")), "for=3.3.3.3, for=\"9.9.9.9:4321\"", "9.9.9.9"),
        ] {
            assert_eq!(
                sent(&forwarded, &said, Some("/order-api"), trusted),
                format!(
                    "forwarded: {said_first}\r\nx-forwarded-for: {expect}\r\n\
                     x-forwarded-proto: http\r\nx-forwarded-host: shop:7000\r\nx-forwarded-port: 7000\r\n\
                     x-forwarded-prefix: /order-api\r\n"
                )
            );
        }
        // Another Host on the same connection is read anew.
        let other = forwarded.asked(Some(b"other")).expect("host");
        assert_eq!((other.name(), forwarded.asked(None).expect("none").name()), (Some("other"), None));
    }

    /// What an edge in front of us says is one value each, and the same in both families.
    #[test]
    fn the_edge_says_what_the_client_has_asked() {
        let forwarded = Forwarded::new("10.0.0.1:4321".parse().expect("peer"), Scheme::Http);
        for (said, proto, host, port, authority) in [
            ("X-Forwarded-Proto: https\r\n", "https", "gw:7000", "7000", "gw:7000"),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n", "https", "shop", "443", "shop"),
            (
                "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nX-Forwarded-Port: 443\r\n",
                "https",
                "shop",
                "443",
                "shop",
            ),
            (
                "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: shop\r\nX-Forwarded-Port: 8443\r\n",
                "https",
                "shop",
                "8443",
                "shop:8443",
            ),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop:8443\r\n", "https", "shop:8443", "8443", "shop:8443"),
            ("X-Forwarded-Proto: https, http\r\nX-Forwarded-Proto: http\r\n", "https", "gw:7000", "7000", "gw:7000"),
            // What cannot be is not said on.
            (
                "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\nX-Forwarded-Port: 0\r\n",
                "http",
                "gw:7000",
                "7000",
                "gw:7000",
            ),
            ("X-Forwarded-Port: 99999\r\n", "http", "gw:7000", "7000", "gw:7000"),
        ] {
            let lines = format!("Host: gw:7000\r\nX-Forwarded-For: 9.9.9.9\r\n{said}");
            assert_eq!(
                sent(&forwarded, &lines, None, Some((TrustedHeaders::XForwarded, "9.9.9.9"))),
                format!(
                    "forwarded: proto={proto};host=\"{authority}\";for=9.9.9.9, for=\"10.0.0.1:4321\"\r\n\
                     x-forwarded-for: 9.9.9.9, 10.0.0.1\r\nx-forwarded-proto: {proto}\r\nx-forwarded-host: {host}\r\n\
                     x-forwarded-port: {port}\r\n"
                ),
                "{said}"
            );
        }
        let lines = "Host: gw:7000\r\nForwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop:8443\"\r\nX-Forwarded-Proto: ws\r\n";
        assert_eq!(
            sent(&forwarded, lines, None, Some((TrustedHeaders::Forwarded, "2001:db8::1"))),
            "forwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop:8443\", for=\"10.0.0.1:4321\"\r\n\
             x-forwarded-for: 2001:db8::1, 10.0.0.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop:8443\r\n\
             x-forwarded-port: 8443\r\n"
        );
        // A stranger says nothing.
        let said = "Host: gw:7000\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n";
        assert!(!sent(&forwarded, said, None, None).contains("evil"));
    }

    #[test]
    fn what_came_by_tls_is_said_to_be_https() {
        let forwarded = Forwarded::new("9.9.9.9:4321".parse().expect("peer"), Scheme::Https);
        for (host, port) in [("shop", "443"), ("shop:7443", "7443")] {
            assert_eq!(
                sent(&forwarded, &format!("Host: {host}\r\n"), None, None),
                format!(
                    "forwarded: proto=https;host=\"{host}\";for=\"9.9.9.9:4321\"\r\nx-forwarded-for: 9.9.9.9\r\n\
                     x-forwarded-proto: https\r\nx-forwarded-host: {host}\r\nx-forwarded-port: {port}\r\n"
                )
            );
        }
    }
}
