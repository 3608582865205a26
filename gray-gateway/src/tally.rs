//! Counters by rule and by service, kept from one snapshot to the next.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use gray_rules::RuleSet;

use crate::{
    limit::{InFlightLimit, InFlightLimits},
    route::RouteTable,
};

/// Names that are counted one by one; more share one counter, so that no configuration can fill the memory.
const MAX_NAMES: usize = 4096;
/// What the others are called.
const OTHERS: &str = "(others)";

/// Written by one thread alone, so that adding is a load and a store.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// As of a moment ago, for other threads.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    /// For what goes up and down.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn add_many(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }
}

/// Counters of something that comes and goes with the configuration (a rule, a service): one padded slot per worker.
#[derive(Debug)]
pub struct Tally<const N: usize> {
    workers: Box<[Slot<N>]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Slot<const N: usize>([Counter; N]);

impl<const N: usize> Tally<N> {
    /// Counters for so many workers.
    pub fn new(workers: usize) -> Self {
        let slot = |_| Slot(std::array::from_fn(|_| Counter::default()));
        Self { workers: (0..workers.max(1)).map(slot).collect() }
    }

    pub(crate) fn add(&self, worker: usize, which: usize) {
        self.workers[worker % self.workers.len()].0[which].add();
    }

    /// Adds up one worker's counters.
    pub(crate) fn sum_of(&self, worker: usize) -> u64 {
        self.workers[worker % self.workers.len()].0.iter().map(Counter::get).fold(0, u64::wrapping_add)
    }

    /// Adds up the workers' counters.
    pub fn sum(&self) -> [u64; N] {
        let sum = |which: usize| self.workers.iter().map(|slot| slot.0[which].get()).fold(0, u64::wrapping_add);
        std::array::from_fn(sum)
    }
}

/// Requests by rule: one counter each.
pub type RuleTally = Arc<Tally<1>>;
/// Picks by service: hit, fallback, none.
pub type ServiceTally = Arc<Tally<4>>;

/// All of them. A name keeps its counter from one snapshot to the next, for as long as it is there.
#[derive(Debug)]
pub struct Tallies {
    workers: usize,
    rules: HashMap<Box<str>, RuleTally>,
    services: HashMap<Box<str>, ServiceTally>,
    /// Requests in flight, by route; of all of them under no name.
    in_flight: HashMap<Box<str>, Arc<AtomicUsize>>,
}

impl Tallies {
    /// None yet, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers, rules: HashMap::new(), services: HashMap::new(), in_flight: HashMap::new() }
    }

    /// The counters of the rules, in their order, with that of the default last. Those of other rules are forgotten.
    pub fn rules(&mut self, rules: &RuleSet) -> Arc<[(Box<str>, RuleTally)]> {
        let known: HashSet<&str> = rules.rules().iter().map(|rule| &*rule.name).chain(["default", OTHERS]).collect();
        self.rules.retain(|name, _| known.contains(&**name));
        let names = rules.rules().iter().map(|rule| &*rule.name).chain(["default"]);
        names.map(|name| named(&mut self.rules, name, self.workers)).collect()
    }

    /// How many requests may be in flight: on all routes together, and on each of these.
    pub fn limits(&mut self, all: Option<usize>, routes: &RouteTable) -> InFlightLimits {
        let routes = routes.routes();
        let known: HashSet<&str> = routes.iter().map(|route| &*route.id).chain([""]).collect();
        self.in_flight.retain(|id, _| known.contains(&**id));
        let mut limit = |id: &str, max: Option<usize>| {
            max.map(|max| InFlightLimit::new(max, Arc::clone(self.in_flight.entry(id.into()).or_default())))
        };
        let all = limit("", all);
        InFlightLimits {
            all,
            routes: routes.iter().map(|route| limit(&route.id, route.metadata.max_in_flight)).collect(),
        }
    }

    /// Forgets the counters of all services but these.
    pub fn retain_services(&mut self, is_known: impl Fn(&str) -> bool) {
        self.services.retain(|name, _| &**name == OTHERS || is_known(name));
    }

    /// The counter of a service.
    pub fn service(&mut self, name: &str) -> ServiceTally {
        match self.services.get(name) {
            Some(tally) => Arc::clone(tally),
            None => named(&mut self.services, name, self.workers).1,
        }
    }
}

fn named<const N: usize>(
    tallies: &mut HashMap<Box<str>, Arc<Tally<N>>>,
    name: &str,
    workers: usize,
) -> (Box<str>, Arc<Tally<N>>) {
    let name: Box<str> = if tallies.len() < MAX_NAMES || tallies.contains_key(name) { name } else { OTHERS }.into();
    let tally = tallies.entry(name.clone()).or_insert_with(|| Arc::new(Tally::new(workers)));
    (name, Arc::clone(tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_added_up() {
        let tally = Tally::<2>::new(3);
        for (worker, which) in [(0, 0), (1, 0), (2, 1), (2, 1), (2, 0)] {
            tally.add(worker, which);
        }
        assert_eq!(tally.sum(), [3, 2]);
    }

    #[test]
    fn names_keep_their_counters_and_are_bounded() {
        let mut tallies = Tallies::new(2);
        let first = tallies.service("order-app");
        assert!(Arc::ptr_eq(&first, &tallies.service("order-app")));
        for place in 0..2 * MAX_NAMES {
            tallies.service(&format!("s{place}"));
        }
        assert!(tallies.services.len() <= MAX_NAMES + 1);
        assert!(Arc::ptr_eq(&first, &tallies.service("order-app")));
        assert!(Arc::ptr_eq(&tallies.service("x"), &tallies.service("y")));
        tallies.retain_services(|name| name == "order-app");
        assert!(Arc::ptr_eq(&first, &tallies.service("order-app")), "it is still there");
        assert!(!Arc::ptr_eq(&tallies.service("x"), &tallies.service("y")), "room again");
    }
}
