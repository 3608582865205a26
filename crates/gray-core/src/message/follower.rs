//! The owner of a partition in the gray group, a gray process or a baseline one that stands by.

use std::sync::Arc;

use super::{Ledger, Range, Split, Worked};

/// How far the gray group is in a partition, and which ledger it knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follower<S = Arc<Split>> {
    position: Option<i64>,
    known: Ledger<S>,
}

/// What the gray group does at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'f, S = Arc<Split>> {
    /// Handles the message if it is gray by this, and passes it else.
    Read(&'f S),
    /// Goes on at this offset: what lies before is the baseline's.
    Jump(i64),
    /// Nothing is its own yet: it reads the ledger again before it goes on.
    Wait,
}

impl<S: Clone + PartialEq> Follower<S> {
    /// Goes on where the group has committed.
    pub fn new(committed: Option<Worked<S>>) -> Self {
        match committed {
            Some(worked) => Self { position: Some(worked.position), known: worked.known },
            None => Self { position: None, known: Ledger::default() },
        }
    }

    /// Takes in what the baseline group has committed: its ledger, and its position. Returns whether it goes back.
    ///
    /// It goes back to the start of every range that it did not know while it passed: it passed by another one, which had no
    /// end yet as far as it knew. A range that it knew and that is missing was dropped when it was passed, or by a tool
    /// that has set the offsets of the baseline group anew: then it ends where that group goes on.
    pub fn learn(&mut self, ledger: &Ledger<S>, baseline: i64) -> bool {
        let before = self.position;
        let is_in = |ledger: &Ledger<S>, range: &Range<S>| ledger.ranges().iter().any(|other| other.is_same(range));
        for range in ledger.ranges() {
            let known = self.known.ranges().iter().find(|known| known.is_same(range));
            let first = match known.map(|known| known.end) {
                None => range.start,
                // It was thought to end earlier.
                Some(Some(end)) if range.end.is_none_or(|later| end < later) => end,
                Some(_) => continue,
            };
            self.position = Some(self.position.map_or(first, |position| position.min(first)));
        }
        let position = self.position.unwrap_or(0);
        let cut = |range: &Range<S>| {
            let end = range.end.map_or(baseline, |end| end.min(baseline));
            let next = ledger.ranges().first().map_or(end, |first| end.min(first.start));
            (next > position.max(range.start)).then(|| Range { end: Some(next), ..range.clone() })
        };
        let lost = self.known.ranges().iter().filter(|range| !is_in(ledger, range)).filter_map(cut);
        let ranges = lost.chain(ledger.ranges().iter().cloned()).collect();
        self.known = Ledger::new(ranges).unwrap_or_else(|| ledger.clone());
        before.is_some() && before != self.position
    }

    /// What to do with the next message, or with the one at this offset if the log has none before it.
    pub fn at(&self, offset: i64) -> Reading<'_, S> {
        match self.known.ranges().iter().find(|range| range.end.is_none_or(|end| offset < end)) {
            Some(range) if range.start <= offset => Reading::Read(&range.split),
            Some(range) => Reading::Jump(range.start),
            None => Reading::Wait,
        }
    }

    /// The next offset to read; `None` before there was anything for it.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Everything before this offset is handled or passed. Never goes back, and not beyond what is known to be its own.
    pub fn pass(&mut self, next: i64) {
        let limit = self.known.ranges().last().map_or(Some(0), |last| last.end);
        let next = limit.map_or(next, |limit| next.min(limit));
        self.position = self.position.map(|position| position.max(next));
    }

    /// What to commit; `None` before there was anything for it.
    pub fn worked(&self) -> Option<Worked<S>> {
        Some(Worked { position: self.position?, known: self.known.clone() })
    }

    /// Whether a group that has committed this, or nothing, has something to do where the baseline group has committed this.
    pub fn has_work(committed: Option<Worked<S>>, ledger: &Ledger<S>, baseline: i64) -> bool {
        let mut follower = Self::new(committed);
        follower.learn(ledger, baseline);
        !follower.is_done()
    }

    /// Whether all that it knows of is passed.
    pub fn is_done(&self) -> bool {
        self.known
            .ranges()
            .last()
            .is_none_or(|last| last.end.is_some_and(|end| self.position.is_some_and(|position| position >= end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(ranges: &[(i64, Option<i64>)]) -> Ledger<char> {
        let ranges = ranges.iter().map(|(start, end)| Range { start: *start, end: *end, split: 'a' });
        Ledger::new(ranges.collect()).expect("in order")
    }

    #[test]
    fn it_reads_what_is_left_to_it_and_goes_back_for_what_it_did_not_know() {
        let mut follower = Follower::new(None);
        assert_eq!((follower.at(0), follower.position()), (Reading::Wait, None));
        follower.learn(&ledger(&[(5, None)]), 5);
        assert_eq!((follower.at(0), follower.at(5)), (Reading::Jump(5), Reading::Read(&'a')));
        follower.pass(100);
        assert!(!follower.learn(&ledger(&[(5, Some(50))]), 50), "an end does not move the position back");
        assert_eq!(follower.at(100), Reading::Wait);
        assert!(follower.is_done());
        assert!(follower.learn(&ledger(&[(5, Some(50)), (60, None)]), 60));
        assert_eq!((follower.position(), follower.at(60)), (Some(60), Reading::Read(&'a')));
        assert!(!follower.is_done());
    }

    #[test]
    fn it_never_passes_what_may_become_its_own() {
        let mut follower = Follower::new(None);
        follower.learn(&ledger(&[(5, Some(9))]), 9);
        follower.pass(100);
        assert_eq!(follower.position(), Some(9));
    }

    /// The offsets of the baseline group were set by a tool, which knows no metadata.
    #[test]
    fn a_range_that_was_wiped_ends_where_the_baseline_goes_on() {
        let worked = Worked { position: 7, known: ledger(&[(5, None)]) };
        let mut follower = Follower::new(Some(worked));
        follower.learn(&Ledger::default(), 20);
        assert_eq!((follower.at(19), follower.at(20)), (Reading::Read(&'a'), Reading::Wait));
    }
}
