//! Filters: what is changed between the client's request and the instance's, and on the way back.

use std::{borrow::Cow, sync::Arc};

use gray_core::GRAY_HEADER;
use gray_document::Item;
use gray_expression::{Expression, Form};
use http::{HeaderName, HeaderValue, header};

use crate::{
    RateLimit, Retry, TokenCheck,
    definition::{Definition, Parameter, Value},
    lookup::is_same,
    text::{quoted, suggestion},
};

const KNOWN: [&str; 10] = [
    "StripPrefix",
    "RewritePath",
    "AddRequestHeader",
    "RemoveRequestHeader",
    "AddResponseHeader",
    "PreserveHostHeader",
    "Retry",
    "RequestSize",
    "RequestRateLimiter",
    "JsonWebToken",
];

/// Fields whose meaning belongs to the connection or the message, so that only the proxy itself may touch them.
const OURS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
];
const OURS_TOO: [&str; 2] = ["keep-alive", "proxy-connection"];

/// What a filter takes, and once more on every route that it is for.
pub(super) const FILTER: usize = 256;
/// What the counters of a rate limit take before anybody is counted.
const RATE_LIMIT: usize = 8 << 10;

const NAME: Parameter = ("name", &[]);
const VALUE: Parameter = ("value", &[]);

/// What one route changes, in the order of the document.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Send the client's Host header on instead of the instance's.
    pub preserve_host: bool,
    /// Which answers are not the last word.
    pub retry: Option<Retry>,
    /// Longest body of a request, in bytes.
    pub max_body: Option<u64>,
    /// Who may pass at all.
    pub token: Option<Arc<TokenCheck>>,
    /// How many may pass; all of these.
    pub rates: Vec<RateLimit>,
    path: Vec<PathStep>,
    removed: Vec<HeaderName>,
    added: Vec<(HeaderName, HeaderValue)>,
    response: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Debug)]
enum PathStep {
    Strip(usize),
    Rewrite { regex: Expression, replacement: Box<[Piece]> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

#[derive(Clone, Debug)]
enum HeaderStep {
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Filters {
    /// Whether the instance gets to see another path.
    pub fn change_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// The path that the instance gets to see. It has no empty segments that the filters made: servers differ in what they
    /// take them for.
    pub fn rewrite<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let rewritten = self.path.iter().fold(Cow::Borrowed(path), |path, step| match path {
            Cow::Borrowed(path) => step.apply(path),
            Cow::Owned(path) => Cow::Owned(step.apply(&path).into_owned()),
        });
        match rewritten {
            Cow::Owned(made) if made.contains("//") && !path.contains("//") => Cow::Owned(merged(&made)),
            rewritten => rewritten,
        }
    }

    /// What [`rewrite`](Self::rewrite) takes off the beginning of this path, for `X-Forwarded-Prefix`.
    pub fn stripped_prefix<'p>(&self, original: &'p str) -> Option<&'p str> {
        if self.path.is_empty() {
            return None;
        }
        let rewritten = self.rewrite(original);
        // `/order-api` becomes `/`: the slash is ours, the prefix is all of it.
        let kept = if rewritten == "/" && !original.ends_with('/') { "" } else { &*rewritten };
        original.strip_suffix(kept).filter(|prefix| !prefix.is_empty())
    }

    /// Whether the client's fields of this name stay behind. The case does not matter, nor whether there is `_` or `.` for
    /// `-`: some backends take these for the same name.
    pub fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| is_same(name, removed.as_str()))
    }

    /// The fields that the request gets besides.
    pub fn added(&self) -> &[(HeaderName, HeaderValue)] {
        &self.added
    }

    /// The fields that the response gets besides.
    pub fn added_to_response(&self) -> &[(HeaderName, HeaderValue)] {
        &self.response
    }
}

impl PathStep {
    fn apply<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match self {
            Self::Strip(parts) => strip(path, *parts),
            Self::Rewrite { regex, replacement } => rewrite(path, regex, replacement),
        }
    }
}

/// Takes off the first segments. Empty segments do not count, and none are left behind, as in Spring.
fn strip(path: &str, parts: usize) -> Cow<'_, str> {
    let mut rest = path;
    for _ in 0..parts {
        let segment = rest.trim_start_matches('/');
        rest = segment.find('/').and_then(|end| segment.get(end..)).unwrap_or_default();
    }
    if rest.trim_matches('/').is_empty() {
        return Cow::Borrowed("/");
    }
    if rest.starts_with('/') && !rest.as_bytes().windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(rest);
    }
    Cow::Owned(merged(rest))
}

/// Without empty segments, but for the slash at the end.
fn merged(path: &str) -> String {
    let mut clean = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        clean.push('/');
        clean.push_str(segment);
    }
    if path.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// Java's `replaceAll`. Whatever the expression makes of a path, it stays one.
fn rewrite<'p>(path: &'p str, regex: &Expression, replacement: &[Piece]) -> Cow<'p, str> {
    let rewritten = regex.replace_all(path, |groups, out| {
        for piece in replacement {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(group) => groups.get(*group).unwrap_or_default(),
            });
        }
    });
    if rewritten.starts_with('/') { rewritten } else { Cow::Owned(format!("/{rewritten}")) }
}

/// One filter, read.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    PreserveHost,
    Retry(Retry),
    MaxBody(u64),
    Token(Arc<TokenCheck>),
    Rate(RateLimit),
    Path(Step),
    Request(HeaderChange),
    Response(HeaderName, HeaderValue),
}

/// Opaque outside this file.
#[derive(Clone, Debug)]
pub(super) struct Step(PathStep);
/// Opaque outside this file.
#[derive(Clone, Debug)]
pub(super) struct HeaderChange(HeaderStep);

impl Extend<Filter> for Filters {
    fn extend<I: IntoIterator<Item = Filter>>(&mut self, filters: I) {
        for filter in filters {
            match filter {
                Filter::PreserveHost => self.preserve_host = true,
                Filter::Retry(retry) => self.retry = Some(retry),
                Filter::MaxBody(max) => self.max_body = Some(max),
                Filter::Token(token) => self.token = Some(token),
                Filter::Rate(rate) => self.rates.push(rate),
                Filter::Path(Step(step)) => self.path.push(step),
                Filter::Request(HeaderChange(HeaderStep::Add(name, value))) => self.added.push((name, value)),
                Filter::Request(HeaderChange(HeaderStep::Remove(name))) => {
                    // What was added before goes as well, what is added later stays.
                    self.added.retain(|(added, _)| !is_same(added.as_str(), name.as_str()));
                    self.removed.push(name);
                }
                Filter::Response(name, value) => self.response.push((name, value)),
            }
        }
    }
}

impl Filter {
    /// What it says about bodies of requests.
    pub(super) fn max_body(&self) -> Option<u64> {
        if let Self::MaxBody(max) = self { Some(*max) } else { None }
    }

    /// As one that all routes share.
    pub(super) fn common(self) -> Self {
        match self {
            Self::Rate(rate) => Self::Rate(rate.common()),
            other => other,
        }
    }

    /// Reads one filter; what is wrong with it is reported.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        if !item.spend("filters", FILTER) {
            return None;
        }
        let definition = Definition::parse(item, "filter")?;
        match definition.name {
            "StripPrefix" => {
                let [parts] = definition.bind([("parts", &[])], 0)?;
                let number = |text: &str| {
                    text.parse().map_err(|_| format!("expected a number of segments, found {}", quoted(text)))
                };
                let parts = parts.map_or(Some(1), |parts| parts.convert(number))?;
                Some(Self::Path(Step(PathStep::Strip(parts))))
            }
            "RewritePath" => {
                let [regexp, replacement] = definition.bind([("regexp", &[]), ("replacement", &[])], 2)?;
                let regex = regexp?.convert(|text| item.budget().expression(text, Form::Within))?;
                let replacement = replacement?.convert(|text| pieces(text, &regex))?;
                Some(Self::Path(Step(PathStep::Rewrite { regex, replacement })))
            }
            "AddRequestHeader" => {
                let (name, value) = field(definition.bind([NAME, VALUE], 2)?)?;
                Some(Self::Request(HeaderChange(HeaderStep::Add(name, value))))
            }
            "RemoveRequestHeader" => {
                let [name] = definition.bind([NAME], 1)?;
                Some(Self::Request(HeaderChange(HeaderStep::Remove(name?.convert(field_name)?))))
            }
            "AddResponseHeader" => {
                let (name, value) = field(definition.bind([NAME, VALUE], 2)?)?;
                Some(Self::Response(name, value))
            }
            "Retry" => Retry::read(definition).map(Self::Retry),
            "RequestRateLimiter" if !item.spend("rate limits", RATE_LIMIT) => None,
            "RequestRateLimiter" => RateLimit::read(&definition).map(Self::Rate),
            "JsonWebToken" => TokenCheck::read(definition).map(|token| Self::Token(Arc::new(token))),
            "RequestSize" => {
                let [max] = definition.bind([("maxSize", &["size"])], 1)?;
                Some(Self::MaxBody(max?.convert(data_size)?))
            }
            "PreserveHostHeader" => definition.bind([], 0).map(|[]| Self::PreserveHost),
            name => {
                let (known, hint) = (KNOWN.join(", "), suggestion(name, KNOWN));
                item.error(format!("unknown or unsupported filter {}{hint} (supported are {known})", quoted(name)));
                None
            }
        }
    }
}

/// Spring's `DataSize`: `5MB`, `500KB`, a bare number is bytes. Multiples of 1024.
fn data_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "KB" => Some(10),
        "MB" => Some(20),
        "GB" => Some(30),
        _ => None,
    };
    let size = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(1 << scale));
    size.ok_or_else(|| format!("expected a size such as 5MB, 500KB or 1000 (bytes), found {}", quoted(text)))
}

fn field([name, value]: [Option<Value<'_>>; 2]) -> Option<(HeaderName, HeaderValue)> {
    Some((name?.convert(field_name)?, value?.convert(field_value)?))
}

fn field_name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text.parse().map_err(|_| format!("{} is not a header name", quoted(text)))?;
    if name == GRAY_HEADER {
        return Err(format!("header `{name}` carries the gateway's own decision and cannot be changed by a filter"));
    }
    if name == header::HOST {
        return Err("header `host` cannot be changed by a filter; PreserveHostHeader keeps the client's".to_owned());
    }
    if OURS.contains(&name) || OURS_TOO.contains(&name.as_str()) {
        return Err(format!("header `{name}` belongs to the connection and cannot be changed by a filter"));
    }
    Ok(name)
}

fn field_value(text: &str) -> Result<HeaderValue, String> {
    if text.contains('{') {
        return Err(format!("{}: variables of the path or host in a value are not supported", quoted(text)));
    }
    text.parse().map_err(|_| format!("{} cannot be the value of a header", quoted(text)))
}

/// Takes a Java replacement apart: `$1`, `${name}`, `\x` for a literal; and Spring's `$\{name}`, which keeps YAML
/// placeholders away.
fn pieces(text: &str, regex: &Expression) -> Result<Box<[Piece]>, String> {
    let replacement = text.replace("$\\", "$");
    let problem = |reason: String| format!("replacement {}: {reason}", quoted(text));
    let (mut pieces, mut plain) = (Vec::new(), String::new());
    let mut rest = replacement.as_str();
    while let Some(next) = rest.chars().next() {
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
        let literal = match next {
            '$' => {
                let (group, after) = reference(rest, regex).map_err(problem)?;
                pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
                pieces.push(Piece::Group(group));
                rest = after;
                continue;
            }
            '\\' => {
                let escaped = rest.chars().next().ok_or_else(|| problem("ends in a backslash".to_owned()))?;
                rest = rest.get(escaped.len_utf8()..).unwrap_or_default();
                escaped
            }
            literal => literal,
        };
        if !literal.is_ascii_graphic() || matches!(literal, '?' | '#' | '<' | '>' | '`' | '\\') {
            return Err(problem(format!("`{}` cannot stand in a path unencoded", literal.escape_debug())));
        }
        plain.push(literal);
    }
    pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
    Ok(pieces.into())
}

/// The group that `1...` or `{name}...` refers to, and what comes after.
fn reference<'t>(text: &'t str, regex: &Expression) -> Result<(usize, &'t str), String> {
    if let Some(named) = text.strip_prefix('{') {
        let (name, after) = named.split_once('}').ok_or("`${` is never closed")?;
        let group = regex.group(name);
        return group.map(|group| (group, after)).ok_or_else(|| format!("no group is called {}", quoted(name)));
    }
    // As many digits as still name a group, as in Java.
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let groups = (1..=digits).rev().filter_map(|length| Some((text.get(..length)?.parse().ok()?, text.get(length..)?)));
    let found = { groups }.find(|(group, _)| *group < regex.groups());
    found.ok_or_else(|| "`$` must be followed by the number or {name} of a group (a plain one is `\\$`)".to_owned())
}
