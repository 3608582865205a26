//! What a partition's owner in the baseline group leaves to the gray group: ranges of offsets.

use std::sync::Arc;

use super::Split;

/// Most ranges that a ledger has. While it is full, the baseline begins no new one and handles what would be in it.
pub const MAX_RANGES: usize = 6;

/// Offsets of a partition whose gray messages are the gray group's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range<S = Arc<Split>> {
    /// The first.
    pub start: i64,
    /// The first offset behind it; `None` while it is open.
    pub end: Option<i64>,
    /// Which messages are gray there.
    pub split: S,
}

impl<S: PartialEq> Range<S> {
    fn has(&self, offset: i64) -> bool {
        self.start <= offset && self.end.is_none_or(|end| offset < end)
    }

    /// Whether it is the same one, apart from its end, which only its owner sets.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.start == other.start && self.split == other.split
    }
}

/// The ranges of one partition, in order, without overlap; only the last may lack an end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger<S = Arc<Split>>(Vec<Range<S>>);

impl<S> Default for Ledger<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a baseline consumer wants of the partitions that it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<S = Arc<Split>> {
    /// That they stay as they are, if they are split so.
    Keep(S),
    /// That gray messages are left to the gray group from here on.
    Open(S),
    /// That it handles all of them from here on.
    Close,
}

/// What the gray group has committed for a partition: how far it is, and by which ledger it went there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worked<S = Arc<Split>> {
    /// The next offset that it reads.
    pub position: i64,
    /// The ledger that its owner knew.
    pub known: Ledger<S>,
}

impl<S: Clone + PartialEq> Ledger<S> {
    /// A ledger of these ranges; `None` when they overlap or are out of order.
    pub fn new(ranges: Vec<Range<S>>) -> Option<Self> {
        let is_well = ranges.iter().all(|range| range.start >= 0 && range.end.is_none_or(|end| range.start < end));
        let is_ordered = ranges.windows(2).all(|pair| match pair {
            [one, next] => one.end.is_some_and(|end| end <= next.start),
            _ => true,
        });
        (is_well && is_ordered).then_some(Self(ranges))
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Range<S>] {
        &self.0
    }

    /// Whether nothing is left to the gray group.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the gray group gets what is to come.
    pub fn is_open(&self) -> bool {
        self.0.last().is_some_and(|last| last.end.is_none())
    }

    /// Whether what is to come is split by another one.
    fn is_split_otherwise(&self, split: &S) -> bool {
        self.0.last().is_some_and(|last| last.end.is_none() && last.split != *split)
    }

    /// By what the messages at this offset are split; `None` where all are the baseline's.
    pub fn split_at(&self, offset: i64) -> Option<&S> {
        self.0.iter().find(|range| range.has(offset)).map(|range| &range.split)
    }

    /// The ledger that the owner in the baseline group has to commit, together with its position, before it goes on from there;
    /// `None` when nothing changes. `worked` is what it has last read of the gray group's commits: an older one is allowed.
    pub fn step(&self, position: i64, wish: &Wish<S>, worked: Option<&Worked<S>>) -> Option<Self> {
        // Asked before every message, and nearly always there is nothing to do.
        let is_as_wished = match wish {
            Wish::Open(split) => self.is_open() && !self.is_split_otherwise(split),
            Wish::Keep(split) => !self.is_split_otherwise(split),
            Wish::Close => !self.is_open(),
        };
        if is_as_wished && (worked.is_none() || self.0.iter().all(|range| range.end.is_none())) {
            return None;
        }
        let mut next = self.clone();
        if let Some(worked) = worked {
            next.settle(position, worked);
        }
        match wish {
            Wish::Keep(split) if next.is_split_otherwise(split) => next.close(position, worked),
            Wish::Keep(_) => {}
            Wish::Close => next.close(position, worked),
            Wish::Open(split) => next.open(position, split, worked),
        }
        (next != *self).then_some(next)
    }

    /// Drops what both groups have passed: the gray one must have known the range when it did.
    fn settle(&mut self, position: i64, worked: &Worked<S>) {
        let is_done = |end| position >= end && worked.position >= end;
        self.0.retain(|range| !range.end.is_some_and(is_done) || !worked.knows(range));
    }

    /// Sets the end: behind what the baseline has read, and behind what the gray group has handled already.
    fn close(&mut self, position: i64, worked: Option<&Worked<S>>) {
        let Some(last) = self.0.last_mut().filter(|last| last.end.is_none()) else { return };
        let done = worked.filter(|worked| worked.knows(last)).map_or(position, |worked| worked.position.max(position));
        if done > last.start {
            last.end = Some(done);
        } else {
            // Nothing was skipped in it.
            self.0.pop();
        }
    }

    fn open(&mut self, position: i64, split: &S, worked: Option<&Worked<S>>) {
        if self.is_split_otherwise(split) {
            self.close(position, worked);
        }
        // A range that has ended stays so: the gray group may have passed what comes after it by another one.
        if !self.is_open() && self.0.len() < MAX_RANGES {
            let start = self.0.last().and_then(|last| last.end).map_or(position, |end| end.max(position));
            self.0.push(Range { start, end: None, split: split.clone() });
        }
    }
}

impl<S: PartialEq> Worked<S> {
    fn knows(&self, range: &Range<S>) -> bool {
        self.known.0.iter().any(|known| known.is_same(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `5-9a 12-b`: from 5 to before 9 by the split `a`, from 12 on by `b`.
    fn ledger(text: &str) -> Ledger<char> {
        let range = |word: &str| {
            let (offsets, split) = word.split_at(word.len() - 1);
            let (start, end) = offsets.split_once('-').expect("a range");
            Range {
                start: start.parse().expect("a start"),
                end: end.parse().ok(),
                split: split.parse().expect("a split"),
            }
        };
        Ledger::new(text.split_whitespace().map(range).collect()).expect("in order")
    }

    #[test]
    fn the_owner_announces_before_it_goes_on() {
        use Wish::{Close, Keep, Open};
        // (ledger; position; wish; position and ledger of the gray group; what is to be committed)
        for (before, position, wish, worked, expect) in [
            ("", 7, Keep('a'), None, None),
            ("", 7, Close, None, None),
            ("", 7, Open('a'), None, Some("7-a")),
            ("7-a", 9, Open('a'), None, None),
            ("7-a", 9, Keep('a'), None, None),
            // It ends where nothing behind is done by either group.
            ("7-a", 9, Close, None, Some("7-9a")),
            ("7-a", 9, Close, Some((30, "7-a")), Some("7-30a")),
            ("7-a", 9, Close, Some((30, "2-7b")), Some("7-9a")),
            ("7-a", 7, Close, None, Some("")),
            // Another version follows.
            ("7-a", 9, Open('b'), None, Some("7-9a 9-b")),
            ("7-a", 9, Keep('b'), None, Some("7-9a")),
            ("7-a", 9, Open('b'), Some((30, "7-a")), Some("7-30a 30-b")),
            // The same one is back, before its end and after.
            ("7-30a", 9, Open('a'), None, Some("7-30a 30-a")),
            ("7-30a", 31, Open('a'), None, Some("7-30a 31-a")),
            // Passed by both, by a ledger that had it.
            ("7-30a", 31, Close, Some((30, "7-a")), Some("")),
            ("7-30a", 31, Close, Some((29, "7-a")), None),
            ("7-30a", 31, Close, Some((30, "8-a")), None),
            ("7-30a", 29, Close, Some((30, "7-a")), None),
            ("1-2a 3-4a 5-6a 7-8a 9-10a 11-12a", 13, Open('a'), None, None),
        ] {
            let worked = worked.map(|(position, known)| Worked { position, known: ledger(known) });
            let next = ledger(before).step(position, &wish, worked.as_ref());
            assert_eq!(next, expect.map(ledger), "{before:?} at {position}, {wish:?}");
        }
    }

    #[test]
    fn ranges_are_in_order() {
        let range = |start, end| Range { start, end, split: 'a' };
        for ranges in [
            vec![range(5, Some(5))],
            vec![range(-1, None)],
            vec![range(5, None), range(9, None)],
            vec![range(5, Some(9)), range(8, None)],
        ] {
            assert_eq!(Ledger::new(ranges.clone()), None, "{ranges:?}");
        }
    }
}
