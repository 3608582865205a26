//! Who may pass: requests with a good token, and not too many of them. Off the request path where no filter asks for it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use gray_common::{
    clock::uptime_ms,
    rule::{Algorithm, Facts, Jwt, JwtKey, Source},
};
use http::HeaderName;

use crate::client_address::counted_as;

use super::{
    definition::{Definition, truth},
    text::{quoted, suggestion},
};

/// Clients whose requests are counted one by one; beyond that, until some have been forgotten, clients share.
const MAX_KEYS: usize = 100_000;
/// Counters that they share.
const SHARED_KEYS: u64 = 65_536;
/// Time between two looks at how many there are.
const LOOK_MS: u64 = 1_000;

// ---- tokens

/// The filter `JsonWebToken`: who has no good token is answered 401.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCheck {
    jwt: Jwt,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    claim: Box<str>,
}

impl TokenCheck {
    /// Whose request it is, by a token that is good: signed, in time, from whom and for whom it has to be.
    pub fn user(&self, facts: &impl Facts) -> Option<String> {
        let claims = self.jwt.claims(facts)?;
        let says = |claim: &str, expected: &str| match claims.get(claim) {
            Some(serde_json::Value::String(text)) => text == expected,
            Some(serde_json::Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(expected)),
            _ => false,
        };
        let fits = self.issuer.as_deref().is_none_or(|issuer| says("iss", issuer))
            && self.audience.as_deref().is_none_or(|audience| says("aud", audience));
        match claims.get(&*self.claim)? {
            serde_json::Value::String(user) if fits && !user.is_empty() => Some(user.clone()),
            serde_json::Value::Number(user) if fits => Some(user.to_string()),
            _ => None,
        }
    }

    /// The parameter of a query that holds the token, if it is there.
    pub(super) fn query(&self) -> Option<&str> {
        if let Source::Query(name) = &self.jwt.token { Some(name) } else { None }
    }

    pub(super) fn read(mut definition: Definition<'_>) -> Option<Self> {
        let mut algorithms = definition.take("algorithm", None);
        let parameters = [
            ("key", [].as_slice()),
            ("token", &[]),
            ("issuer", &["iss"]),
            ("audience", &["aud"]),
            ("userClaim", &["user"]),
            ("requireExp", &[]),
            ("algorithm", &[]),
        ];
        let [key, token, issuer, audience, claim, requires_expiry, algorithm] = definition.bind(parameters, 1)?;
        // In its place, not by name.
        algorithms.extend(algorithm);
        let algorithms: Option<Vec<Algorithm>> =
            algorithms.iter().map(|value| value.convert(|text| text.parse())).collect();
        let algorithms = algorithms?;
        let key = key?.convert(|text| JwtKey::new(text, &algorithms).map_err(|error| error.to_string()))?;
        let requires_expiry = requires_expiry.map_or(Some(false), |value| value.convert(truth))?;
        let token = token.map_or(Some(Source::Header(http::header::AUTHORIZATION)), |token| {
            token.convert(|text| match text.split_once('.') {
                Some(("header", name)) => name.parse().map(Source::Header).map_err(|_| not_a_place(text)),
                Some(("cookie", name)) => Ok(Source::Cookie(name.into())),
                Some(("query", name)) => Ok(Source::Query(name.into())),
                _ => Err(not_a_place(text)),
            })
        })?;
        let text = |value: Option<super::definition::Value<'_>>| value.map(|value| Box::from(value.text));
        let claim = text(claim).unwrap_or_else(|| "sub".into());
        Some(Self {
            jwt: Jwt { token, key: Some(key), requires_expiry },
            issuer: text(issuer),
            audience: text(audience),
            claim,
        })
    }
}

fn not_a_place(text: &str) -> String {
    format!("expected header.NAME, cookie.NAME or query.NAME, found {}", quoted(text))
}

// ---- rates

/// By what requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
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
pub(super) struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
    cost: NonZeroU32,
}

/// What a client is told about its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated {
    rate: Rate,
    remaining: u32,
    /// When it may come again; `None`: it may pass.
    pub retry_after: Option<Duration>,
}

impl Rated {
    /// As Spring says it.
    pub fn fields(&self) -> [(HeaderName, u32); 4] {
        let Rate { per_second, burst, cost } = self.rate;
        [
            (HeaderName::from_static("x-ratelimit-remaining"), self.remaining),
            (HeaderName::from_static("x-ratelimit-requested-tokens"), cost.get()),
            (HeaderName::from_static("x-ratelimit-burst-capacity"), burst.get()),
            (HeaderName::from_static("x-ratelimit-replenish-rate"), per_second.get()),
        ]
    }
}

type Limiter = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// The filter `RequestRateLimiter`, of this process alone.
#[derive(Clone)]
pub struct RateLimit {
    pub(super) key: Key,
    pub(super) rate: Rate,
    /// Of all routes together: a default filter.
    pub(super) is_common: bool,
    /// Set once, by what keeps counters from one configuration to the next, else at the first request.
    counters: Arc<OnceLock<Arc<Counters>>>,
}

/// Bounded, whoever comes: keys are hashes, and when there are too many of them they are folded.
pub(super) struct Counters {
    limiter: Limiter,
    hasher: RandomState,
    looked_ms: AtomicU64,
    is_full: AtomicBool,
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("key", &self.key).field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl RateLimit {
    fn new(key: Key, rate: Rate) -> Self {
        Self { key, rate, is_common: false, counters: Arc::default() }
    }

    /// As one of all routes together.
    pub(super) fn common(self) -> Self {
        Self { is_common: true, ..self }
    }

    /// The counters; those that `before` has, or new ones, if there are none yet.
    pub(super) fn counters(&self, before: impl FnOnce() -> Option<Arc<Counters>>) -> &Arc<Counters> {
        self.counters.get_or_init(|| before().unwrap_or_else(|| Arc::new(Counters::new(self.rate))))
    }

    /// Counts a request; `user` is who its token says it is.
    pub fn count(&self, facts: &impl Facts, user: Option<&str>) -> Rated {
        let counters = self.counters(|| None);
        let hasher = &counters.hasher;
        let client = || hasher.hash_one(facts.client_ip().map(counted_as));
        let key = match &self.key {
            Key::Route => 0,
            Key::Client => client(),
            Key::User => user.map_or_else(client, |user| hasher.hash_one(user)),
            Key::Header(name) => facts.headers(name).next().map_or_else(client, |value| hasher.hash_one(value)),
        };
        counters.count(key, self.rate)
    }

    pub(super) fn read(definition: &Definition<'_>) -> Option<Self> {
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
        let burst = burst.map_or(Some(per_second), |burst| burst.convert(number))?;
        let one = NonZeroU32::MIN;
        let cost = match cost {
            Some(cost) => cost.convert(|text| match number(text)? {
                cost if cost <= burst => Ok(cost),
                cost => Err(format!("{cost} tokens are more than there can ever be ({burst})")),
            })?,
            None => one,
        };
        let key = key.map_or(Some(Key::Client), |key| key.convert(resolver))?;
        Some(Self::new(key, Rate { per_second, burst, cost }))
    }
}

fn resolver(text: &str) -> Result<Key, String> {
    const KNOWN: [&str; 4] = ["client", "user", "route", "header.NAME"];
    match text {
        "client" => Ok(Key::Client),
        "user" => Ok(Key::User),
        "route" => Ok(Key::Route),
        _ => match text.strip_prefix("header.").map(str::parse) {
            Some(Ok(name)) => Ok(Key::Header(name)),
            _ => {
                Err(format!("expected one of {}, found {}{}", KNOWN.join(", "), quoted(text), suggestion(text, KNOWN)))
            }
        },
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("clients", &self.limiter.len()).finish_non_exhaustive()
    }
}

impl Counters {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::dashmap(quota).with_middleware(),
            hasher: RandomState::new(),
            looked_ms: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    fn count(&self, key: u64, rate: Rate) -> Rated {
        self.look(uptime_ms());
        let key = if self.is_full.load(Relaxed) { key % SHARED_KEYS } else { key };
        let (remaining, retry_after) = match self.limiter.check_key_n(&key, rate.cost) {
            Ok(Ok(state)) => (state.remaining_burst_capacity(), None),
            Ok(Err(until)) => (0, Some(until.wait_time_from(self.limiter.clock().now()))),
            // More than there can ever be: refused when it was read.
            Err(_) => (0, Some(Duration::from_secs(1))),
        };
        Rated { rate, remaining, retry_after }
    }

    /// Forgets, now and then, who has not come for as long as it takes to have all tokens again.
    fn look(&self, now: u64) {
        let looked = self.looked_ms.load(Relaxed);
        let is_due = now >= looked.saturating_add(LOOK_MS);
        if !is_due || self.looked_ms.compare_exchange(looked, now, Relaxed, Relaxed).is_err() {
            return;
        }
        if self.limiter.len() > MAX_KEYS / 2 {
            self.limiter.retain_recent();
            self.is_full.store(self.limiter.len() > MAX_KEYS, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: u32, cost: u32) -> RateLimit {
        let number = |number| NonZeroU32::new(number).expect("not 0");
        RateLimit::new(Key::Client, Rate { per_second: number(per_second), burst: number(burst), cost: number(cost) })
    }

    #[test]
    fn a_burst_passes_and_no_more() {
        let limit = limit(1, 5, 2);
        let counted: Vec<_> = (0..3).map(|_| limit.counters(|| None).count(7, limit.rate)).collect();
        assert_eq!(counted.iter().map(|rated| rated.remaining).collect::<Vec<_>>(), [3, 1, 0]);
        assert!(
            counted[1].retry_after.is_none()
                && counted[2].retry_after.is_some_and(|wait| wait <= Duration::from_secs(1))
        );
        assert!(limit.counters(|| None).count(8, limit.rate).retry_after.is_none(), "another client");
    }

    #[test]
    fn whoever_comes_memory_is_bounded() {
        // All tokens at once: it takes a minute and more until somebody is forgotten.
        let (limit, begin) = (limit(1, 100, 100), MAX_KEYS as u64 + 10);
        for key in 0..begin {
            limit.counters(|| None).count(key << 20 | 1, limit.rate);
        }
        limit.counters(|| None).look(uptime_ms() + 2 * LOOK_MS);
        assert!(limit.counters(|| None).is_full.load(Relaxed));
        for key in begin..4 * begin {
            limit.counters(|| None).count(key << 20 | 1, limit.rate);
        }
        assert!(limit.counters(|| None).limiter.len() <= begin as usize + SHARED_KEYS as usize);
    }
}
