//! Counters, one padded slot per worker; added up when they are read.

use std::{io, sync::Arc};

use gray_core::{GrayStatus, breaker::Phase, lane::baggage::Dropped};
use http::StatusCode;

use crate::{
    egress::LaneSource,
    proxy::{response::refusal::Refusal, upstream::fault::Fault},
    rates::Missed,
    tally::Counter,
};

/// The counters of all workers.
#[derive(Clone, Debug)]
pub struct Stats {
    workers: Arc<[WorkerStats]>,
}

/// One worker's counters. Only that worker writes them (`log_failed`: the access log's thread), so an increment is a load and a store; cache lines of
/// its own, so that workers do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(in crate::proxy) struct WorkerStats {
    responses: [Counter; 5],
    decisions: [Counter; 3],
    refused: [Counter; Refusal::ALL.len()],
    faults: [Counter; Fault::ALL.len()],
    pub(in crate::proxy) fallbacks: Counter,
    pub(in crate::proxy) tag_only: Counter,
    baggage_dropped: [Counter; 3],
    baggage_unwritten: Counter,
    pub(in crate::proxy) no_instance: Counter,
    pub(in crate::proxy) no_route: Counter,
    pub(in crate::proxy) retries: Counter,
    pub(in crate::proxy) repeats: Counter,
    pub(in crate::proxy) repeats_refused: Counter,
    pub(in crate::proxy) shed: Counter,
    pub(in crate::proxy) hedges: Counter,
    pub(in crate::proxy) breaker_refused: Counter,
    pub(in crate::proxy) breaker_changes: [Counter; Phase::ALL.len()],
    pub(in crate::proxy) breaker_fallbacks: [Counter; FallbackKind::ALL.len()],
    /// `unreachable` and `failures`; checks are made elsewhere.
    pub(in crate::proxy) ejections: [Counter; 2],
    pub(in crate::proxy) began: Counter,
    pub(in crate::proxy) ended: Counter,
    pub(in crate::proxy) connections: Counter,
    pub(in crate::proxy) disconnections: Counter,
    /// Connections to instances.
    pub(super) dialled: Counter,
    pub(super) hung_up: Counter,
    /// Bytes of buffers that are held while something is waited for, as of a tick.
    pub(in crate::proxy) held: Counter,
    pub(super) recorded: Counter,
    pub(super) unrecorded: Counter,
    pub(in crate::proxy) log_dropped: Counter,
    pub(in crate::proxy) log_failed: Counter,
    /// Requests that Redis has not counted.
    pub(in crate::proxy) rates_missed: [Counter; Missed::ALL.len()],
    /// Requests of an egress, by where their lane is from.
    pub(in crate::proxy) lanes: [Counter; LaneSource::ALL.len()],
    /// 1 while there is a connection to Redis.
    pub(super) redis_connected: Counter,
}

impl WorkerStats {
    pub(in crate::proxy) fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.responses[class - 1].add();
    }

    /// A client was turned away.
    pub(in crate::proxy) fn refused(&self, why: Refusal) {
        self.refused_many(why, 1);
    }

    /// So many of them were.
    pub(in crate::proxy) fn refused_many(&self, why: Refusal, count: usize) {
        self.refused[why as usize].add_many(count as u64);
    }

    /// What was dropped of a request's baggage, and whether our member was not written because it would be too long.
    pub(in crate::proxy) fn baggage(&self, dropped: Dropped, is_unwritten: bool) {
        let Dropped { forged, malformed, over } = dropped;
        for (counter, count) in self.baggage_dropped.iter().zip([forged, malformed, over]) {
            if count > 0 {
                counter.add_many(count as u64);
            }
        }
        if is_unwritten {
            self.baggage_unwritten.add();
        }
    }

    /// An attempt at an instance has failed.
    pub(in crate::proxy) fn failed(&self, fault: Fault) {
        self.faults[fault as usize].add();
    }

    /// Writing to a client has failed: whether we or the kernel had waited long enough.
    pub(in crate::proxy) fn written(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.refused(Refusal::WriteTimeout);
        }
    }

    /// Open client connections.
    pub(in crate::proxy) fn open(&self) -> u64 {
        difference(self.disconnections.get(), || self.connections.get())
    }

    /// Open connections of both sides.
    fn descriptors(&self) -> u64 {
        self.open() + difference(self.hung_up.get(), || self.dialled.get())
    }

    pub(in crate::proxy) fn decided(&self, status: GrayStatus) {
        self.decisions[status as usize].add();
    }
}

/// How the choice of an instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// One of the kind that the lane wants most.
    Hit,
    /// One that the lane allows for want of that.
    Fallback,
    /// Any, because the service is not under gray release: none of its instances says a version.
    Unversioned,
    /// None.
    None,
}

impl Pick {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Fallback, Self::Unversioned, Self::None];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fallback => "fallback",
            Self::Unversioned => "unversioned",
            Self::None => "none",
        }
    }
}

/// What answered in place of a route that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackKind {
    /// Another route.
    Route,
    /// The documents (`gray.spring.fallbacks`).
    Answer,
    /// Nothing: 503.
    None,
}

impl FallbackKind {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Route, Self::Answer, Self::None];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Answer => "answer",
            Self::None => "none",
        }
    }
}

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Responses by status class, 1xx to 5xx, our own answers included.
    pub responses: [u64; 5],
    /// Decisions by tag, in the order of [`GrayStatus::ALL`].
    pub decisions: [u64; 3],
    /// Gray requests that a fallback served.
    pub fallbacks: u64,
    /// Requests on lanes that no tag can say, to instances that may know the tag alone.
    pub tag_only: u64,
    /// Members of clients' baggage that were dropped: forged, malformed, over the limits.
    pub baggage_dropped: [u64; 3],
    /// Requests whose lane was too long for a member of baggage.
    pub baggage_unwritten: u64,
    /// Requests for which no instance was available (503).
    pub no_instance: u64,
    /// Requests that no route matched (404).
    pub no_route: u64,
    /// Requests that went on to another instance because there was no connection to the one before.
    pub retries: u64,
    /// Requests that were sent again after something of them had been sent.
    pub repeats: u64,
    /// Requests that were not, because the retry budget was spent.
    pub repeats_refused: u64,
    /// Requests that were sent to a second instance, because the first one took long.
    pub hedges: u64,
    /// Requests for which no instance was asked, because a circuit breaker was open.
    pub breaker_refused: u64,
    /// Changes of circuit breakers, by what they changed to, in the order of `Phase::ALL`.
    pub breaker_changes: [u64; Phase::ALL.len()],
    /// Failed requests that a fallback was to answer, in the order of [`FallbackKind::ALL`].
    pub breaker_fallbacks: [u64; FallbackKind::ALL.len()],
    /// Requests that were turned away because too many were in flight.
    pub shed: u64,
    /// Ejections of instances: those that could not be reached, and those that failed.
    pub ejections: [u64; 2],
    /// Requests in flight: begun, and the response's last byte not yet handed over.
    pub in_flight: u64,
    /// Open client connections.
    pub connections: u64,
    /// Open connections to instances, those that wait for work included.
    pub upstream_connections: u64,
    /// Bytes of buffers that requests hold while they wait, a moment ago.
    pub held_bytes: u64,
    /// Requests kept for replays.
    pub recorded: u64,
    /// Requests that were to be kept and were not: too long, or too many at once.
    pub unrecorded: u64,
    /// Lines of the access log that were dropped: written too slowly.
    pub log_dropped: u64,
    /// Lines of the access log that could not be written.
    pub log_failed: u64,
    /// Requests that Redis has not counted, in the order of [`Missed::ALL`].
    pub rates_missed: [u64; Missed::ALL.len()],
    /// Requests of an egress, in the order of [`LaneSource::ALL`].
    pub lanes: [u64; LaneSource::ALL.len()],
    /// Workers that are connected to Redis.
    pub redis_connections: u64,
    /// Requests and connections turned away, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Attempts at instances that failed, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
}

impl StatsSnapshot {
    /// All responses.
    pub fn requests(&self) -> u64 {
        self.responses.iter().sum()
    }

    /// Attempts to connect to an instance that failed, TLS included.
    pub fn connect_failures(&self) -> u64 {
        self.faults[Fault::Connect as usize] + self.faults[Fault::Tls as usize]
    }

    /// What was turned away for this reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize]
    }
}

impl Stats {
    /// Counters for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers.max(1)).map(|_| WorkerStats::default()).collect() }
    }

    /// How many workers it has room for.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// `start` sees to it that every worker has a slot of its own.
    pub(in crate::proxy) fn worker(&self, index: usize) -> &WorkerStats {
        &self.workers[index % self.workers.len()]
    }

    /// Open client connections of each worker.
    pub fn connections(&self) -> Vec<u64> {
        self.workers.iter().map(WorkerStats::open).collect()
    }

    /// Open client connections of all workers.
    pub(in crate::proxy) fn open(&self) -> u64 {
        self.workers.iter().map(WorkerStats::open).sum()
    }

    /// Open connections of all workers, to clients and to instances.
    pub(in crate::proxy) fn descriptors(&self) -> u64 {
        self.workers.iter().map(WorkerStats::descriptors).sum()
    }

    /// Bytes of buffers that all workers hold.
    pub(in crate::proxy) fn held(&self) -> u64 {
        self.workers.iter().map(|worker| worker.held.get()).sum()
    }

    /// Adds up the workers' counters.
    pub fn snapshot(&self) -> StatsSnapshot {
        let sum = |read: &dyn Fn(&WorkerStats) -> &Counter| {
            self.workers.iter().map(|worker| read(worker).get()).fold(0, u64::wrapping_add)
        };
        StatsSnapshot {
            responses: std::array::from_fn(|class| sum(&|w| &w.responses[class])),
            decisions: std::array::from_fn(|tag| sum(&|w| &w.decisions[tag])),
            fallbacks: sum(&|w| &w.fallbacks),
            tag_only: sum(&|w| &w.tag_only),
            baggage_dropped: std::array::from_fn(|why| sum(&|w| &w.baggage_dropped[why])),
            baggage_unwritten: sum(&|w| &w.baggage_unwritten),
            no_instance: sum(&|w| &w.no_instance),
            no_route: sum(&|w| &w.no_route),
            retries: sum(&|w| &w.retries),
            repeats: sum(&|w| &w.repeats),
            repeats_refused: sum(&|w| &w.repeats_refused),
            shed: sum(&|w| &w.shed),
            hedges: sum(&|w| &w.hedges),
            breaker_refused: sum(&|w| &w.breaker_refused),
            breaker_changes: std::array::from_fn(|phase| sum(&|w| &w.breaker_changes[phase])),
            breaker_fallbacks: std::array::from_fn(|kind| sum(&|w| &w.breaker_fallbacks[kind])),
            held_bytes: self.held(),
            ejections: std::array::from_fn(|reason| sum(&|w| &w.ejections[reason])),
            recorded: sum(&|w| &w.recorded),
            unrecorded: sum(&|w| &w.unrecorded),
            log_dropped: sum(&|w| &w.log_dropped),
            log_failed: sum(&|w| &w.log_failed),
            rates_missed: std::array::from_fn(|why| sum(&|w| &w.rates_missed[why])),
            lanes: std::array::from_fn(|source| sum(&|w| &w.lanes[source])),
            redis_connections: sum(&|w| &w.redis_connected),
            refused: std::array::from_fn(|why| sum(&|w| &w.refused[why])),
            faults: std::array::from_fn(|fault| sum(&|w| &w.faults[fault])),
            // `ended` first: a request that ends in between must not make the difference negative.
            in_flight: difference(sum(&|w| &w.ended), || sum(&|w| &w.began)),
            connections: difference(sum(&|w| &w.disconnections), || sum(&|w| &w.connections)),
            upstream_connections: difference(sum(&|w| &w.hung_up), || sum(&|w| &w.dialled)),
        }
    }
}

fn difference(less: u64, more: impl FnOnce() -> u64) -> u64 {
    more().saturating_sub(less)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let stats = Stats::new(2);
        for (index, status) in [(0, 200), (0, 204), (1, 200), (1, 503), (1, 999)] {
            let worker = stats.worker(index);
            worker.responded(StatusCode::from_u16(status).expect("status"));
            worker.decided(GrayStatus::Gray);
            worker.began.add();
        }
        stats.worker(0).ended.add();
        let seen = stats.snapshot();
        assert_eq!((seen.responses, seen.decisions, seen.in_flight), ([0, 3, 0, 0, 2], [0, 0, 5], 4));
        assert_eq!(seen.requests(), 5);
    }
}
