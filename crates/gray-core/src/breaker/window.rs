//! The last calls of one generation, and how many of them failed or were slow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Generations are numbered by so many bits, and begin again.
pub(super) const GENERATIONS: u32 = (1 << GENERATION_BITS) - 1;
const GENERATION_BITS: u32 = 19;
const COUNT_BITS: u32 = 15;
/// What a count of none is: while two threads add at once, a count may be below that for a moment.
const NONE: u64 = 1 << 13;

const FAILED: u32 = 1;
const SLOW: u32 = 2;
const FILLED: u32 = 4;
const SLOT_SHIFT: u32 = 3;

/// Whether a generation came after another.
pub(super) fn is_newer(one: u32, other: u32) -> bool {
    let ahead = one.wrapping_sub(other) & GENERATIONS;
    ahead != 0 && ahead <= GENERATIONS / 2
}

/// How calls went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that took too long.
    pub slow: u32,
}

impl Counts {
    /// In hundredths of a percent; 0 without calls.
    pub fn failure_rate(&self) -> u32 {
        rate(self.failed, self.calls)
    }

    /// In hundredths of a percent; 0 without calls.
    pub fn slow_rate(&self) -> u32 {
        rate(self.slow, self.calls)
    }
}

fn rate(part: u32, all: u32) -> u32 {
    (part * 10_000).checked_div(all).unwrap_or(0)
}

/// Counts in one word, each [`NONE`] too high, with the generation that they are of.
#[derive(Clone, Copy)]
struct Packed(u64);

impl Packed {
    fn none(generation: u32) -> Self {
        let none = NONE | NONE << COUNT_BITS | NONE << (2 * COUNT_BITS);
        Self(none | u64::from(generation) << (3 * COUNT_BITS))
    }

    fn generation(self) -> u32 {
        (self.0 >> (3 * COUNT_BITS)) as u32
    }

    /// With one more, or one less, of the count at this place.
    fn with(self, place: u32, was: bool, is: bool) -> Self {
        let one = 1 << (place * COUNT_BITS);
        Self(match (was, is) {
            (false, true) => self.0.wrapping_add(one),
            (true, false) => self.0.wrapping_sub(one),
            _ => self.0,
        })
    }

    fn counts(self) -> Counts {
        let count = |place: u32| {
            let count = self.0 >> (place * COUNT_BITS) & ((1 << COUNT_BITS) - 1);
            u32::try_from(count.saturating_sub(NONE)).unwrap_or(0)
        };
        Counts { calls: count(0), failed: count(1), slow: count(2) }
    }
}

#[derive(Debug)]
pub(super) struct Window {
    /// Of each call, how it went and of which generation it was.
    slots: Box<[AtomicU32]>,
    next: AtomicU64,
    /// A [`Packed`].
    counts: AtomicU64,
}

impl Window {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            next: AtomicU64::new(0),
            counts: AtomicU64::new(Packed::none(0).0),
        }
    }

    /// What there is of a generation.
    pub(super) fn counts(&self, generation: u32) -> Counts {
        let packed = Packed(self.counts.load(Relaxed));
        if packed.generation() == generation { packed.counts() } else { Counts::default() }
    }

    /// Adds a call to the last `size` ones, or to all there were, and returns how these went; `None` when they are of a later
    /// generation.
    pub(super) fn add(&self, generation: u32, size: Option<u32>, has_failed: bool, is_slow: bool) -> Option<Counts> {
        let flags = FILLED | if has_failed { FAILED } else { 0 } | if is_slow { SLOW } else { 0 };
        let was = match size {
            Some(size) => self.replace(generation, size, flags)?,
            None => 0,
        };
        let mut word = self.counts.load(Relaxed);
        loop {
            let mut packed = Packed(word);
            if is_newer(packed.generation(), generation) {
                return None;
            }
            if packed.generation() != generation {
                packed = Packed::none(generation);
            }
            for (place, flag) in [FILLED, FAILED, SLOW].into_iter().enumerate() {
                packed = packed.with(place as u32, was & flag != 0, flags & flag != 0);
            }
            match self.counts.compare_exchange_weak(word, packed.0, Relaxed, Relaxed) {
                Ok(_) => return Some(packed.counts()),
                Err(now) => word = now,
            }
        }
    }

    /// Puts a call in the place of the oldest one; returns how that went, if it was of the same generation.
    fn replace(&self, generation: u32, size: u32, flags: u32) -> Option<u32> {
        let place = self.next.fetch_add(1, Relaxed) % u64::from(size.max(1));
        let slot = self.slots.get(usize::try_from(place).ok()?)?;
        let mut before = slot.load(Relaxed);
        loop {
            if before & FILLED != 0 && is_newer(before >> SLOT_SHIFT, generation) {
                return None;
            }
            match slot.compare_exchange_weak(before, generation << SLOT_SHIFT | flags, Relaxed, Relaxed) {
                Ok(_) => return Some(if before >> SLOT_SHIFT == generation { before } else { 0 }),
                Err(now) => before = now,
            }
        }
    }
}
