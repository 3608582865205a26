//! Who is alive in the gray group, and what the baseline's processes do about it.

use std::sync::Arc;

use super::{Ledger, Split, Wish};

/// What a baseline process has seen of the gray group. Times in milliseconds, on any clock that goes forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    absent_since_ms: Option<u64>,
    is_present: bool,
}

/// What a baseline process is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// With its partitions.
    pub wish: Wish,
    /// Whether it is to be a member of the gray group as well, if that has anything left to do.
    pub stands_by: bool,
}

impl Presence {
    /// Takes in how many gray processes are members of the gray group; those of the baseline that stand by do not count. What could
    /// not be asked is not taken in.
    pub fn see(&mut self, gray_members: usize, now_ms: u64) {
        self.is_present = gray_members > 0;
        self.absent_since_ms = if self.is_present { None } else { self.absent_since_ms.or(Some(now_ms)) };
    }

    /// What follows. `split`: `None` without a gray version: it was promoted, or switched off. `is_deployed`:
    /// whether the registry knows a gray instance, alive or not. `grace_ms`: how long the gray group may be without a member.
    pub fn intent(&self, split: Option<&Arc<Split>>, is_deployed: bool, grace_ms: u64, now_ms: u64) -> Intent {
        let is_gone = self.absent_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= grace_ms);
        let wish = match split {
            None => Wish::Close,
            Some(split) if self.is_present => Wish::Open(Arc::clone(split)),
            Some(_) if is_gone && !is_deployed => Wish::Close,
            Some(split) => Wish::Keep(Arc::clone(split)),
        };
        Intent { wish, stands_by: is_gone }
    }
}

/// The state of a topic, as the process sees it that owns some of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The baseline handles everything.
    Absent,
    /// Some partitions are the gray group's.
    Starting,
    /// All are.
    Live,
    /// All are, and no gray member is alive: the baseline works for it.
    Standby,
    /// The gray group works its partitions off to their ends.
    Retiring,
}

impl Phase {
    /// All phases, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Absent, Self::Starting, Self::Live, Self::Standby, Self::Retiring];

    /// By the ledgers of the partitions and what the process is to do.
    pub fn of<'l>(ledgers: impl IntoIterator<Item = &'l Ledger>, intent: &Intent) -> Self {
        let (mut all, mut open, mut empty) = (0, 0, 0);
        for ledger in ledgers {
            all += 1;
            open += usize::from(ledger.is_open());
            empty += usize::from(ledger.is_empty());
        }
        match intent.wish {
            _ if empty == all && !matches!(intent.wish, Wish::Open(_)) => Self::Absent,
            Wish::Close => Self::Retiring,
            _ if open == 0 && !matches!(intent.wish, Wish::Open(_)) => Self::Retiring,
            _ if open < all => Self::Starting,
            _ if intent.stands_by => Self::Standby,
            _ => Self::Live,
        }
    }

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Standby => "standby",
            Self::Retiring => "retiring",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        balance::{Fallback, VersionPolicy},
        message::Range,
    };

    const T: u64 = 1_000;

    fn split() -> Arc<Split> {
        Split::between_versions(&VersionPolicy::new(true, "V1", "V2", Fallback::Prod)).expect("a split").into()
    }

    #[test]
    fn the_baseline_stands_by_after_t() {
        let split = split();
        let open = || Wish::Open(Arc::clone(&split));
        let keep = || Wish::Keep(Arc::clone(&split));
        let mut presence = Presence::default();
        // (now; members seen, if any; deployed; what follows)
        for (now_ms, members, is_deployed, wish, stands_by) in [
            (0, None, true, keep(), false),
            (5_000, None, false, keep(), false),
            (6_000, Some(0), true, keep(), false),
            (6_999, Some(0), false, keep(), false),
            (7_000, Some(0), true, keep(), true),
            (7_001, None, false, Wish::Close, true),
            (7_002, Some(2), false, open(), false),
            (9_999, None, false, open(), false),
            (10_000, Some(0), true, keep(), false),
            (10_500, Some(1), true, open(), false),
            (10_600, Some(0), true, keep(), false),
            (11_599, Some(0), false, keep(), false),
            (11_600, Some(0), false, Wish::Close, true),
        ] {
            if let Some(members) = members {
                presence.see(members, now_ms);
            }
            let intent = presence.intent(Some(&split), is_deployed, T, now_ms);
            assert_eq!(intent, Intent { wish, stands_by }, "at {now_ms}");
        }
        presence.see(2, 20_000);
        assert_eq!(presence.intent(None, true, T, 30_000), Intent { wish: Wish::Close, stands_by: false });
    }

    #[test]
    fn a_topic_goes_through_all_phases() {
        let split = split();
        let ledger = |end| Ledger::new(vec![Range { start: 5, end, split: Arc::clone(&split) }]).expect("in order");
        let none = Ledger::default;
        let open = || Wish::Open(Arc::clone(&split));
        let keep = || Wish::Keep(Arc::clone(&split));
        for (ledgers, wish, stands_by, phase) in [
            ([none(), none()], keep(), true, Phase::Absent),
            ([none(), none()], open(), false, Phase::Starting),
            ([ledger(None), none()], open(), false, Phase::Starting),
            ([ledger(None), ledger(None)], open(), false, Phase::Live),
            ([ledger(None), ledger(None)], keep(), true, Phase::Standby),
            ([ledger(None), ledger(Some(9))], Wish::Close, true, Phase::Retiring),
            ([none(), ledger(Some(9))], keep(), true, Phase::Retiring),
            ([none(), ledger(Some(9))], Wish::Close, false, Phase::Retiring),
            ([none(), none()], Wish::Close, false, Phase::Absent),
        ] {
            let seen = Phase::of(&ledgers, &Intent { wish, stands_by });
            assert_eq!(seen, phase, "{ledgers:?}");
        }
    }
}
