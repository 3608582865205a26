//! The calls of the last seconds of one generation, second by second (`TIME_BASED`).

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};

use super::window::{Counts, is_newer};

const COUNT_BITS: u32 = 18;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const TAG_SHIFT: u32 = 3 * COUNT_BITS;
const SECOND_BITS: u32 = 40;
const SECONDS: u64 = (1 << SECOND_BITS) - 1;

/// The seconds, each in its place of a ring.
#[derive(Debug)]
pub(super) struct Seconds(Box<[Second]>);

/// One second.
#[derive(Debug, Default)]
struct Second {
    /// Generation and second, plus one: 0 is none.
    stamp: AtomicU64,
    /// Three counts, and a part of the stamp that they are of.
    counts: AtomicU64,
}

fn stamp(generation: u32, second: u64) -> u64 {
    (u64::from(generation) << SECOND_BITS | (second & SECONDS)) + 1
}

/// Generation and second of a stamp.
fn parts(stamp: u64) -> (u32, u64) {
    let stamp = stamp - 1;
    ((stamp >> SECOND_BITS) as u32, stamp & SECONDS)
}

/// Whether one stamp is of a later moment than another.
fn is_later(one: u64, other: u64) -> bool {
    let ((generation, second), (other_generation, other_second)) = (parts(one), parts(other));
    is_newer(generation, other_generation) || (generation == other_generation && second > other_second)
}

impl Seconds {
    /// A ring for so many.
    pub(super) fn new(seconds: u32) -> Self {
        Self((0..seconds).map(|_| Second::default()).collect())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// What of its stamp is kept with the counts of a second: those that share a place one after the other differ in it.
    fn tag(&self, stamp: u64) -> u64 {
        let (generation, second) = parts(stamp);
        (second / self.len().max(1)).wrapping_add(u64::from(generation)) << TAG_SHIFT
    }

    /// Adds a call that ended in this second, and returns how those of the window went; `None` when it comes so late that its
    /// second is gone.
    pub(super) fn add(&self, generation: u32, second: u64, has_failed: bool, is_slow: bool) -> Option<Counts> {
        let place = self.0.get(usize::try_from(second.checked_rem(self.len())?).ok()?)?;
        let mine = stamp(generation, second);
        loop {
            // In this order: counts that are read before the stamp is mine are those of this second, or of one before.
            let before = place.counts.load(Acquire);
            let found = place.stamp.load(Acquire);
            if found != mine {
                if found != 0 && is_later(found, mine) {
                    return None;
                }
                // Of several at once one changes it; then all look again.
                _ = place.stamp.compare_exchange(found, mine, Release, Acquire);
                continue;
            }
            let tag = self.tag(mine);
            let counts = if before >> TAG_SHIFT << TAG_SHIFT == tag { before & !(u64::MAX << TAG_SHIFT) } else { 0 };
            if counts & MOST == MOST {
                break;
            }
            let one = 1 | u64::from(has_failed) << COUNT_BITS | u64::from(is_slow) << (2 * COUNT_BITS);
            if place.counts.compare_exchange(before, tag | (counts + one), Release, Acquire).is_ok() {
                break;
            }
        }
        Some(self.of(generation, second))
    }

    /// How the calls of a generation went in the seconds that end with this one.
    fn of(&self, generation: u32, last: u64) -> Counts {
        let first = last.saturating_sub(self.len().saturating_sub(1));
        let mut all = Counts::default();
        for place in &self.0 {
            let (counts, found) = (place.counts.load(Acquire), place.stamp.load(Acquire));
            if found == 0 || counts >> TAG_SHIFT << TAG_SHIFT != self.tag(found) {
                continue;
            }
            let (of, second) = parts(found);
            if of != generation || second < first || second > last {
                continue;
            }
            let count = |place: u32| u32::try_from(counts >> (place * COUNT_BITS) & MOST).unwrap_or(0);
            all.calls = all.calls.saturating_add(count(0));
            all.failed = all.failed.saturating_add(count(1));
            all.slow = all.slow.saturating_add(count(2));
        }
        all
    }

    /// How they went in the last seconds that there were calls in.
    pub(super) fn newest(&self, generation: u32) -> Counts {
        let stamps = self.0.iter().map(|place| place.stamp.load(Acquire)).filter(|stamp| *stamp != 0);
        let seconds = stamps.map(parts).filter(|(of, _)| *of == generation).map(|(_, second)| second);
        seconds.max().map_or_else(Counts::default, |last| self.of(generation, last))
    }
}
