//! Names of facts.

use std::str::FromStr;

use http::HeaderName;

use crate::{Agent, Source};

/// For messages.
pub(super) const BUILTIN: &str = "header.NAME, query.NAME, cookie.NAME, cookie-json.NAME.MEMBER, jwt.CLAIM, method, path, host, \
                                  ip, city, user-agent.os, user-agent.family";

/// What names of facts begin with, and what stands where facts do.
pub(super) const FIRST_PARTS: [&str; 13] = [
    "header",
    "query",
    "cookie",
    "cookie-json",
    "jwt",
    "method",
    "path",
    "host",
    "ip",
    "city",
    "user-agent",
    "time",
    "random",
];

/// Whether the first part of a name is taken.
pub(super) fn is_builtin(name: &str) -> bool {
    FIRST_PARTS.contains(&name.split('.').next().unwrap_or(name))
}

/// A built-in fact by name, except claims of a token: `header.X-User-No`, `cookie.vip`, `path`.
pub fn parse_source(text: &str) -> Option<Source> {
    let (kind, name) = text.split_once('.').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let name = name.filter(|name| !name.is_empty());
    match (kind, name) {
        ("header", Some(name)) => HeaderName::from_str(name).ok().map(Source::Header),
        ("query", Some(name)) => Some(Source::Query(name.into())),
        ("cookie", Some(name)) => Some(Source::Cookie(name.into())),
        ("cookie-json", Some(name)) => {
            let (cookie, path) = name.split_once('.')?;
            Some(Source::CookieJson { cookie: cookie.into(), path: path.split('.').map(Into::into).collect() })
        }
        ("user-agent", Some("os")) => Some(Source::UserAgent(Agent::Os)),
        ("user-agent", Some("family")) => Some(Source::UserAgent(Agent::Family)),
        ("method", None) => Some(Source::Method),
        ("path", None) => Some(Source::Path),
        ("host", None) => Some(Source::Host),
        ("ip", None) => Some(Source::Ip),
        ("city", None) => Some(Source::City),
        _ => None,
    }
}
