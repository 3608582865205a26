//! Servers that publish the keys of tokens.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// Longest address, in bytes.
const MAX_BYTES: usize = 1024;

/// A server that publishes the keys of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyServer {
    /// Where a key set is (RFC 7517, 5).
    KeySet(KeyUrl),
    /// An issuer, which says where its key set is (OpenID Connect Discovery, 4); its tokens have it as `iss`.
    Issuer(KeyUrl),
}

impl KeyServer {
    /// An issuer.
    ///
    /// # Errors
    /// When the text is not the URL of one.
    pub fn issuer_of(text: &str) -> Result<Self, InvalidUrl> {
        let url: KeyUrl = text.parse()?;
        if url.path.contains('?') {
            return Err(InvalidUrl("the URL of an issuer has no query"));
        }
        Ok(Self::Issuer(url))
    }

    /// A key set.
    ///
    /// # Errors
    /// When the text is not the URL of one.
    pub fn key_set_at(text: &str) -> Result<Self, InvalidUrl> {
        text.parse().map(Self::KeySet)
    }

    /// What is asked first: the key set, or what the issuer says of itself.
    pub fn first(&self) -> KeyUrl {
        match self {
            Self::KeySet(url) => url.clone(),
            Self::Issuer(issuer) => {
                let below = |text: &str| format!("{}/.well-known/openid-configuration", text.trim_end_matches('/'));
                KeyUrl { text: below(&issuer.text).into(), path: below(&issuer.path).into(), ..issuer.clone() }
            }
        }
    }

    /// Whose tokens alone count.
    pub fn issuer(&self) -> Option<&str> {
        match self {
            Self::KeySet(_) => None,
            Self::Issuer(url) => Some(&url.text),
        }
    }

    /// As documents name it.
    pub fn as_str(&self) -> &str {
        let (Self::KeySet(url) | Self::Issuer(url)) = self;
        &url.text
    }
}

impl fmt::Display for KeyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of something about keys: `https://` or `http://`, without a user and a fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyUrl {
    text: Box<str>,
    is_https: bool,
    host: Box<str>,
    port: u16,
    path: Box<str>,
}

impl KeyUrl {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https://`.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host in lower case: a name, or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, be it written or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the port is the scheme's own.
    pub fn is_usual_port(&self) -> bool {
        self.port == usual_port(self.is_https)
    }

    /// The path with the query.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn usual_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// The text is not an address of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected one such as https://login.example/realms/shop")]
pub struct InvalidUrl(&'static str);

impl FromStr for KeyUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(InvalidUrl("the URL has more than 1024 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(InvalidUrl("a URL has no blanks, no `\\` and nothing but ASCII"));
        }
        if text.contains('#') {
            return Err(InvalidUrl("a fragment (`#`) is never sent"));
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl("not a URL"))?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(InvalidUrl("keys are fetched by https:// (by http:// from servers that --key-server names)"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(InvalidUrl("a URL of keys has no user and no password"));
        }
        let (host, port) = host_and_port(authority).ok_or(InvalidUrl("the URL has no valid host and port"))?;
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
        Ok(Self { text: text.into(), is_https, host, port: port.unwrap_or(usual_port(is_https)), path })
    }
}

fn host_and_port(authority: &str) -> Option<(Box<str>, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let _address: Ipv6Addr = host.parse().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_part) {
        return None;
    }
    let port = match port {
        None => None,
        Some(port) => Some(port_number(port)?),
    };
    Some((host.to_ascii_lowercase().into(), port))
}

fn port_number(text: &str) -> Option<u16> {
    // Digits alone: `parse` would take a sign.
    let port = text.parse().ok().filter(|port| *port > 0)?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_url_of_keys() {
        for (text, expect) in [
            ("https://login.example", "true login.example 443 /"),
            ("HTTPS://Login.Example:8443/a?b=c", "true login.example 8443 /a?b=c"),
            ("http://keycloak/realms/shop/", "false keycloak 80 /realms/shop/"),
            ("http://[::1]:8080?x", "false ::1 8080 /?x"),
        ] {
            let url: KeyUrl = text.parse().expect(text);
            assert_eq!(format!("{} {} {} {}", url.is_https(), url.host(), url.port(), url.path()), expect, "{text}");
        }
        for text in [
            "",
            "login.example",
            "ftp://login.example/",
            "file:///etc/passwd",
            "https://",
            "https:///keys",
            "https://user@login.example/",
            "https://a:b@login.example/",
            "https://login.example/#x",
            "https://login.example\\@evil/",
            "https://login example/",
            "https://login.example:0/",
            "https://login.example:+1/",
            "https://login.example:65536/",
            "https://login.example:/",
            "https://[::1/",
            "https://[login]/",
            "https://登录.example/",
        ] {
            assert!(text.parse::<KeyUrl>().is_err(), "{text}");
        }
        assert!(format!("https://a/{}", "x".repeat(MAX_BYTES)).parse::<KeyUrl>().is_err());
    }

    #[test]
    fn an_issuer_says_where_its_keys_are() {
        for (text, first) in [
            ("https://a", "/.well-known/openid-configuration"),
            ("https://a/", "/.well-known/openid-configuration"),
            ("https://a/realms/b", "/realms/b/.well-known/openid-configuration"),
        ] {
            let server = KeyServer::issuer_of(text).expect(text);
            assert_eq!((server.first().path(), server.issuer()), (first, Some(text)));
            assert!(server.first().as_str().starts_with("https://a/"), "{}", server.first().as_str());
        }
        assert!(KeyServer::issuer_of("https://a/?b").is_err());
        let set = KeyServer::key_set_at("https://a/keys?b").expect("a URL");
        assert_eq!((set.first().path(), set.issuer()), ("/keys?b", None));
    }
}
