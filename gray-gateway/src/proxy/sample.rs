//! A sample of the requests, for replays: so many per tick of the clock, handed over without waiting.

use std::{cell::Cell, sync::Arc};

use gray_common::rule::{FactPlan, FactRecord, Facts};

use super::clock::TICK;
use crate::record::RecordSender;

/// Requests per second that one worker records at most.
const PER_SECOND: u32 = 200;
const PER_TICK: u32 = PER_SECOND * TICK.as_millis() as u32 / 1000;

/// What became of a request's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    /// Handed over.
    Kept,
    /// Too long, or nobody takes them fast enough.
    Dropped,
    /// Not in the sample, or nothing is recorded at all.
    Skipped,
}

/// One worker's sampler.
pub(super) struct Sampler {
    records: Option<RecordSender>,
    tick: Cell<u64>,
    left: Cell<u32>,
}

impl Sampler {
    pub(super) fn new(records: Option<RecordSender>) -> Self {
        Self { records, tick: Cell::new(0), left: Cell::new(PER_TICK) }
    }

    /// Records the facts of a request if it is its turn.
    pub(super) fn sample(&self, tick: u64, plan: &Arc<FactPlan>, facts: &impl Facts, knows_cities: bool) -> Sampled {
        let Some(records) = &self.records else { return Sampled::Skipped };
        if self.tick.replace(tick) != tick {
            self.left.set(PER_TICK);
        }
        let Some(left) = self.left.get().checked_sub(1) else { return Sampled::Skipped };
        self.left.set(left);
        let Some(record) = FactRecord::new(plan, facts, knows_cities) else { return Sampled::Dropped };
        if records.try_send(record).is_ok() { Sampled::Kept } else { Sampled::Dropped }
    }
}

#[cfg(test)]
mod tests {
    use gray_common::rule::RequestFacts;
    use http::HeaderMap;

    use super::*;
    use crate::record::channel;

    #[test]
    fn so_many_per_tick_and_never_more_than_there_is_room() {
        let (headers, plan) = (HeaderMap::new(), Arc::default());
        let facts = RequestFacts::new(&headers);
        let kept = |sampler: &Sampler, tick| {
            (0..100).filter(|_| sampler.sample(tick, &plan, &facts, true) == Sampled::Kept).count()
        };
        let (sender, collector) = channel(10).expect("on");
        let sampler = Sampler::new(Some(sender));
        assert_eq!([kept(&sampler, 0), kept(&sampler, 0), kept(&sampler, 1)], [20, 0, 20]);
        drop(collector);
        assert_eq!(sampler.sample(2, &plan, &facts, true), Sampled::Dropped);
        assert_eq!(Sampler::new(None).sample(2, &plan, &facts, true), Sampled::Skipped);
    }
}
