//! Where a fact comes from.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use http::{HeaderName, header};

use super::{Facts, Jwt, user_agent::Agent};

/// One fact about a request: what conditions test, shares hash and lanes are filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// First value of a header.
    Header(HeaderName),
    /// First value of a query parameter, percent-decoded.
    Query(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// A member of a cookie that holds JSON, percent-encoded or not.
    CookieJson {
        /// Name of the cookie.
        cookie: Box<str>,
        /// Members from the outside in.
        path: Box<[Box<str>]>,
    },
    /// A claim of a JSON Web Token.
    Claim {
        /// Where the token is, and whether its signature counts.
        jwt: Arc<Jwt>,
        /// Members from the outside in.
        path: Box<[Box<str>]>,
    },
    /// The method.
    Method,
    /// The path as sent.
    Path,
    /// The host that was asked for, in lower case.
    Host,
    /// Address of the client.
    Ip,
    /// City of the client, without a trailing 市.
    City,
    /// What the `User-Agent` gives away.
    UserAgent(Agent),
    /// The first of several that is there.
    FirstOf(Box<[Source]>),
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'r> {
    /// Bytes of the request, or made from them.
    Text(Cow<'r, [u8]>),
    /// An address.
    Ip(IpAddr),
}

impl<'r> Value<'r> {
    fn borrowed(text: &'r [u8]) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value as text, when it is one that may fill a lane.
    pub fn as_token(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok().filter(|text| gray_core::lane::is_token(text)),
            Self::Ip(_) => None,
        }
    }

    /// The value as an address, which a text may be as well.
    #[inline]
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            Self::Ip(ip) => Some(*ip),
        }
    }

    /// What is made of the bytes of it that a share hashes.
    #[inline]
    pub(super) fn hashed<T>(&self, made: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Text(text) => made(text),
            Self::Ip(IpAddr::V4(ip)) => made(&ip.octets()),
            Self::Ip(IpAddr::V6(ip)) => made(&ip.octets()),
        }
    }

    /// For people: at most 100 bytes of it.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => String::from_utf8_lossy(text.get(..100).unwrap_or(text)).into_owned(),
            Self::Ip(ip) => ip.to_string(),
        }
    }
}

impl Source {
    /// The fact of this request; `None` when it is missing. Empty is not missing.
    pub fn get<'r>(&self, facts: &'r impl Facts) -> Option<Value<'r>> {
        if let Some(known) = facts.kept(self) {
            return known;
        }
        match self {
            Self::Header(name) => facts.headers(name).next().map(Value::borrowed),
            Self::Query(name) => query(facts.query()?, name),
            Self::Cookie(name) => cookie(facts, name).map(Value::borrowed),
            Self::CookieJson { cookie: name, path } => {
                let text = decoded(cookie(facts, name)?, false);
                member(&serde_json::from_slice(&text).ok()?, path)
            }
            Self::Claim { jwt, path } => member(&jwt.claims(facts)?, path),
            Self::Method => Some(Value::borrowed(facts.method().as_bytes())),
            Self::Path => Some(Value::borrowed(facts.path().as_bytes())),
            Self::Host => facts.host().map(|host| lower(host.as_bytes())),
            Self::Ip => facts.client_ip().map(|ip| Value::Ip(ip.to_canonical())),
            Self::City => facts.city().map(|city| Value::borrowed(plain_city(city).as_bytes())),
            Self::UserAgent(agent) => {
                let text = facts.headers(&header::USER_AGENT).next()?;
                Some(Value::borrowed(agent.family(text).as_bytes()))
            }
            Self::FirstOf(sources) => sources.iter().find_map(|source| source.get(facts)),
        }
    }

    /// Whether the request has it as it is, so that asking for it costs little.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Header(_) | Self::Query(_) | Self::Cookie(_) => true,
            Self::Method | Self::Path | Self::Host | Self::Ip => true,
            Self::CookieJson { .. } | Self::Claim { .. } | Self::City | Self::UserAgent(_) => false,
            Self::FirstOf(sources) => sources.iter().all(Source::is_ready),
        }
    }

    /// The facts it is made of: itself, unless it is the first of several.
    pub fn parts(&self) -> Vec<&Source> {
        match self {
            Self::FirstOf(sources) => sources.iter().flat_map(Source::parts).collect(),
            source => vec![source],
        }
    }

    /// Whether it, or a part of it, satisfies `is`.
    pub fn any(&self, is: &dyn Fn(&Source) -> bool) -> bool {
        is(self) || matches!(self, Self::FirstOf(sources) if sources.iter().any(|source| source.any(is)))
    }
}

/// ip2region says 杭州市 where people write 杭州.
pub fn plain_city(name: &str) -> &str {
    let name = name.trim();
    name.strip_suffix('市').unwrap_or(name)
}

fn lower(text: &[u8]) -> Value<'_> {
    if text.iter().any(u8::is_ascii_uppercase) {
        Value::Text(Cow::Owned(text.to_ascii_lowercase()))
    } else {
        Value::borrowed(text)
    }
}

fn query<'r>(query: &'r str, name: &str) -> Option<Value<'r>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| *decoded(key.as_bytes(), true) == *name.as_bytes())?;
    Some(Value::Text(decoded(value.as_bytes(), true)))
}

fn cookie<'r>(facts: &'r impl Facts, name: &str) -> Option<&'r [u8]> {
    find_cookie(facts.headers(&header::COOKIE), name)
}

/// The first cookie of this name in `Cookie` headers (RFC 6265, 4.2), without quotes.
pub fn find_cookie<'r>(mut lines: impl Iterator<Item = &'r [u8]>, name: &str) -> Option<&'r [u8]> {
    lines.find_map(|line| line.split(|byte| *byte == b';').find_map(|pair| value_of(pair, name)))
}

fn value_of<'r>(pair: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// Percent-decoded; a broken escape stays as it is.
fn decoded(text: &[u8], plus: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| *byte == b'%' || (plus && *byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high * 16 + low) as u8),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(if plus && byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// The fact, when the request has it once: of two, it is unknown which one counts.
pub(super) fn only<'r>(source: &Source, facts: &'r impl Facts) -> Option<Value<'r>> {
    if let Some(known) = facts.kept(source) {
        return known;
    }
    let is_one = match source {
        Source::Header(name) => facts.headers(name).take(2).count() == 1,
        Source::Cookie(name) => {
            let pairs = facts.headers(&header::COOKIE).flat_map(|line| line.split(|byte| *byte == b';'));
            pairs.filter(|pair| value_of(pair, name).is_some()).take(2).count() == 1
        }
        Source::Query(name) => {
            let names = facts.query()?.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
            names.filter(|found| *decoded(found.as_bytes(), true) == *name.as_bytes()).take(2).count() == 1
        }
        _ => true,
    };
    if is_one { source.get(facts) } else { None }
}

/// A scalar inside of JSON, as text.
fn member(json: &serde_json::Value, path: &[Box<str>]) -> Option<Value<'static>> {
    let found = path.iter().try_fold(json, |json, key| json.get(&**key))?;
    let text = match found {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    Some(Value::Text(Cow::Owned(text.into_bytes())))
}

impl fmt::Display for Source {
    /// As documents name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
            Self::CookieJson { cookie, path } => write!(f, "cookie-json.{cookie}.{}", path.join(".")),
            Self::Claim { path, .. } => write!(f, "jwt.{}", path.join(".")),
            Self::Method => f.write_str("method"),
            Self::Path => f.write_str("path"),
            Self::Host => f.write_str("host"),
            Self::Ip => f.write_str("ip"),
            Self::City => f.write_str("city"),
            Self::UserAgent(agent) => write!(f, "user-agent.{}", agent.as_str()),
            Self::FirstOf(sources) => {
                let names: Vec<_> = sources.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}
