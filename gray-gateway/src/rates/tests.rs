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
        counted[1].retry_after.is_none() && counted[2].retry_after.is_some_and(|wait| wait <= Duration::from_secs(1))
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
    let text =
        format!("spring.cloud.gateway:\n  default-filters: [{defaults}]\n  routes:\n{}", routes.collect::<String>());
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
    let second =
        counted(&mut states, table("", &[("b", &format!("{SIX}, {FIVE}")), ("a", &format!("StripPrefix=1, {FIVE}"))]));
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
