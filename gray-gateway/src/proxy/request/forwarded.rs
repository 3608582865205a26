//! `Forwarded` and `X-Forwarded-*`: where a request came from, and what it asked for before we changed it.
//!
//! Their values depend on the peer and on `Host`, which stay the same for a connection: they are rendered once.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use gray_settings::TrustedHeaders;

use crate::{
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
    values: Vec<(&'static str, String)>,
    /// The values as lines.
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

    /// How it was asked.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
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
        let mut values = vec![
            (forwarded_name, forwarded),
            (for_, self.peer.ip().to_string()),
            (proto, self.scheme.as_str().to_owned()),
        ];
        if let Some((text, port)) = named {
            values.extend([(host_name, text.to_owned()), (port_name, port.to_owned())]);
        }
        let lines = values.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>().into();
        Ok(Asked { host: named.map(|(text, _)| text.into()), name_len, values, lines })
    }

    /// Writes the lines. What a trusted peer said in its family of `fields` stays in front of what we say; in the other it
    /// may have passed on what another sender said.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        asked: &Asked,
        prefix: Option<&str>,
        trusted: Option<(Fields<'_, '_>, TrustedHeaders)>,
    ) {
        let Some((fields, family)) = trusted else {
            out.extend_from_slice(&asked.lines);
            if let Some(prefix) = prefix.filter(|prefix| prefix.is_ascii()) {
                // Writing to a vector does not fail.
                let _written = write!(out, "{PREFIX}: {prefix}\r\n");
            }
            return;
        };
        let ours = |name: &str| match asked.values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Some(&**value),
            None => prefix.filter(|_| name == PREFIX),
        };
        for name in NAMES {
            let mut begun = false;
            let is_theirs = (name == "forwarded") == (family == TrustedHeaders::Forwarded);
            let theirs = is_theirs.then(|| fields.all(name)).into_iter().flatten();
            for value in theirs.chain(ours(name).map(str::as_bytes)) {
                let before = if begun { ", " } else { name };
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(if begun { b"" } else { b": " });
                out.extend_from_slice(value);
                begun = true;
            }
            if begun {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http1::{read_request, room};

    /// What a request with these lines is sent on with.
    fn sent(forwarded: &Forwarded, lines: &str, prefix: Option<&str>, trusted: Option<TrustedHeaders>) -> String {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let mut room = room();
        let fields = read_request(text.as_bytes(), &mut room, 100).expect("a request").head.fields;
        let asked = forwarded.asked(fields.all("host").next()).expect("host");
        let mut out = Vec::new();
        forwarded.write(&mut out, &asked, prefix, trusted.map(|family| (fields, family)));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn strangers_are_overwritten_and_trusted_hops_continued() {
        let forwarded = Forwarded::new("[::ffff:9.9.9.9]:4321".parse().expect("peer"), Scheme::Http);
        let said = "Host: shop:7000\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n";
        let said = format!("{said}Forwarded: for=3.3.3.3\r\n");
        for (trusted, before, expect) in [
            (None, "", "9.9.9.9"),
            (Some(TrustedHeaders::XForwarded), "", "1.1.1.1, 2.2.2.2, 9.9.9.9"),
            (Some(TrustedHeaders::Forwarded), "for=3.3.3.3, ", "9.9.9.9"),
        ] {
            assert_eq!(
                sent(&forwarded, &said, Some("/order-api"), trusted),
                format!(
                    "forwarded: {before}proto=http;host=\"shop:7000\";for=\"9.9.9.9:4321\"\r\nx-forwarded-for: {expect}\r\n\
                     x-forwarded-proto: http\r\nx-forwarded-host: shop:7000\r\nx-forwarded-port: 7000\r\n\
                     x-forwarded-prefix: /order-api\r\n"
                )
            );
        }
        // Another Host on the same connection is read anew.
        let other = forwarded.asked(Some(b"other")).expect("host");
        assert_eq!((other.name(), forwarded.asked(None).expect("none").name()), (Some("other"), None));
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
