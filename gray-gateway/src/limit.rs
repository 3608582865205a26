//! How many requests may be in flight at the same time; who comes beyond that is turned away at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// At most so many at once. The count is shared with the limit that follows it when the configuration changes.
#[derive(Clone, Debug)]
pub struct InFlightLimit {
    max: usize,
    current: Arc<AtomicUsize>,
}

impl InFlightLimit {
    /// At most `max`, counted in `current`.
    pub fn new(max: usize, current: Arc<AtomicUsize>) -> Self {
        Self { max, current }
    }

    /// A place, kept until it is dropped; `None` when there is none.
    pub fn acquire(&self) -> Option<Permit> {
        let permit = Permit { current: Arc::clone(&self.current) };
        // Counted first: of several at once none gets a place too many, and at worst one of them too few.
        (self.current.fetch_add(1, Relaxed) < self.max).then_some(permit)
    }
}

/// A place among those in flight.
#[derive(Debug)]
pub struct Permit {
    current: Arc<AtomicUsize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.current.fetch_sub(1, Relaxed);
    }
}

/// The limits of one configuration.
#[derive(Clone, Debug, Default)]
pub struct InFlightLimits {
    /// Of all requests together: `gateway.maxInFlight`.
    pub all: Option<InFlightLimit>,
    /// Of the route at the same place: `metadata.max-in-flight`.
    pub routes: Box<[Option<InFlightLimit>]>,
}

impl InFlightLimits {
    /// Places for a request of the route at this place; `None` when one of them is taken.
    pub fn acquire(&self, place: usize) -> Option<[Option<Permit>; 2]> {
        let acquire = |limit: Option<&InFlightLimit>| match limit {
            None => Some(None),
            Some(limit) => limit.acquire().map(Some),
        };
        let route = acquire(self.routes.get(place).and_then(Option::as_ref))?;
        Some([route, acquire(self.all.as_ref())?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_outlive_a_change() {
        let current = Arc::new(AtomicUsize::new(0));
        let limit = InFlightLimit::new(2, Arc::clone(&current));
        let (one, two) = (limit.acquire().expect("free"), limit.acquire().expect("free"));
        assert!(limit.acquire().is_none());
        let next = InFlightLimit::new(3, Arc::clone(&current));
        let three = next.acquire().expect("the limit is higher now");
        drop((one, two, three));
        assert_eq!(current.load(Relaxed), 0);
        assert!(InFlightLimit::new(0, current).acquire().is_none());
    }

    #[test]
    fn a_request_needs_both_places_or_takes_none() {
        let limit = |max| InFlightLimit::new(max, Arc::default());
        let limits = InFlightLimits { all: Some(limit(1)), routes: [Some(limit(5)), None].into() };
        let held = limits.acquire(0).expect("free");
        assert!(limits.acquire(0).is_none() && limits.acquire(1).is_none() && limits.acquire(7).is_none());
        let count = |place: usize| limits.routes[place].as_ref().expect("limited").current.load(Relaxed);
        assert_eq!(count(0), 1);
        drop(held);
        assert_eq!(count(0), 0);
        assert!(limits.acquire(1).is_some());
        assert!(InFlightLimits::default().acquire(0).is_some());
    }
}
