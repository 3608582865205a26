//! Reading filters: every one that Spring has, taken or refused by name.

use std::sync::Arc;

use gray_document::Item;
use gray_expression::JavaForm;
use http::HeaderName;

use super::{
    FILTER, MAX_EDITS, SetStatus,
    answer::{Redirect, set_status},
    field::{FieldEdit, Value},
    location::{Location, Strip},
    name,
    path::{self, PathStep},
    query::{self, QueryEdit},
    replacement::Replacement,
    response::{Keep, ResponseEdit},
    secure::SecureHeaders,
    size::{FieldLimit, data_size},
    unknown,
};
use crate::{
    CircuitBreaker, FallbackHeaders, RateLimit, Retry, TokenCheck,
    breaker::BreakerSettings,
    definition::{self, Definition, Parameter, relaxed, truth},
    mapping::{Mapped, Mapping, OwnFilters},
    text::{TextPattern, quoted},
    variables::is_field_value,
};

/// What the counters of a rate limit take before a client is counted.
const RATE_LIMIT: usize = 8 << 10;

const NAME: Parameter = ("name", &[]);
const VALUE: Parameter = ("value", &[]);
const REGEXP: Parameter = ("regexp", &[]);
const REPLACEMENT: Parameter = ("replacement", &[]);

/// What filters of all routes go by.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// `filter.secure-headers`
    pub(crate) secure: SecureHeaders,
    /// `set-status.original-status-header-name`
    pub(crate) original_status: Option<HeaderName>,
    /// What documents say of circuit breakers by name.
    pub(crate) breakers: Arc<BreakerSettings>,
    /// Whether the documents have clients of OAuth2 (`spring.security.oauth2.client`).
    pub(crate) has_login: bool,
    /// What is said of beans (`gray.spring`).
    pub(crate) mapping: Arc<Mapping>,
    /// And of filters of the system's own.
    pub(crate) own: Arc<OwnFilters>,
}

/// One filter, read.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Nothing is to be done for it here.
    Nothing,
    PreserveHost,
    Host(Value),
    Retry(Retry),
    Breaker(Arc<CircuitBreaker>),
    FallbackHeaders(FallbackHeaders),
    MaxBody(u64),
    MaxField(FieldLimit),
    Token(Arc<TokenCheck>),
    Rate(RateLimit),
    Redirect(Redirect),
    Status(SetStatus),
    Path(PathStep),
    Query(QueryEdit),
    Fields(Vec<FieldEdit>),
    Response(ResponseEdit),
    /// The route answers 403: a filter that nothing stands for here guards it.
    Refused,
    /// Several in one place.
    Several(Vec<Filter>),
}

impl Filter {
    /// What it says about bodies of requests.
    pub(crate) fn max_body(&self) -> Option<u64> {
        match self {
            Self::MaxBody(max) => Some(*max),
            Self::Several(filters) => filters.iter().rev().find_map(Self::max_body),
            _ => None,
        }
    }

    /// As one that all routes share.
    pub(crate) fn common(self) -> Self {
        match self {
            Self::Rate(rate) => Self::Rate(rate.common()),
            Self::Several(filters) => Self::Several(filters.into_iter().map(Self::common).collect()),
            other => other,
        }
    }

    /// The variables of path or host that it asks for.
    pub(crate) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Host(value) => Box::new(value.names()),
            Self::Path(PathStep::Prefix(template) | PathStep::Set(template)) => Box::new(template.names()),
            Self::Query(edit) => Box::new(edit.names()),
            Self::Fields(edits) => Box::new(edits.iter().flat_map(FieldEdit::names)),
            Self::Response(edit) => Box::new(edit.names()),
            Self::Several(filters) => Box::new(filters.iter().flat_map(Self::names)),
            Self::Breaker(breaker) => Box::new(breaker.names()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Reads one filter; what is wrong with it is reported.
    pub(crate) fn read(item: &Item<'_>, common: &Common) -> Option<Self> {
        Self::of(Definition::parse(item, "filter")?, common)
    }

    /// The same, once it is taken apart.
    pub(crate) fn of(definition: Definition<'_>, common: &Common) -> Option<Self> {
        let item = &definition.at.clone();
        if !item.spend("filters", FILTER) {
            return None;
        }
        let name = definition.name.clone();
        match &*name {
            "Retry" => Retry::read(definition).map(Self::Retry),
            "CircuitBreaker" | "Hystrix" => {
                CircuitBreaker::read(definition, item, &common.breakers).map(|breaker| Self::Breaker(Arc::new(breaker)))
            }
            "FallbackHeaders" => FallbackHeaders::read(&definition).map(Self::FallbackHeaders),
            "RequestRateLimiter" if !item.spend("rate limits", RATE_LIMIT) => None,
            "RequestRateLimiter" => RateLimit::read(&definition, &common.mapping).map(Self::Rate),
            "JsonWebToken" => TokenCheck::read(definition).map(|token| Self::Token(Arc::new(token))),
            "RequestSize" => {
                let [max] = definition.bind([("maxSize", &["size"])], 1)?;
                Some(Self::MaxBody(max?.convert(data_size)?))
            }
            "RequestHeaderSize" => FieldLimit::read(&definition).map(Self::MaxField),
            "RedirectTo" => Redirect::read(&definition).map(Self::Redirect),
            "SetStatus" => {
                let [status] = definition.bind([("status", &[])], 1)?;
                let status = status?.convert(set_status)?;
                Some(Self::Status(SetStatus { status, original: common.original_status.clone() }))
            }
            // Spring ignores what is given to it, so it is often `=true`.
            "PreserveHostHeader" => Some(Self::PreserveHost),
            "CacheRequestBody" => Some(Self::Nothing),
            "SaveSession" => {
                item.warn("there are no sessions in this gateway, so there is nothing to save; the filter can go");
                Some(Self::Nothing)
            }
            "TokenRelay" if common.has_login => {
                item.error(
                    "filter `TokenRelay` passes on the token of a login at the gateway (`spring.security.oauth2.client`), and \
                     this gateway has no login: let the clients send their token in `Authorization`, which is passed on, or \
                     put the login in front",
                );
                None
            }
            "TokenRelay" => {
                item.warn(
                    "there is no login at this gateway, so there is no token of its own to pass on; what clients send in \
                     `Authorization` is passed on with or without the filter",
                );
                Some(Self::Nothing)
            }
            "StripPrefix" | "RewritePath" | "PrefixPath" | "SetPath" => read_path(&definition, item).map(Self::Path),
            "AddRequestParameter" | "RemoveRequestParameter" | "RewriteRequestParameter" => {
                read_query(&definition).map(Self::Query)
            }
            "AddRequestHeader"
            | "SetRequestHeader"
            | "RemoveRequestHeader"
            | "MapRequestHeader"
            | "AddRequestHeadersIfNotPresent"
            | "SetRequestHostHeader" => read_request(&definition),
            "AddResponseHeader"
            | "SetResponseHeader"
            | "RemoveResponseHeader"
            | "RewriteResponseHeader"
            | "DedupeResponseHeader"
            | "RewriteLocationResponseHeader" => read_response(&definition, item).map(Self::Response),
            "SecureHeaders" => common.secure.fields(definition).map(ResponseEdit::Defaults).map(Self::Response),
            name => match common.own.get(name) {
                Some(mapped) => Self::mapped(mapped, item),
                None => {
                    unknown::report(item, name);
                    None
                }
            },
        }
    }

    /// What stands for a filter of the system's own, in its place.
    fn mapped(mapped: &Mapped, item: &Item<'_>) -> Option<Self> {
        match mapped {
            Mapped::Invalid => None,
            Mapped::Drop(_) => Some(Self::Nothing),
            Mapped::Refuse => Some(Self::Refused),
            Mapped::Use(filters) => {
                let rates = filters.iter().filter(|filter| matches!(filter, Self::Rate(_))).count();
                let has_room =
                    item.spend("filters", FILTER * filters.len()) && item.spend("rate limits", RATE_LIMIT * rates);
                has_room.then(|| Self::Several(filters.clone()))
            }
        }
    }
}

fn read_path(definition: &Definition<'_>, item: &Item<'_>) -> Option<PathStep> {
    match &*definition.name {
        "StripPrefix" => {
            let [parts] = definition.bind([("parts", &[])], 0)?;
            let number =
                |text: &str| text.parse().map_err(|_| format!("expected a number of segments, found {}", quoted(text)));
            Some(PathStep::Strip(parts.map_or(Some(1), |parts| parts.convert(number))?))
        }
        "PrefixPath" => {
            let [prefix] = definition.bind([("prefix", &[])], 1)?;
            Some(PathStep::Prefix(prefix?.convert(path::template)?))
        }
        "SetPath" => {
            let [template] = definition.bind([("template", &[])], 1)?;
            Some(PathStep::Set(template?.convert(path::template)?))
        }
        _ => {
            let [regexp, replacement] = definition.bind([REGEXP, REPLACEMENT], 2)?;
            let regex = regexp?.exactly(|text| item.budget().expression(text, JavaForm::Within))?;
            let place = "a path unencoded";
            let replacement = replacement?.exactly(|text| Replacement::new(regex, text, path::write, place))?;
            Some(PathStep::Rewrite(replacement))
        }
    }
}

fn read_query(definition: &Definition<'_>) -> Option<QueryEdit> {
    match &*definition.name {
        "AddRequestParameter" => {
            let [name, value] = definition.bind([NAME, VALUE], 2)?;
            let value = value?.exactly(query::value)?;
            Some(QueryEdit::add(&name?.text, &value))
        }
        "RewriteRequestParameter" => {
            let [name, replacement] = definition.bind([NAME, REPLACEMENT], 2)?;
            Some(QueryEdit::replace(&name?.text, &replacement?.text))
        }
        _ => {
            let [name] = definition.bind([NAME], 1)?;
            Some(QueryEdit::Remove(name?.text.into()))
        }
    }
}

fn read_request(definition: &Definition<'_>) -> Option<Filter> {
    let edit = match &*definition.name {
        "AddRequestHeader" => field(definition).map(|(name, value)| FieldEdit::Add(name, value))?,
        "SetRequestHeader" => field(definition).map(|(name, value)| FieldEdit::Set(name, value))?,
        "RemoveRequestHeader" => {
            let [name] = definition.bind([NAME], 1)?;
            FieldEdit::Remove(name?.convert(name::removed)?)
        }
        "MapRequestHeader" => {
            let [from, to] = definition.bind([("fromHeader", &[]), ("toHeader", &[])], 2)?;
            let (from, to) = (from?, to?);
            let (source, to) = (from.convert(name::any)?, to.convert(name::written)?);
            if name::is_forwarded(source.as_str()) {
                from.at.warn(format!(
                    "`{source}` is what the client wrote, whether or not it is trusted; do not decide anything by `{to}`"
                ));
            }
            FieldEdit::Copy(source, to)
        }
        "SetRequestHostHeader" => {
            let [host] = definition.bind([("host", &[])], 1)?;
            return Some(Filter::Host(host?.convert(host_value)?));
        }
        _ => return defaults(definition).map(Filter::Fields),
    };
    Some(Filter::Fields(vec![edit]))
}

/// `AddRequestHeadersIfNotPresent=X-A:1, X-B:2`: the values of one name belong together.
fn defaults(definition: &Definition<'_>) -> Option<Vec<FieldEdit>> {
    let (pairs, _) = definition.gather(("keyValues", &["keyValue"]), None)?;
    if let Some(pair) = pairs.get(MAX_EDITS) {
        pair.at.error(format!("at most {MAX_EDITS} fields may be in one filter"));
        return None;
    }
    let mut edits: Vec<FieldEdit> = Vec::new();
    for pair in &pairs {
        let (name, value) = pair.exactly(|text| {
            let (name, value) =
                text.split_once(':').ok_or_else(|| format!("expected name:value, found {}", quoted(text)))?;
            Ok((name::written(name.trim())?, Value::parse(value)?))
        })?;
        let known = edits.iter_mut().find_map(|edit| match edit {
            FieldEdit::Default(known, values) if *known == name => Some(values),
            _ => None,
        });
        match known {
            Some(values) => values.push(value),
            None => edits.push(FieldEdit::Default(name, vec![value])),
        }
    }
    Some(edits)
}

fn read_response(definition: &Definition<'_>, item: &Item<'_>) -> Option<ResponseEdit> {
    match &*definition.name {
        "AddResponseHeader" => {
            let [name, value, always] = definition.bind([NAME, VALUE, ("override", &[])], 2)?;
            let (name, value) = (name?.convert(name::written)?, value?.exactly(Value::parse)?);
            let always = always.map_or(Some(true), |always| always.convert(truth))?;
            Some(ResponseEdit::Add { name, value, always })
        }
        "SetResponseHeader" => field(definition).map(|(name, value)| ResponseEdit::Set(name, value)),
        "RemoveResponseHeader" => {
            let [name] = definition.bind([NAME], 1)?;
            Some(ResponseEdit::Remove(name?.convert(name::removed)?))
        }
        "RewriteResponseHeader" => {
            let [name, regexp, replacement] = definition.bind([NAME, REGEXP, REPLACEMENT], 3)?;
            let name = name?.convert(name::written)?;
            let regex = regexp?.exactly(|text| item.budget().expression(text, JavaForm::Within))?;
            let write = |literal: char, out: &mut String| {
                is_field_value(literal.encode_utf8(&mut [0; 4])).then(|| out.push(literal))
            };
            let place = "the value of a header";
            let replacement = replacement?.exactly(|text| Replacement::new(regex, text, write, place))?;
            Some(ResponseEdit::Rewrite(name, replacement))
        }
        "DedupeResponseHeader" => {
            let [names, strategy] = definition.bind([NAME, ("strategy", &[])], 1)?;
            let names = names?.convert(|text| match text.split_whitespace().nth(MAX_EDITS) {
                Some(_) => Err(format!("at most {MAX_EDITS} fields may be in one filter")),
                None => text.split_whitespace().map(name::written).collect(),
            })?;
            let keep = strategy.map_or(Some(Keep::First), |strategy| strategy.convert(keep))?;
            Some(ResponseEdit::Dedupe(names, keep))
        }
        _ => location(definition, item),
    }
}

fn keep(text: &str) -> Result<Keep, String> {
    match relaxed(text).as_str() {
        "retainfirst" => Ok(Keep::First),
        "retainlast" => Ok(Keep::Last),
        "retainunique" => Ok(Keep::Unique),
        _ => Err(format!("expected RETAIN_FIRST, RETAIN_LAST or RETAIN_UNIQUE, found {}", quoted(text))),
    }
}

fn location(definition: &Definition<'_>, item: &Item<'_>) -> Option<ResponseEdit> {
    let parameters = [("stripVersion", &[][..]), ("locationHeaderName", &[]), ("hostValue", &[]), ("protocols", &[])];
    let [strip, name, host, protocols] = definition.bind(parameters, 0)?;
    let strip = strip.map_or(Some(Strip::AsInRequest), |strip| {
        strip.convert(|text| match relaxed(text).as_str() {
            "neverstrip" => Ok(Strip::Never),
            "asinrequest" => Ok(Strip::AsInRequest),
            "alwaysstrip" => Ok(Strip::Always),
            _ => Err(format!("expected NEVER_STRIP, AS_IN_REQUEST or ALWAYS_STRIP, found {}", quoted(text))),
        })
    })?;
    let name = name.map_or(Some(http::header::LOCATION), |name| name.convert(name::written))?;
    let host = match host {
        None => None,
        Some(host) => Some(host.convert(|text| is_like_host(text).map(|()| text.into()))?),
    };
    let protocols = match &protocols {
        None => TextPattern::new("https?|ftps?", item.budget()).map_err(|reason| item.error(reason)).ok()?,
        Some(protocols) => protocols.exactly(|text| TextPattern::new(text, item.budget()))?,
    };
    Some(ResponseEdit::Location(Arc::new(Location { name, strip, host, protocols, place: 0 })))
}

/// Reads the value of `SetRequestHostHeader`. With variables, what they make of it is checked when it is known.
fn host_value(text: &str) -> Result<Value, String> {
    let value = Value::parse(text)?;
    if matches!(value, Value::Fixed(_)) {
        is_like_host(text)?;
    }
    Ok(value)
}

fn is_like_host(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
    text.chars().all(fits).then_some(()).ok_or_else(|| format!("expected host or host:port, found {}", quoted(text)))
}

fn field(definition: &Definition<'_>) -> Option<(HeaderName, Value)> {
    let [name, value]: [Option<definition::Value<'_>>; 2] = definition.bind([NAME, VALUE], 2)?;
    Some((name?.convert(name::written)?, value?.exactly(Value::parse)?))
}
