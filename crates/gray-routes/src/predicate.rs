//! Predicates: what a request must look like for a route to take it.

use std::collections::HashSet;

use gray_document::{Budget, Item};
use gray_expression::{StepLimit, Steps};
use http::{HeaderName, Method, header::COOKIE};
use ipnet::IpNet;

use crate::{
    Lookup,
    definition::{Definition, Parameter, Value},
    network::{holds, network},
    pattern::{HostPattern, PathPattern},
    release::Dialect,
    text::{TextPattern, any, decoded, quoted, suggestion},
    variables::Variables,
    weight::Share,
};

/// What we know.
const KNOWN: [&str; 12] = [
    "Path",
    "Method",
    "Header",
    "Query",
    "Cookie",
    "Host",
    "RemoteAddr",
    "XForwardedRemoteAddr",
    "Weight",
    "After",
    "Before",
    "Between",
];
/// What else Spring knows, and what to use instead.
const REFUSED: [(&str, &str); 3] = [
    ("ReadBody", "it needs Java code, and nothing is decided by bodies here; use Header, Query or Path"),
    (
        "CloudFoundryRouteService",
        "write the three headers that it asks for with Header: `Header=X-CF-Forwarded-Url, .*`, ...",
    ),
    (
        "Version",
        "where the version of an API is found is set in Java or in `spring.webflux.apiversion`, which is not read here; use \
         Header, Query or Path",
    ),
];

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
    Path {
        patterns: Box<[PathPattern]>,
        trailing_slash: bool,
    },
    Method(Box<[Method]>),
    Header {
        name: HeaderName,
        value: Option<TextPattern>,
        latin1: bool,
    },
    Query {
        name: Box<str>,
        value: Option<TextPattern>,
    },
    Cookie {
        name: Box<str>,
        value: Option<TextPattern>,
        latin1: bool,
    },
    Host {
        patterns: Box<[HostPattern]>,
        with_port: bool,
    },
    RemoteAddr(Box<[IpNet]>),
    /// The client's address, behind trusted hops.
    ClientAddr(Box<[IpNet]>),
    /// From a moment up to another, in Unix seconds; that one is not a part of it.
    Time {
        from: u64,
        to: u64,
    },
    Weight(Share),
}

impl Predicate {
    /// Reads one predicate; what is wrong with it is reported.
    pub(super) fn read(item: &Item<'_>, dialect: Dialect) -> Option<Self> {
        if !item.spend("predicates", PREDICATE) {
            return None;
        }
        let budget = item.budget();
        let definition = Definition::parse(item, "predicate")?;
        let name = definition.name.clone();
        match &*name {
            "Path" if definition.is_bare() => {
                definition.at.warn(
                    "no pattern is given, so the route is never taken, as in Spring; write one, or remove the route",
                );
                Some(Self::Path { patterns: Box::default(), trailing_slash: true })
            }
            "Path" => {
                let flag = ("matchTrailingSlash", &["matchOptionalTrailingSeparator"][..]);
                let (patterns, flag) = definition.gather(("patterns", &["pattern"]), Some(flag))?;
                Some(Self::Path {
                    patterns: all(patterns, |text| PathPattern::parse(text, budget))?,
                    trailing_slash: flag.unwrap_or(!dialect.exact_end),
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
                let (name, value) = (name?.convert(header)?, pattern(value.as_ref(), budget)?);
                Some(Self::Header { name, value, latin1: dialect.latin1 })
            }
            "Query" => {
                let [name, value] = definition.bind([("param", &[]), REGEXP], 1)?;
                Some(Self::Query { name: name?.text.into(), value: pattern(value.as_ref(), budget)? })
            }
            "Cookie" => {
                let [name, value] = definition.bind([("name", &[]), REGEXP], 1)?;
                let (name, value) = (name?.text.into(), pattern(value.as_ref(), budget)?);
                Some(Self::Cookie { name, value, latin1: dialect.latin1 })
            }
            "Host" => {
                let (patterns, _) = definition.gather(("patterns", &["pattern"]), None)?;
                let patterns = all(patterns, |text| HostPattern::parse(text, dialect, budget))?;
                Some(Self::Host { patterns, with_port: dialect.with_port })
            }
            "RemoteAddr" => {
                let (sources, _) = definition.gather(("sources", &["source"]), None)?;
                all(sources, network).map(Self::RemoteAddr)
            }
            "XForwardedRemoteAddr" => {
                let mut definition = definition;
                if let Some(index) = definition.take("maxTrustedIndex", None).first() {
                    index.at.warn("`trustedHops` in the gray settings says which hops are believed, not how many");
                }
                let (sources, _) = definition.gather(("sources", &["source"]), None)?;
                all(sources, network).map(Self::ClientAddr)
            }
            "After" => {
                let [from] = definition.bind([("datetime", &[])], 1)?;
                Some(Self::Time { from: from?.convert(moment)?, to: u64::MAX })
            }
            "Before" => {
                let [to] = definition.bind([("datetime", &[])], 1)?;
                Some(Self::Time { from: 0, to: to?.convert(moment)? })
            }
            "Between" => {
                let [from, to] = definition.bind([("datetime1", &[]), ("datetime2", &[])], 2)?;
                let (from, to) = (from?.convert(moment)?, to?);
                let to = to.convert(|text| match moment(text)? {
                    end if end > from => Ok(end),
                    _ => Err(format!("{} is not after the time before it; write the earlier one first", quoted(text))),
                })?;
                Some(Self::Time { from, to })
            }
            "Weight" => {
                let parameters = [("group", &["weight.group"][..]), ("weight", &["weight.weight"][..])];
                let [group, weight] = definition.bind(parameters, 2)?;
                let number = |text: &str| {
                    text.parse().map_err(|_| format!("expected a weight, 0 to {}, found {}", u32::MAX, quoted(text)))
                };
                Some(Self::Weight(Share::new(&group?.text, weight?.convert(number)?)))
            }
            name => {
                unknown(item, name);
                None
            }
        }
    }

    /// Whether the request fulfils it when its path is read in this form.
    pub(super) fn matches(&self, path: &str, request: &impl Lookup, steps: &Steps) -> Result<bool, StepLimit> {
        Ok(match self {
            Self::Path { patterns, trailing_slash } => {
                any(patterns, |pattern| pattern.matches(path, *trailing_slash, steps))?
            }
            Self::Method(methods) => methods.iter().any(|method| *method == request.method()),
            Self::Header { name, value: None, .. } => request.headers(name).next().is_some(),
            Self::Header { name, value: Some(pattern), latin1 } => {
                any(request.headers(name), |value| pattern.matches_bytes(value, *latin1, steps))?
            }
            Self::Query { name, value } => {
                any(request.query(), |query| query_holds(query, name, value.as_ref(), steps))?
            }
            Self::Cookie { name, value, latin1 } => {
                let pattern = value.as_ref().map(|pattern| (pattern, *latin1));
                any(request.headers(&COOKIE), |field| cookie_holds(field, name, pattern, steps))?
            }
            Self::Host { patterns, with_port } => any(patterns, |pattern| {
                let host = if *with_port || pattern.has_port() { request.authority() } else { request.host() };
                host.map_or(Ok(false), |host| pattern.matches(host, steps))
            })?,
            Self::RemoteAddr(networks) => holds(networks, request.peer()),
            Self::ClientAddr(networks) => holds(networks, request.client_ip()),
            Self::Time { from, to } => (*from..*to).contains(&request.now()),
            Self::Weight(share) => share.holds(request.random()),
        })
    }

    /// The path patterns, if that is what it is.
    pub(super) fn paths(&self) -> Option<&[PathPattern]> {
        match self {
            Self::Path { patterns, .. } => Some(patterns),
            _ => None,
        }
    }

    /// The host patterns, if that is what it is.
    pub(super) fn hosts(&self) -> Option<&[HostPattern]> {
        if let Self::Host { patterns, .. } = self { Some(patterns) } else { None }
    }

    /// The variables that stand for something in every request that it takes.
    pub(super) fn variables(&self) -> HashSet<String> {
        match self {
            Self::Path { patterns, .. } => in_all(patterns.iter().map(PathPattern::names)),
            Self::Host { patterns, .. } => in_all(patterns.iter().map(HostPattern::names)),
            _ => HashSet::new(),
        }
    }

    /// Gets ready to tell the values of its variables.
    pub(super) fn prepare(&mut self, budget: &Budget) -> Result<(), String> {
        match self {
            Self::Path { patterns, .. } => patterns.iter_mut().try_for_each(|pattern| pattern.prepare(budget)),
            Self::Host { patterns, .. } => patterns.iter_mut().try_for_each(|pattern| pattern.prepare(budget)),
            _ => Ok(()),
        }
    }

    /// Tells the values of its variables: those of the first pattern that matches, as in Spring. `host` is written as it is compared.
    pub(super) fn capture<'n>(
        &'n self,
        path: &str,
        host: Option<&str>,
        variables: &mut Variables<'n>,
        steps: &Steps,
    ) -> Result<(), StepLimit> {
        match self {
            Self::Path { patterns, trailing_slash } => {
                for pattern in patterns {
                    if pattern.matches(path, *trailing_slash, steps)? {
                        return pattern.capture(path, variables, steps);
                    }
                }
            }
            Self::Host { patterns, .. } => {
                let host = host.unwrap_or_default();
                for pattern in patterns {
                    if pattern.matches(host, steps)? {
                        return pattern.capture(host, variables, steps);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Its share, if that is what it is.
    pub(super) fn share(&mut self) -> Option<&mut Share> {
        if let Self::Weight(share) = self { Some(share) } else { None }
    }

    /// Rank by effort: a cheap one that fails saves a dear one.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Method(_) | Self::Weight(_) => 0,
            Self::RemoteAddr(_) | Self::Time { .. } => 1,
            Self::Path { .. } => 2,
            Self::Host { .. } => 3,
            Self::Header { .. } | Self::ClientAddr(_) => 4,
            Self::Query { .. } | Self::Cookie { .. } => 5,
        }
    }
}

/// The names that are in each of these.
fn in_all<'n, I: Iterator<Item = &'n str>>(mut all: impl Iterator<Item = I>) -> HashSet<String> {
    let first: HashSet<&str> = all.next().into_iter().flatten().collect();
    let common = all.fold(first, |common, names| {
        let names: HashSet<&str> = names.collect();
        common.intersection(&names).copied().collect()
    });
    common.into_iter().map(str::to_owned).collect()
}

/// Reports a predicate that is not taken.
fn unknown(item: &Item<'_>, name: &str) {
    if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return item.error(format!("predicate `{name}` is not supported: {instead}"));
    }
    let (known, hint) = (KNOWN.join(", "), suggestion(name, KNOWN));
    let class: String = name.chars().take(60).filter(|c| c.is_alphanumeric()).collect();
    item.error(format!(
        "unknown predicate {}: not one of Spring Cloud Gateway, so the system's own Java class \
         ({class}RoutePredicateFactory), and no Java runs here{hint} (known are {known})",
        quoted(name)
    ));
}

/// A time as Java's `ZonedDateTime` writes it, or milliseconds since 1970; in Unix seconds.
fn moment(text: &str) -> Result<u64, String> {
    let millis = text.parse::<u64>().ok().map(|millis| millis / 1000);
    millis.or_else(|| gray_rules::time::parse_time(text)).ok_or_else(|| {
        format!(
            "expected a time with its offset, such as 2027-01-20T17:42:47+08:00[Asia/Shanghai], found {}",
            quoted(text)
        )
    })
}

/// Converts every value; each wrong one is reported.
fn all<T>(values: Vec<Value<'_>>, convert: impl Fn(&str) -> Result<T, String>) -> Option<Box<[T]>> {
    let converted: Vec<_> = values.iter().map(|value| value.convert(&convert)).collect();
    converted.into_iter().collect()
}

/// An optional expression; the outer `None` is a reported error.
fn pattern(value: Option<&Value<'_>>, budget: &Budget) -> Option<Option<TextPattern>> {
    value.map_or(Some(None), |value| value.exactly(|text| TextPattern::new(text, budget)).map(Some))
}

fn method(value: &Value<'_>) -> Option<Method> {
    if let Some(standard) =
        STANDARD_METHODS.iter().find(|method| method.as_str().eq_ignore_ascii_case(value.text.trim()))
    {
        return Some(standard.clone());
    }
    let hint = suggestion(&value.text, STANDARD_METHODS.iter().map(Method::as_str));
    let method = value
        .convert(|text| Method::from_bytes(text.as_bytes()).map_err(|_| format!("{} is not a method", quoted(text))))?;
    value.at.warn(format!("{} is not a standard method{hint}", quoted(&value.text)));
    Some(method)
}

fn query_holds(query: &str, name: &str, pattern: Option<&TextPattern>, steps: &Steps) -> Result<bool, StepLimit> {
    any(query.split('&'), |pair| {
        let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
        match (pattern, value) {
            _ if decoded(key, true) != name => Ok(false),
            (None, _) => Ok(true),
            (Some(_), None) => Ok(false),
            (Some(pattern), Some(value)) => pattern.matches(&decoded(value, true), steps),
        }
    })
}

fn cookie_holds(
    field: &[u8],
    name: &str,
    pattern: Option<(&TextPattern, bool)>,
    steps: &Steps,
) -> Result<bool, StepLimit> {
    any(field.split(|byte| *byte == b';'), |pair| {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (sides.next(), sides.next()) else { return Ok(false) };
        let value = value.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        match pattern {
            _ if key.trim_ascii() != name.as_bytes() => Ok(false),
            None => Ok(true),
            Some((pattern, latin1)) => pattern.matches_bytes(bare, latin1, steps),
        }
    })
}
