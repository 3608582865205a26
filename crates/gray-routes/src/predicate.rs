//! Predicates: what a request must look like for a route to take it.

use gray_document::{Budget, Item};
use http::{HeaderName, Method, header::COOKIE};
use ipnet::IpNet;

use crate::{
    Lookup,
    definition::{Definition, Parameter, Value},
    pattern::{HostPattern, PathPattern},
    text::{TextPattern, decoded, quoted, suggestion},
    weight::Share,
};

/// What we know.
const KNOWN: [&str; 8] = ["Path", "Method", "Header", "Query", "Cookie", "Host", "RemoteAddr", "Weight"];
/// What else Spring knows.
const SPRING: [&str; 7] =
    ["After", "Before", "Between", "ReadBody", "CloudFoundryRouteService", "XForwardedRemoteAddr", "Version"];

const STANDARD_METHODS: [Method; 9] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
    Method::CONNECT,
    Method::PATCH,
    Method::TRACE,
];

/// What a predicate takes besides its patterns.
const PREDICATE: usize = 256;

const REGEXP: Parameter = ("regexp", &[]);

/// One condition, compiled.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Path { patterns: Box<[PathPattern]>, trailing_slash: bool },
    Method(Box<[Method]>),
    Header { name: HeaderName, value: Option<TextPattern> },
    Query { name: Box<str>, value: Option<TextPattern> },
    Cookie { name: Box<str>, value: Option<TextPattern> },
    Host(Box<[HostPattern]>),
    RemoteAddr(Box<[IpNet]>),
    Weight(Share),
}

impl Predicate {
    /// Reads one predicate; what is wrong with it is reported.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        if !item.spend("predicates", PREDICATE) {
            return None;
        }
        let budget = item.budget();
        let definition = Definition::parse(item, "predicate")?;
        match definition.name {
            "Path" => {
                let flag = ("matchTrailingSlash", &["matchOptionalTrailingSeparator"][..]);
                let (patterns, flag) = definition.gather(("patterns", &["pattern"]), Some(flag))?;
                Some(Self::Path {
                    patterns: all(patterns, |text| PathPattern::parse(text, budget))?,
                    trailing_slash: flag.unwrap_or(true),
                })
            }
            "Method" => {
                let (methods, _) = definition.gather(("methods", &["method"]), None)?;
                let methods: Option<Box<[_]>> = methods.iter().map(method).collect();
                methods.map(Self::Method)
            }
            "Header" => {
                let [name, value] = definition.bind([("header", &[]), REGEXP], 1)?;
                let header = |text: &str| text.parse().map_err(|_| format!("{} is not a header name", quoted(text)));
                Some(Self::Header { name: name?.convert(header)?, value: pattern(value.as_ref(), budget)? })
            }
            "Query" => {
                let [name, value] = definition.bind([("param", &[]), REGEXP], 1)?;
                Some(Self::Query { name: name?.text.into(), value: pattern(value.as_ref(), budget)? })
            }
            "Cookie" => {
                let [name, value] = definition.bind([("name", &[]), REGEXP], 1)?;
                Some(Self::Cookie { name: name?.text.into(), value: pattern(value.as_ref(), budget)? })
            }
            "Host" => {
                let (patterns, _) = definition.gather(("patterns", &["pattern"]), None)?;
                all(patterns, |text| HostPattern::parse(text, budget)).map(Self::Host)
            }
            "RemoteAddr" => {
                let (sources, _) = definition.gather(("sources", &["source"]), None)?;
                all(sources, network).map(Self::RemoteAddr)
            }
            "Weight" => {
                let parameters = [("group", &["weight.group"][..]), ("weight", &["weight.weight"][..])];
                let [group, weight] = definition.bind(parameters, 2)?;
                let number = |text: &str| {
                    text.parse().map_err(|_| format!("expected a weight, 0 to {}, found {}", u32::MAX, quoted(text)))
                };
                Some(Self::Weight(Share::new(group?.text, weight?.convert(number)?)))
            }
            name if SPRING.contains(&name) => {
                item.error(format!("predicate `{name}` is not supported; supported are {}", KNOWN.join(", ")));
                None
            }
            name => {
                let (known, hint) = (KNOWN.join(", "), suggestion(name, KNOWN));
                item.error(format!("unknown predicate {}{hint} (known are {known})", quoted(name)));
                None
            }
        }
    }

    /// Whether the request fulfils it when its path is read in this form.
    pub(super) fn matches(&self, path: &str, request: &impl Lookup) -> bool {
        match self {
            Self::Path { patterns, trailing_slash } => {
                patterns.iter().any(|pattern| pattern.matches(path, *trailing_slash))
            }
            Self::Method(methods) => methods.iter().any(|method| *method == request.method()),
            Self::Header { name, value: None } => request.headers(name).next().is_some(),
            Self::Header { name, value: Some(pattern) } => {
                request.headers(name).any(|value| pattern.matches_bytes(value))
            }
            Self::Query { name, value } => {
                request.query().is_some_and(|query| query_holds(query, name, value.as_ref()))
            }
            Self::Cookie { name, value } => {
                request.headers(&COOKIE).any(|field| cookie_holds(field, name, value.as_ref()))
            }
            Self::Host(patterns) => {
                request.host().is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
            }
            Self::RemoteAddr(networks) => {
                let peer = request.peer().map(|peer| peer.to_canonical());
                peer.is_some_and(|peer| networks.iter().any(|network| network.contains(&peer)))
            }
            Self::Weight(share) => share.holds(request.random()),
        }
    }

    /// The path patterns, if that is what it is.
    pub(super) fn paths(&self) -> Option<&[PathPattern]> {
        match self {
            Self::Path { patterns, .. } => Some(patterns),
            _ => None,
        }
    }

    /// Its share, if that is what it is.
    pub(super) fn share(&mut self) -> Option<&mut Share> {
        if let Self::Weight(share) = self { Some(share) } else { None }
    }

    /// Rank by effort: a cheap one that fails saves a dear one.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Method(_) | Self::Weight(_) => 0,
            Self::RemoteAddr(_) => 1,
            Self::Path { .. } => 2,
            Self::Host(_) => 3,
            Self::Header { .. } => 4,
            Self::Query { .. } | Self::Cookie { .. } => 5,
        }
    }
}

/// Converts every value; each wrong one is reported.
fn all<'d, T>(values: Vec<Value<'d>>, convert: impl Fn(&'d str) -> Result<T, String>) -> Option<Box<[T]>> {
    let converted: Vec<_> = values.iter().map(|value| value.convert(&convert)).collect();
    converted.into_iter().collect()
}

/// An optional expression; the outer `None` is a reported error.
fn pattern(value: Option<&Value<'_>>, budget: &Budget) -> Option<Option<TextPattern>> {
    value.map_or(Some(None), |value| value.convert(|text| TextPattern::new(text, budget)).map(Some))
}

fn method(value: &Value<'_>) -> Option<Method> {
    if let Some(standard) = STANDARD_METHODS.iter().find(|method| method.as_str().eq_ignore_ascii_case(value.text)) {
        return Some(standard.clone());
    }
    let hint = suggestion(value.text, STANDARD_METHODS.iter().map(Method::as_str));
    let method = value
        .convert(|text| Method::from_bytes(text.as_bytes()).map_err(|_| format!("{} is not a method", quoted(text))))?;
    value.at.warn(format!("{} is not a standard method{hint}", quoted(value.text)));
    Some(method)
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    network.map_err(|_| format!("{} is not an address or a network such as 10.0.0.0/8", quoted(text)))
}

fn query_holds(query: &str, name: &str, pattern: Option<&TextPattern>) -> bool {
    query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
        decoded(key, true) == name
            && pattern.is_none_or(|pattern| value.is_some_and(|value| pattern.matches(&decoded(value, true))))
    })
}

fn cookie_holds(field: &[u8], name: &str, pattern: Option<&TextPattern>) -> bool {
    field.split(|byte| *byte == b';').any(|pair| {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (sides.next(), sides.next()) else { return false };
        let value = value.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii() == name.as_bytes() && pattern.is_none_or(|pattern| pattern.matches_bytes(bare))
    })
}
