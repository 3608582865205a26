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
    route::{ForwardedFields, OriginField},
    scheme::Scheme,
};

const PREFIX: &str = "x-forwarded-prefix";

/// The fields that are set here.
const NAMES: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", PREFIX];

/// Those of them that say one thing each, in the order in which they are written.
const X_FIELDS: [(OriginField, &str); 5] = [
    (OriginField::For, NAMES[1]),
    (OriginField::Proto, NAMES[2]),
    (OriginField::Host, NAMES[3]),
    (OriginField::Port, NAMES[4]),
    (OriginField::Prefix, PREFIX),
];

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

    /// Writes the lines of `fields`. The scheme, the host and the port are one value each: what a trusted peer says in its family, for
    /// `client`, or else what reached us. An application behind us makes links of them, and its framework takes a list for nonsense
    /// (Tomcat's RemoteIpValve) or for its first value (Spring's ForwardedHeaderFilter). Of the addresses and the prefixes,
    /// what the trusted peer said stays in front of what we say. A field that is not written is passed on of a trusted peer alone.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        asked: &Asked,
        prefix: Option<&str>,
        trusted: Option<(Fields<'_, '_>, TrustedHeaders, IpAddr)>,
        fields: ForwardedFields,
    ) {
        let prefix = prefix.filter(|prefix| prefix.is_ascii());
        if trusted.is_none() && fields.are_all() {
            out.extend_from_slice(&asked.lines);
            if let Some(prefix) = prefix {
                // Writing to a vector does not fail.
                let _written = write!(out, "{PREFIX}: {prefix}\r\n");
            }
            return;
        }
        let (theirs, client) = match trusted {
            Some((theirs, family, client)) => (Some((theirs, family)), client),
            None => (None, self.peer.ip()),
        };
        let is_x = !matches!(theirs, Some((_, TrustedHeaders::Forwarded)));
        let (own, said) = (self.said(asked, None), self.said(asked, theirs));
        let append = |out: &mut Vec<u8>, name: &str, is_theirs: bool, ours: Option<&str>| {
            let theirs = theirs.filter(|_| is_theirs).map(|(theirs, _)| theirs.all(name)).into_iter().flatten();
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
        if !fields.writes(OriginField::Forwarded) {
            append(out, NAMES[0], !is_x, None);
        } else if is_x {
            // In `Forwarded` the other family's words are said anew: the client first, then who passed it on.
            let _written = write!(out, "{}: proto={};", NAMES[0], said.scheme);
            if let Some(host) = said.authority() {
                let _written = write!(out, "host=\"{host}\";");
            }
            let _written = match client {
                client if client == self.peer.ip() => write!(out, "for=\"{}\"\r\n", self.peer),
                IpAddr::V4(client) => write!(out, "for={client}, for=\"{}\"\r\n", self.peer),
                IpAddr::V6(client) => write!(out, "for=\"[{client}]\", for=\"{}\"\r\n", self.peer),
            };
        } else {
            append(out, NAMES[0], true, Some(&format!("for=\"{}\"", self.peer)));
        }
        let peer = self.peer.ip().to_string();
        let with_client = (!is_x && client != self.peer.ip()).then(|| format!("{client}, {peer}"));
        for (field, name) in X_FIELDS {
            let continues = fields.continues(field);
            let said = if continues { &said } else { &own };
            let ours = match field {
                _ if !fields.writes(field) => {
                    append(out, name, is_x, None);
                    continue;
                }
                OriginField::For => {
                    let with_client = with_client.as_deref().filter(|_| continues);
                    append(out, name, is_x && continues, Some(with_client.unwrap_or(&peer)));
                    continue;
                }
                OriginField::Prefix | OriginField::Forwarded => {
                    append(out, name, is_x && (continues || prefix.is_none()), prefix);
                    continue;
                }
                OriginField::Proto => Some(said.scheme.as_str()),
                OriginField::Host => said.host,
                OriginField::Port => said.host.map(|_| said.port()),
            };
            append(out, name, false, ours);
        }
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
mod tests;
