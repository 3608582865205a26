//! What clients have left of their rates, kept from one configuration to the next: a reload does not let all clients
//! in again.

use std::{collections::HashMap, sync::Arc};

use super::{
    Route,
    guard::{Counters, Key, Rate, RateLimit},
};

/// Which limit it is: one of the same route with the same parameters is the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    /// Empty for a default filter, which all routes share.
    route: Box<str>,
    key: Key,
    rate: Rate,
    /// Of several that are alike.
    nth: usize,
}

/// The counters of the limits in effect; those of limits that are gone are gone with them.
#[derive(Debug, Default)]
pub struct RateStates(HashMap<Identity, Arc<Counters>>);

impl RateStates {
    /// Has the limits of new routes go on where those in effect are.
    pub fn hand_over(&mut self, routes: &[Arc<Route>]) {
        let before = std::mem::take(&mut self.0);
        for route in routes {
            let limits = &route.filters.rates;
            for (place, limit) in limits.iter().enumerate() {
                let is_alike = |other: &&RateLimit| {
                    (other.is_common, &other.key, other.rate) == (limit.is_common, &limit.key, limit.rate)
                };
                let identity = Identity {
                    route: if limit.is_common { "".into() } else { route.id.clone() },
                    key: limit.key.clone(),
                    rate: limit.rate,
                    nth: limits[..place].iter().filter(is_alike).count(),
                };
                let counters = limit.counters(|| before.get(&identity).cloned());
                self.0.insert(identity, Arc::clone(counters));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gray_common::document::Documents;

    use super::*;
    use crate::route::RouteTable;

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

    /// Whether a limit of one table goes on in another.
    fn same(one: (&RouteTable, usize, usize), other: (&RouteTable, usize, usize)) -> bool {
        let counters = |(table, route, limit): (&RouteTable, usize, usize)| {
            Arc::as_ptr(table.routes()[route].filters.rates[limit].counters(|| panic!("not handed over")))
        };
        counters(one) == counters(other)
    }

    const FIVE: &str = "{ name: RequestRateLimiter, args: { replenishRate: 5 } }";
    const SIX: &str = "{ name: RequestRateLimiter, args: { replenishRate: 6 } }";
    const USER: &str = "{ name: RequestRateLimiter, args: { replenishRate: 5, key-resolver: user } }";

    #[test]
    fn the_same_limit_of_the_same_route_goes_on_and_no_other() {
        let mut states = RateStates::default();
        let first = table("", &[("a", FIVE), ("b", FIVE)]);
        states.hand_over(first.routes());
        assert!(!same((&first, 0, 0), (&first, 1, 0)), "each route has its own");
        // Others came before, the routes stand the other way round, and something else has changed.
        let second = table("", &[("b", &format!("{SIX}, {FIVE}")), ("a", &format!("StripPrefix=1, {FIVE}"))]);
        states.hand_over(second.routes());
        assert!(same((&first, 0, 0), (&second, 1, 0)) && same((&first, 1, 0), (&second, 0, 1)));
        // Another rate or key begins anew, and so does what was away.
        let third = table("", &[("a", USER), ("b", SIX)]);
        states.hand_over(third.routes());
        assert!(!same((&second, 1, 0), (&third, 0, 0)) && same((&second, 0, 0), (&third, 1, 0)));
        let fourth = table("", &[("a", FIVE)]);
        states.hand_over(fourth.routes());
        assert!(!same((&second, 1, 0), (&fourth, 0, 0)));
        assert_eq!(states.0.len(), 1, "nothing is kept for limits that are gone");
    }

    #[test]
    fn limits_that_are_alike_and_default_filters_stay_apart_and_together() {
        let mut states = RateStates::default();
        let first = table(FIVE, &[("a", &format!("{FIVE}, {FIVE}")), ("b", "")]);
        states.hand_over(first.routes());
        let second = table(FIVE, &[("b", ""), ("a", &format!("{FIVE}, {FIVE}"))]);
        states.hand_over(second.routes());
        let common = |table: &RouteTable, route: usize| {
            table.routes()[route].filters.rates.iter().position(|limit| limit.is_common).expect("a default filter")
        };
        let (old, new) = (common(&first, 0), common(&second, 1));
        assert!(same((&first, 0, old), (&first, 1, 0)) && same((&first, 0, old), (&second, 1, new)));
        assert!(same((&second, 0, 0), (&second, 1, new)), "all routes share it");
        let own: Vec<_> = (0..3).filter(|limit| *limit != old).collect();
        assert!(!same((&first, 0, own[0]), (&first, 0, own[1])));
        assert!(own.iter().all(|limit| same((&first, 0, *limit), (&second, 1, *limit))));
    }
}
