//! Spring's `Retry` filter: answers that are not the last word.

use std::time::Duration;

use gray_document::duration;
use http::Method;

use super::{
    definition::{Definition, Value, relaxed, truth},
    filter,
    text::quoted,
};

/// Which answers send a request to another instance. What comes of it is bounded twice: by `retries` for one request, and
/// by the retry budget for all of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Most times that one request is sent again.
    pub retries: usize,
    /// How long is waited in between; `None`: not at all.
    pub backoff: Option<Backoff>,
    statuses: Vec<u16>,
    /// First digits.
    series: Vec<u16>,
    methods: Vec<Method>,
}

/// Waits between attempts, each longer than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    factor: u32,
    /// How much longer or shorter a wait may be, in thousandths.
    jitter: u32,
}

impl Backoff {
    /// No wait is longer.
    const LONGEST: Duration = Duration::from_secs(10);

    /// The wait before a request is sent again for this time, counted from 1; `random` is uniformly distributed.
    pub fn wait(&self, time: usize, random: u64) -> Duration {
        let grown = { 1..time }
            .try_fold(self.first, |wait, _| wait.checked_mul(self.factor).filter(|wait| *wait < self.longest));
        let wait = grown.unwrap_or(self.longest).min(self.longest);
        if self.jitter == 0 {
            return wait;
        }
        // From so much less to so much more.
        let spread = wait.mul_f64(f64::from(self.jitter) / 1_000.0);
        let drawn = spread.mul_f64(2.0 * (random >> 11) as f64 / (1_u64 << 53) as f64);
        (wait.saturating_sub(spread) + drawn).clamp(self.first.min(self.longest), self.longest)
    }

    /// Reads `backoff` and `jitter`; the outer `None` when it cannot be.
    fn read(definition: &mut Definition<'_>) -> Option<Option<Self>> {
        let mut one = |names: [&str; 2], place: Option<usize>| {
            let named = names.into_iter().flat_map(|name| definition.take(name, place)).next();
            named.map(|value| (value.text.trim().to_owned(), value))
        };
        let first = one(["backoff.firstBackoff", "firstBackoff"], Some(3));
        let longest = one(["backoff.maxBackoff", "maxBackoff"], Some(4));
        let factor = one(["backoff.factor", "factor"], Some(5));
        let based = one(["backoff.basedOnPreviousValue", "basedOnPreviousValue"], Some(6));
        let jitter = one(["jitter.randomFactor", "backoff.jitter.randomFactor"], Some(7));
        if [&first, &longest, &factor, &based, &jitter].iter().all(|given| given.is_none()) {
            return Some(None);
        }
        let time = |text: &str| match duration(text) {
            Some(time) if !time.is_zero() => Ok(time),
            _ => Err(format!("expected a duration above 0, such as 10ms, found {}", quoted(text))),
        };
        let first = first.map_or(Some(Duration::from_millis(5)), |(_, first)| first.convert(time))?;
        let longest = match longest {
            None => Self::LONGEST,
            Some((text, value)) => {
                let longest = value.convert(time)?;
                if longest < first {
                    value.at.error(format!("{} is less than the first wait, {} ms", quoted(&text), first.as_millis()));
                    return None;
                }
                longest
            }
        };
        let factor = factor.map_or(Some(2), |(_, factor)| {
            factor.convert(|text| {
                let number = text.parse().ok().filter(|number| (1..=1_000).contains(number));
                number.ok_or_else(|| format!("expected a number from 1 to 1000, found {}", quoted(text)))
            })
        })?;
        // Without a jitter that is based on it, the value before is the one that is made anew.
        if let Some((_, based)) = based {
            based.convert(truth)?;
        }
        let jitter = jitter.map_or(Some(0), |(_, jitter)| {
            jitter.convert(|text| {
                let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
                part.map(|part| (part * 1_000.0) as u32)
                    .ok_or_else(|| format!("expected a number from 0 to 1, found {}", quoted(text)))
            })
        })?;
        Some(Some(Self { first, longest: longest.min(Self::LONGEST), factor, jitter }))
    }
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
        // What Spring takes for these is tried again with or without the filter, where that is safe.
        let is_usual =
            |value: &Value<'_>| matches!(&*value.text, "java.io.IOException" | "java.util.concurrent.TimeoutException");
        let exceptions = definition.take("exceptions", None).into_iter().filter(|value| !is_usual(value)).collect();
        no_effect(
            exceptions,
            "a connection that breaks is tried again for every idempotent request, with or without this filter",
        );
        let backoff = Backoff::read(&mut definition)?;
        no_effect(definition.take("timeout", Some(8)), "metadata.response-timeout limits the wait for an answer");
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
        Some(Self { retries, backoff, statuses, series, methods: allowed })
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
