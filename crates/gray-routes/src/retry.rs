//! Spring's `Retry` filter: answers that are not the last word.

use http::Method;

use super::{
    definition::{Definition, Value, relaxed},
    filter,
    text::quoted,
};

/// Which answers send a request to another instance. What comes of it is bounded twice: by `retries` for one request, and
/// by the retry budget for all of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Most times that one request is sent again.
    pub retries: usize,
    statuses: Vec<u16>,
    /// First digits.
    series: Vec<u16>,
    methods: Vec<Method>,
}

impl Retry {
    /// Whether a request is sent again after this answer.
    pub fn covers(&self, method: &Method, status: u16) -> bool {
        self.methods.contains(method) && (self.statuses.contains(&status) || self.series.contains(&(status / 100)))
    }

    pub(super) fn read(mut definition: Definition<'_>) -> Option<Self> {
        let (statuses, methods) = (definition.take("statuses", Some(1)), definition.take("methods", Some(2)));
        let series = definition.take("series", None);
        let no_effect = |values: Vec<Value<'_>>, why: &str| {
            if let Some(value) = values.first() {
                value.at.warn(format!("has no effect: {why}"));
            }
        };
        no_effect(
            definition.take("exceptions", None),
            "a connection that breaks is tried again for every idempotent request, with or without this filter",
        );
        let waits = ["firstBackoff", "maxBackoff", "factor", "basedOnPreviousValue"];
        for (place, name) in (3..).zip(waits) {
            let why = "it goes to another instance at once; the retry budget keeps retries from becoming a storm";
            no_effect(definition.take(&format!("backoff.{name}"), Some(place)), why);
        }
        no_effect(definition.take("timeout", None), "metadata.response-timeout limits the wait for an answer");
        let [retries] = definition.bind([("retries", &[])], 0)?;
        let number = |text: &str| match text.parse::<usize>() {
            Ok(number @ 0..=10) => Ok(number),
            _ => Err(format!("expected a number from 0 to 10, found {}", quoted(text))),
        };
        let retries = retries.map_or(Some(3), |retries| retries.convert(number))?;
        let all = |values: Vec<Value<'_>>, one: fn(&str) -> Result<u16, String>| -> Option<Vec<u16>> {
            if let Some(value) = values.get(200) {
                value.at.error("more values than there are statuses of errors; write each once");
                return None;
            }
            let read: Vec<_> = values.iter().map(|value| value.convert(one)).collect();
            read.into_iter().collect()
        };
        let has_statuses = !statuses.is_empty();
        let (statuses, mut series) = (all(statuses, status)?, all(series, self::series)?);
        if series.is_empty() && !has_statuses {
            series.push(5);
        }
        let mut allowed = Vec::new();
        for value in &methods {
            let method = value.convert(method)?;
            if method.is_idempotent() {
                allowed.push(method);
            } else {
                value.at.warn(format!("{method} is not sent again once it was sent: it could be executed twice"));
            }
        }
        if methods.is_empty() {
            allowed.push(Method::GET);
        }
        Some(Self { retries, statuses, series, methods: allowed })
    }
}

/// `502` or `BAD_GATEWAY`.
fn status(text: &str) -> Result<u16, String> {
    let found = filter::status(text).ok().map(|status| status.as_u16()).filter(|code| (400..600).contains(code));
    found
        .ok_or_else(|| format!("expected a status from 400 to 599, such as 502 or BAD_GATEWAY, found {}", quoted(text)))
}

fn series(text: &str) -> Result<u16, String> {
    match relaxed(text).as_str() {
        "servererror" | "5" => Ok(5),
        "clienterror" | "4" => Ok(4),
        _ => Err(format!("expected SERVER_ERROR or CLIENT_ERROR, found {}", quoted(text))),
    }
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::POST, Method::PATCH];
    let found = known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("expected a method such as GET, found {}", quoted(text)))
}
