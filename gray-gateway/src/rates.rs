//! How often clients have come, and what they have left of their rates. It is kept from one configuration to the next: a
//! reload does not let all clients in again.

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
            (HeaderName::from_static("x-ratelimit-burst-capacity"), burst),
            (HeaderName::from_static("x-ratelimit-replenish-rate"), per_second.get()),
        ]
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
        let hasher = &self.hasher;
        let client = || hasher.hash_one(facts.client_ip().map(counted_as));
        let key = match &limit.key {
            RateKey::Route => 0,
            RateKey::Client => client(),
            RateKey::User => user.map_or_else(client, |user| hasher.hash_one(user)),
            RateKey::Header(name) => facts.headers(name).next().map_or_else(client, |value| hasher.hash_one(value)),
        };
        self.take(key, limit.rate)
    }

    fn take(&self, key: u64, rate: Rate) -> Rated {
        if rate.burst == 0 {
            return Rated { rate, remaining: 0, retry_after: Some(Duration::from_secs(1)) };
        }
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
mod tests {
    use std::num::NonZeroU32;

    use gray_document::Documents;

    use super::*;
    use crate::route::RouteTable;

    fn rate(per_second: u32, burst: u32, cost: u32) -> Rate {
        let number = |number| NonZeroU32::new(number).expect("not 0");
        Rate { per_second: number(per_second), burst, cost: number(cost) }
    }

    #[test]
    fn without_a_burst_none_passes() {
        let counters = Counters::new(rate(5, 0, 1));
        let rated = counters.take(1, rate(5, 0, 1));
        assert!(rated.retry_after.is_some());
        assert_eq!(rated.fields().map(|(_, value)| value), [0, 1, 0, 5]);
    }

    #[test]
    fn a_burst_passes_and_no_more() {
        let rate = rate(1, 5, 2);
        let counters = Counters::new(rate);
        let counted: Vec<_> = (0..3).map(|_| counters.take(7, rate)).collect();
        assert_eq!(counted.iter().map(|rated| rated.remaining).collect::<Vec<_>>(), [3, 1, 0]);
        assert!(
            counted[1].retry_after.is_none()
                && counted[2].retry_after.is_some_and(|wait| wait <= Duration::from_secs(1))
        );
        assert!(counters.take(8, rate).retry_after.is_none(), "another client");
    }

    #[test]
    fn memory_is_bounded_however_many_clients_there_are() {
        // All tokens at once: it takes a minute and more until a client is forgotten.
        let (rate, begin) = (rate(1, 100, 100), MAX_KEYS as u64 + 10);
        let counters = Counters::new(rate);
        for key in 0..begin {
            counters.take(key << 20 | 1, rate);
        }
        counters.look(uptime_ms() + 2 * LOOK_MS);
        assert!(counters.is_full.load(Relaxed));
        for key in begin..4 * begin {
            counters.take(key << 20 | 1, rate);
        }
        assert!(counters.limiter.len() <= begin as usize + SHARED_KEYS as usize);
    }

    fn table(defaults: &str, routes: &[(&str, &str)]) -> RouteTable {
        let routes = routes.iter().map(|(id, filters)| {
            format!("  - {{ id: {id}, uri: 'lb://a', predicates: ['Path=/{id}'], filters: [{filters}] }}\n")
        });
        let text = format!(
            "spring.cloud.gateway:\n  default-filters: [{defaults}]\n  routes:\n{}",
            routes.collect::<String>()
        );
        let documents = Documents::parse(&[("gateway-app.yaml", &text)], &|_| None).expect("well formed");
        let table = RouteTable::read(&documents.root());
        assert!(documents.take_problems().is_empty(), "{text}");
        table
    }

    /// A table and its counters.
    type Counted = (RouteTable, Arc<RateCounters>);

    fn counted(states: &mut RateStates, table: RouteTable) -> Counted {
        states.hand_over(table.routes());
        (table, Arc::clone(states.current()))
    }

    /// Whether a limit of one table goes on in another.
    fn same(one: (&Counted, usize, usize), other: (&Counted, usize, usize)) -> bool {
        let counters = |(counted, route, limit): (&Counted, usize, usize)| Arc::as_ptr(&counted.1.0[route][limit]);
        counters(one) == counters(other)
    }

    const FIVE: &str = "{ name: RequestRateLimiter, args: { replenishRate: 5 } }";
    const SIX: &str = "{ name: RequestRateLimiter, args: { replenishRate: 6 } }";
    const USER: &str = "{ name: RequestRateLimiter, args: { replenishRate: 5, key-resolver: user } }";

    #[test]
    fn the_same_limit_of_the_same_route_goes_on_and_no_other() {
        let mut states = RateStates::default();
        let first = counted(&mut states, table("", &[("a", FIVE), ("b", FIVE)]));
        assert!(!same((&first, 0, 0), (&first, 1, 0)), "each route has its own");
        // Others came before, the routes stand the other way round, and something else has changed.
        let second = counted(
            &mut states,
            table("", &[("b", &format!("{SIX}, {FIVE}")), ("a", &format!("StripPrefix=1, {FIVE}"))]),
        );
        assert!(same((&first, 0, 0), (&second, 1, 0)) && same((&first, 1, 0), (&second, 0, 1)));
        // Another rate or key begins anew, and so does what was away.
        let third = counted(&mut states, table("", &[("a", USER), ("b", SIX)]));
        assert!(!same((&second, 1, 0), (&third, 0, 0)) && same((&second, 0, 0), (&third, 1, 0)));
        let fourth = counted(&mut states, table("", &[("a", FIVE)]));
        assert!(!same((&second, 1, 0), (&fourth, 0, 0)));
        assert_eq!(states.known.len(), 1, "nothing is kept for limits that are gone");
    }

    #[test]
    fn limits_that_are_alike_and_default_filters_stay_apart_and_together() {
        let mut states = RateStates::default();
        let first = counted(&mut states, table(FIVE, &[("a", &format!("{FIVE}, {FIVE}")), ("b", "")]));
        let second = counted(&mut states, table(FIVE, &[("b", ""), ("a", &format!("{FIVE}, {FIVE}"))]));
        let common = |counted: &Counted, route: usize| {
            counted.0.routes()[route].filters.rates.iter().position(|limit| limit.is_common).expect("a default filter")
        };
        let (old, new) = (common(&first, 0), common(&second, 1));
        assert!(same((&first, 0, old), (&first, 1, 0)) && same((&first, 0, old), (&second, 1, new)));
        assert!(same((&second, 0, 0), (&second, 1, new)), "all routes share it");
        let own: Vec<_> = (0..3).filter(|limit| *limit != old).collect();
        assert!(!same((&first, 0, own[0]), (&first, 0, own[1])));
        assert!(own.iter().all(|limit| same((&first, 0, *limit), (&second, 1, *limit))));
    }
}
