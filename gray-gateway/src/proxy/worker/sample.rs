//! A sample of the requests, for replays: so many per tick of the clock, handed over together and without waiting.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use gray_rules::{FactPlan, FactRecord, Facts};

use super::clock::TICK;
use crate::record::RecordSender;

/// Requests per second that one worker records at most.
const PER_SECOND: u32 = 200;
const PER_TICK: u32 = PER_SECOND * TICK.as_millis() as u32 / 1000;

/// One worker's sampler.
pub(super) struct Sampler {
    records: Option<RecordSender>,
    tick: Cell<u64>,
    left: Cell<u32>,
    batch: RefCell<Vec<FactRecord>>,
    /// Records that were too long.
    too_long: Cell<usize>,
}

/// What became of the records since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HandedOver {
    /// Are on their way.
    pub(in crate::proxy) kept: usize,
    /// Are lost: too long, or they are not taken fast enough.
    pub(in crate::proxy) dropped: usize,
}

impl Sampler {
    pub(in crate::proxy) fn new(records: Option<RecordSender>) -> Self {
        Self {
            records,
            tick: Cell::new(0),
            left: Cell::new(PER_TICK),
            batch: RefCell::default(),
            too_long: Cell::new(0),
        }
    }

    /// Records the facts of a request if it is its turn.
    pub(in crate::proxy) fn sample(&self, tick: u64, plan: &Arc<FactPlan>, facts: &impl Facts, knows_cities: bool) {
        if self.records.is_none() {
            return;
        }
        if self.tick.replace(tick) != tick {
            self.left.set(PER_TICK);
        }
        let Some(left) = self.left.get().checked_sub(1) else { return };
        self.left.set(left);
        match FactRecord::new(plan, facts, knows_cities) {
            Some(record) => self.batch.borrow_mut().push(record),
            None => self.too_long.set(self.too_long.get() + 1),
        }
    }

    /// Hands over what was recorded since the last time.
    pub(in crate::proxy) fn hand_over(&self) -> HandedOver {
        let dropped = self.too_long.take();
        let batch = self.batch.take();
        let count = batch.len();
        let sent = count > 0 && self.records.as_ref().is_some_and(|records| records.try_send(batch).is_ok());
        if sent { HandedOver { kept: count, dropped } } else { HandedOver { kept: 0, dropped: dropped + count } }
    }
}

#[cfg(test)]
mod tests {
    use gray_rules::RequestFacts;
    use http::HeaderMap;

    use super::*;
    use crate::record::channel;

    #[test]
    fn so_many_per_tick_and_never_more_than_there_is_room() {
        let (headers, plan) = (HeaderMap::new(), Arc::default());
        let facts = RequestFacts::new(&headers);
        let kept = |sampler: &Sampler, tick| {
            (0..100).for_each(|_| sampler.sample(tick, &plan, &facts, true));
            sampler.hand_over()
        };
        let (sender, collector) = channel(10).expect("on");
        let sampler = Sampler::new(Some(sender));
        let (some, none) = (HandedOver { kept: 20, dropped: 0 }, HandedOver::default());
        assert_eq!([kept(&sampler, 0), kept(&sampler, 0), kept(&sampler, 1)], [some, none, some]);
        drop(collector);
        assert_eq!(kept(&sampler, 2), HandedOver { kept: 0, dropped: 20 });
        assert_eq!(kept(&Sampler::new(None), 2), none);
    }
}
