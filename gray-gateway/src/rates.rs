//! How often clients have come, and what they have left of their rates. It is kept from one configuration to the next: a
//! reload does not let all clients in again.
//!
//! Where `--redis` names one, a Redis counts for all gateways together (`shared`, `connection`); the counters here are what counts
//! when it does not answer.

mod connection;
mod shared;

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc,
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
use gray_live::clock::uptime_ms;
use gray_rules::Facts;
use http::HeaderName;

use crate::{
    client_address::counted_as,
    route::{Rate, RateKey, RateLimit, Route},
};

/// Clients whose requests are counted one by one; beyond that, until some have been forgotten, clients share.
const MAX_KEYS: usize = 100_000;
/// Counters that they share.
const SHARED_KEYS: u64 = 65_536;
/// Time between two looks at how many there are.
const LOOK_MS: u64 = 1_000;

/// What a client is told about its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated {
    rate: Rate,
    /// `-1`: it is not known.
    remaining: i64,
    /// When it may come again; `None`: it may pass.
    pub retry_after: Option<Duration>,
}

impl Rated {
    /// As Spring says it.
    pub fn fields(&self) -> [(HeaderName, i64); 4] {
        let Rate { per_second, burst, cost } = self.rate;
        [
            (HeaderName::from_static("x-ratelimit-remaining"), self.remaining),
            (HeaderName::from_static("x-ratelimit-requested-tokens"), cost.get().into()),
            (HeaderName::from_static("x-ratelimit-burst-capacity"), burst.into()),
            (HeaderName::from_static("x-ratelimit-replenish-rate"), per_second.get().into()),
        ]
    }

    /// By what Redis says: whether it passes, and the tokens that are left.
    fn shared(rate: Rate, passes: bool, left: i64) -> Self {
        // What is missing comes back in whole seconds there.
        let missing = u64::try_from(i64::from(rate.cost.get()).saturating_sub(left)).unwrap_or(0);
        let seconds = missing.div_ceil(u64::from(rate.per_second.get())).max(1);
        Self { rate, remaining: left, retry_after: (!passes).then(|| Duration::from_secs(seconds)) }
    }

    /// It passes, and is not counted.
    fn unknown(rate: Rate) -> Self {
        Self { rate, remaining: -1, retry_after: None }
    }
}

#[cfg(test)]
impl Rated {
    /// Of a client that has to wait.
    pub(crate) const SPENT: Self = Self {
        rate: Rate { per_second: std::num::NonZeroU32::MIN, burst: 1, cost: std::num::NonZeroU32::MIN },
        remaining: 0,
        retry_after: Some(Duration::from_secs(1)),
    };
}

pub(crate) use self::connection::SharedCounting;
pub use self::{
    connection::Missed,
    shared::{RedisKeys, RedisUrl, SharedRates, WhenDown},
};

type Limiter = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// Bounded, however many clients there are: keys are hashes, and when there are too many of them they are folded.
struct Counters {
    limiter: Limiter,
    hasher: RandomState,
    looked_ms: AtomicU64,
    is_full: AtomicBool,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("clients", &self.limiter.len()).finish_non_exhaustive()
    }
}

impl Counters {
    fn new(rate: Rate) -> Self {
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate.per_second).allow_burst(burst);
        Self {
            limiter: RateLimiter::dashmap(quota).with_middleware(),
            hasher: RandomState::new(),
            looked_ms: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    /// Counts a request; `user` is who its token says it is.
    fn count(&self, limit: &RateLimit, facts: &impl Facts, user: Option<&str>) -> Rated {
        self.take(self.key(limit, facts, user), limit.rate)
    }

    /// Who it counts as.
    fn key(&self, limit: &RateLimit, facts: &impl Facts, user: Option<&str>) -> u64 {
        let hasher = &self.hasher;
        let client = || hasher.hash_one(facts.client_ip().map(counted_as));
        match &limit.key {
            RateKey::Route => 0,
            RateKey::Client => client(),
            RateKey::User => user.map_or_else(client, |user| hasher.hash_one(user)),
            RateKey::Header(name) => facts.headers(name).next().map_or_else(client, |value| hasher.hash_one(value)),
        }
    }

    fn take(&self, key: u64, rate: Rate) -> Rated {
        if rate.burst == 0 {
            return Rated { rate, remaining: 0, retry_after: Some(Duration::from_secs(1)) };
        }
        self.look(uptime_ms());
        let key = if self.is_full.load(Relaxed) { key % SHARED_KEYS } else { key };
        let (remaining, retry_after) = match self.limiter.check_key_n(&key, rate.cost) {
            Ok(Ok(state)) => (state.remaining_burst_capacity().into(), None),
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

/// A request that is to be counted in Redis: in which limit of its route, and as whose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    place: usize,
    /// What the tokens that are left, and when that was, are called in Redis.
    names: [Vec<u8>; 2],
    /// As whose it counts here, if Redis does not.
    key: u64,
}

/// What is known of the rates of a request that passes, or to be asked about them.
#[derive(Debug)]
pub(crate) enum Left {
    /// What the client is told.
    Known(Rated),
    /// What is to be asked of Redis before it is sent.
    Asked(Box<[Ask]>),
}

/// The counters of all routes: by the route's place, then by that of the limit among its filters.
#[derive(Debug, Default)]
pub struct RateCounters(Box<[Box<[Arc<Counters>]>]>);

impl RateCounters {
    /// Counts a request in every limit of its route, until one is used up; `user` is who its token says it is.
    ///
    /// # Errors
    /// When one is, what the client is told.
    pub fn count(&self, route: &Route, facts: &impl Facts, user: Option<&str>) -> Result<Option<Rated>, Rated> {
        let counters = self.0.get(route.place).map(|all| &**all).unwrap_or_default();
        let mut rated = None;
        for (place, limit) in route.filters.rates.iter().enumerate() {
            let counted = match counters.get(place) {
                Some(counters) => counters.count(limit, facts, user),
                // Of another table: rather too few pass than too many.
                None => Rated { rate: limit.rate, remaining: 0, retry_after: Some(Duration::from_secs(1)) },
            };
            if counted.retry_after.is_some() {
                return Err(counted);
            }
            rated = Some(counted);
        }
        Ok(rated)
    }
}

impl RateCounters {
    /// What is asked of Redis for a request: one question for each limit of its route.
    pub(crate) fn asks(
        &self,
        shared: &SharedRates,
        route: &Route,
        facts: &impl Facts,
        user: Option<&str>,
    ) -> Box<[Ask]> {
        let counters = self.0.get(route.place).map(|all| &**all).unwrap_or_default();
        let asks = route.filters.rates.iter().enumerate().map(|(place, limit)| {
            let client = shared::client_of(limit, route, facts, user);
            let key = counters.get(place).map_or(0, |counters| counters.key(limit, facts, user));
            Ask { place, names: shared.names(route, place, &client), key }
        });
        asks.collect()
    }

    /// Counts here what Redis has not counted.
    fn take(&self, route: &Route, ask: &Ask) -> Rated {
        let counters = self.0.get(route.place).and_then(|all| all.get(ask.place));
        match (counters, route.filters.rates.get(ask.place)) {
            (Some(counters), Some(limit)) => counters.take(ask.key, limit.rate),
            // Of another table: rather too few pass than too many.
            (_, limit) => Rated {
                rate: limit
                    .map_or(Rate { per_second: NonZeroU32::MIN, burst: 0, cost: NonZeroU32::MIN }, |limit| limit.rate),
                remaining: 0,
                retry_after: Some(Duration::from_secs(1)),
            },
        }
    }
}

/// Which limit it is: one of the same route with the same parameters is the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    /// Empty for a default filter, which all routes share.
    route: Box<str>,
    key: RateKey,
    rate: Rate,
    /// Of several that are alike.
    nth: usize,
}

/// The counters of the limits in effect; those of limits that are gone are gone with them.
#[derive(Debug, Default)]
pub struct RateStates {
    known: HashMap<Identity, Arc<Counters>>,
    current: Arc<RateCounters>,
}

impl RateStates {
    /// Has the limits of new routes go on where those in effect are.
    pub fn hand_over(&mut self, routes: &[Arc<Route>]) {
        let before = std::mem::take(&mut self.known);
        let counters = routes.iter().map(|route| {
            let limits = &route.filters.rates;
            let counters = limits.iter().enumerate().map(|(place, limit)| {
                let identity = Identity {
                    route: if limit.is_common { "".into() } else { route.id.clone() },
                    key: limit.key.clone(),
                    rate: limit.rate,
                    nth: limits[..place].iter().filter(|other| *other == limit).count(),
                };
                let kept = before.get(&identity).cloned();
                let counters = self.known.entry(identity);
                Arc::clone(counters.or_insert_with(|| kept.unwrap_or_else(|| Arc::new(Counters::new(limit.rate)))))
            });
            counters.collect()
        });
        self.current = Arc::new(RateCounters(counters.collect()));
    }

    /// Those of the routes that came last.
    pub fn current(&self) -> &Arc<RateCounters> {
        &self.current
    }
}

#[cfg(test)]
mod tests;
