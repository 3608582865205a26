//! The circuit breakers in effect. A breaker is kept from one configuration to the next for as long as its specification stays
//! the same: a reload neither closes one nor forgets what it has counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use gray_core::breaker::{Breaker, BreakerPolicy};

use crate::route::Route;

/// A breaker, by its name.
#[derive(Debug)]
pub struct LiveBreaker {
    /// As documents call it.
    pub name: Arc<str>,
    /// What it has counted.
    pub breaker: Breaker,
}

/// The breakers of all routes, by the route's place. Routes whose breakers have the same name share one.
#[derive(Debug, Default)]
pub struct Breakers(Box<[Option<Arc<LiveBreaker>>]>);

impl Breakers {
    /// That of the route at this place.
    pub fn of(&self, place: usize) -> Option<&LiveBreaker> {
        self.0.get(place)?.as_deref()
    }

    /// Each of them once, by name.
    pub fn all(&self) -> Vec<&LiveBreaker> {
        let mut all: Vec<_> = self.0.iter().flatten().map(|live| &**live).collect();
        let place = |live: &LiveBreaker| std::ptr::from_ref(live).addr();
        all.sort_by(|one, other| one.name.cmp(&other.name).then(place(one).cmp(&place(other))));
        all.dedup_by(|one, other| std::ptr::eq(*one, *other));
        all
    }
}

/// The breakers that are known; those that no route has any more are gone.
#[derive(Debug, Default)]
pub struct BreakerStates {
    known: BTreeMap<Arc<str>, HashMap<BreakerPolicy, Arc<LiveBreaker>>>,
    current: Arc<Breakers>,
}

impl BreakerStates {
    /// Has the breakers of new routes go on where those in effect are.
    pub fn hand_over(&mut self, routes: &[Arc<Route>]) {
        let before = std::mem::take(&mut self.known);
        let breakers = routes.iter().map(|route| {
            let specified = route.filters.breaker.as_ref()?;
            let (name, policy) = (&specified.name, &specified.policy);
            let kept = before.get(name).and_then(|known| known.get(policy)).cloned();
            let live = self.known.entry(Arc::clone(name)).or_default().entry(policy.clone()).or_insert_with(|| {
                let new = || LiveBreaker { name: Arc::clone(name), breaker: Breaker::new(policy.clone()) };
                kept.unwrap_or_else(|| Arc::new(new()))
            });
            Some(Arc::clone(live))
        });
        self.current = Arc::new(Breakers(breakers.collect()));
    }

    /// Those of the routes that came last.
    pub fn current(&self) -> &Arc<Breakers> {
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use gray_core::breaker::Phase;
    use gray_document::Documents;

    use super::*;
    use crate::route::RouteTable;

    fn hand_over(states: &mut BreakerStates, settings: &str, routes: &[(&str, &str)]) -> Arc<Breakers> {
        let routes = routes.iter().map(|(id, filter)| {
            format!("  - {{ id: {id}, uri: 'lb://a', predicates: ['Path=/{id}'], filters: [{filter}] }}\n")
        });
        let text = format!("{settings}\nspring.cloud.gateway:\n  routes:\n{}", routes.collect::<String>());
        let documents = Documents::parse(&[("gateway-app.yaml", &text)], &|_| None).expect("well formed");
        let table = RouteTable::read(&documents.root());
        assert!(documents.take_problems().is_empty(), "{text}");
        states.hand_over(table.routes());
        Arc::clone(states.current())
    }

    #[test]
    fn a_breaker_goes_on_while_its_specification_stays() {
        let settings = |calls: u32| {
            format!(
                "resilience4j.circuitbreaker.instances.x: {{ sliding-window-size: {calls}, minimum-number-of-calls: 1 }}"
            )
        };
        let mut states = BreakerStates::default();
        let first =
            hand_over(&mut states, &settings(10), &[("a", "CircuitBreaker=x"), ("b", ""), ("c", "CircuitBreaker=x")]);
        assert!(first.of(1).is_none() && std::ptr::eq(first.of(0).expect("x"), first.of(2).expect("x")));
        let breaker = &first.of(0).expect("x").breaker;
        breaker.record(breaker.admit(0).pass.expect("closed"), true, 0, 0);
        assert_eq!(
            first.all().iter().map(|live| (&*live.name, live.breaker.look().0)).collect::<Vec<_>>(),
            [("x", Phase::Open)]
        );
        // Elsewhere, and still open.
        let second = hand_over(
            &mut states,
            &settings(10),
            &[("b", "CircuitBreaker=y"), ("a", "StripPrefix=1, CircuitBreaker=x")],
        );
        assert!(std::ptr::eq(first.of(0).expect("x"), second.of(1).expect("x")));
        assert_eq!(second.of(0).expect("y").breaker.look().0, Phase::Closed);
        // Another one of the same name.
        let third = hand_over(&mut states, &settings(11), &[("a", "CircuitBreaker=x")]);
        assert_eq!(third.of(0).expect("x").breaker.look().0, Phase::Closed);
        assert_eq!(states.known.len(), 1, "nothing is kept for breakers that are gone");
    }
}
