//! How many may pass: what routes say of it. Who counts has the counters.

use std::num::NonZeroU32;

use http::HeaderName;

use crate::{
    definition::{self, Definition},
    mapping::Mapping,
    text::{quoted, suggestion},
};

/// By what requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// The client's address.
    Client,
    /// Who the token says it is; without one, the client's address.
    User,
    /// All of the route's together.
    Route,
    /// A header's first value; without one, the client's address.
    Header(HeaderName),
}

/// How many requests there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: NonZeroU32,
    /// Tokens that there are at most; with 0 no request passes.
    pub burst: u32,
    /// Tokens that a request takes.
    pub cost: NonZeroU32,
}

/// The filter `RequestRateLimiter`, of this process alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// By what requests are counted.
    pub key: RateKey,
    /// How many there may be.
    pub rate: Rate,
    /// Of all routes together: a default filter.
    pub is_common: bool,
}

impl RateLimit {
    /// As one of all routes together.
    pub(super) fn common(self) -> Self {
        Self { is_common: true, ..self }
    }

    pub(super) fn read(definition: &Definition<'_>, mapping: &Mapping) -> Option<Self> {
        let parameters = [
            ("replenishRate", ["redis-rate-limiter.replenishRate"].as_slice()),
            ("burstCapacity", &["redis-rate-limiter.burstCapacity"]),
            ("requestedTokens", &["redis-rate-limiter.requestedTokens"]),
            ("key-resolver", &["key"]),
        ];
        let [per_second, burst, cost, key] = definition.bind(parameters, 1)?;
        let number = |text: &str| {
            text.parse::<NonZeroU32>().map_err(|_| format!("expected a number of at least 1, found {}", quoted(text)))
        };
        let per_second = per_second?.convert(number)?;
        let at_most =
            |text: &str| text.parse::<u32>().map_err(|_| format!("expected a number, found {}", quoted(text)));
        let capacity = burst.as_ref().map_or(Some(per_second.get()), |burst| burst.convert(at_most))?;
        if let Some(burst) = burst.filter(|_| capacity == 0) {
            burst
                .at
                .warn("0 answers every request 429, as in Spring; remove the route, or write a burst of at least 1");
        }
        let one = NonZeroU32::MIN;
        let cost = match cost {
            Some(cost) => cost.convert(|text| match number(text)? {
                cost if cost.get() <= capacity || capacity == 0 => Ok(cost),
                cost => Err(format!("{cost} tokens are more than there can ever be ({capacity})")),
            })?,
            None => one,
        };
        let key = match key {
            None => RateKey::Client,
            Some(key) if definition::is_expression(&key.text) => mapping.key(&key)?,
            Some(key) => key.convert(resolver)?,
        };
        Some(Self { key, rate: Rate { per_second, burst: capacity, cost }, is_common: false })
    }
}

/// What there is to count by.
pub(super) const KEYS: &str = "client, user, route or header.NAME";

/// Reads what requests are counted by.
pub(super) fn resolver(text: &str) -> Result<RateKey, String> {
    const KNOWN: [&str; 4] = ["client", "user", "route", "header.NAME"];
    match text {
        "client" => Ok(RateKey::Client),
        "user" => Ok(RateKey::User),
        "route" => Ok(RateKey::Route),
        _ => match text.strip_prefix("header.").map(str::parse) {
            Some(Ok(name)) => Ok(RateKey::Header(name)),
            _ => {
                Err(format!("expected one of {}, found {}{}", KNOWN.join(", "), quoted(text), suggestion(text, KNOWN)))
            }
        },
    }
}
