//! The world of the model.

use crate::message::{Follower, Ledger, Worked};

/// Processes 0 and 1 are of the baseline, 2 and 3 gray.
pub(super) const MEMBERS: usize = 4;
/// Most partitions.
pub(super) const PARTS: usize = 3;

/// A split is a number here: the first or the second gray version.
pub(super) type Split = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sight {
    Unknown,
    Gray,
    NoGray,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) is_alive: bool,
    /// What a baseline process has seen of the gray group.
    pub(super) sight: Sight,
    /// Which gray version it knows of; `None`: there is none (any more).
    pub(super) goal: Option<Split>,
    /// Whether it is a member of the gray group: always, of a gray process.
    pub(super) is_gray_member: bool,
}

/// An owner in the baseline group, and what it has in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) member: usize,
    pub(super) position: i64,
    pub(super) ledger: Ledger<Split>,
    /// The commit of the gray group, as it was when it last asked.
    pub(super) seen: Option<Worked<Split>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gray {
    pub(super) member: usize,
    pub(super) follower: Follower<Split>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Part {
    pub(super) base: Option<Base>,
    /// What the broker has for the baseline group.
    pub(super) position: i64,
    pub(super) ledger: Ledger<Split>,
    pub(super) gray: Option<Gray>,
    /// What it has for the gray group.
    pub(super) worked: Option<Worked<Split>>,
    /// One bit per message.
    pub(super) handled: u8,
    /// Those that may be handled again.
    pub(super) loose: u8,
}

/// How often what may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) crashes: u8,
    pub(super) starts: u8,
    pub(super) rebalances: u8,
    pub(super) goals: u8,
    pub(super) wipes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) members: [Member; MEMBERS],
    pub(super) parts: Vec<Part>,
    /// The gray version that the operator wants.
    pub(super) goal: Option<Split>,
    pub(super) budget: Budget,
}

pub(super) fn is_baseline(member: usize) -> bool {
    member < 2
}

impl State {
    pub(super) fn new(parts: usize, budget: Budget) -> Self {
        let member = |number| Member {
            is_alive: is_baseline(number),
            sight: Sight::Unknown,
            goal: Some(0),
            is_gray_member: !is_baseline(number),
        };
        assert!(parts <= PARTS);
        let parts = vec![Part::default(); parts];
        Self { members: [0, 1, 2, 3].map(member), parts, goal: Some(0), budget }
    }

    /// The same with one gray process, and every partition owned in both groups: no process has looked yet.
    pub(super) fn begun(mut self) -> Self {
        self.members[2].is_alive = true;
        for (place, part) in self.parts.iter_mut().enumerate() {
            let base = Base { member: place % 2, position: 0, ledger: Ledger::default(), seen: None };
            (part.base, part.gray) = (Some(base), Some(Gray { member: 2, follower: Follower::new(None) }));
        }
        self
    }

    pub(super) fn is_gray_alive(&self) -> bool {
        self.members[2..].iter().any(|member| member.is_alive)
    }

    /// As bytes, the same for states that differ only in which of two alike processes or partitions is which.
    pub(super) fn key(&self) -> Box<[u8]> {
        let orders = [[0, 1, 2, 3], [1, 0, 2, 3], [0, 1, 3, 2], [1, 0, 3, 2]];
        // Told apart before anything is written: mostly one order is left.
        let rank = |member: usize| {
            let Member { is_alive, sight, goal, is_gray_member } = self.members[member];
            let owned = self.parts.iter().enumerate().fold(0, |owned, (place, part)| {
                let base = part.base.as_ref().is_some_and(|base| base.member == member);
                let gray = part.gray.as_ref().is_some_and(|gray| gray.member == member);
                owned | (u8::from(base) | u8::from(gray) << 1) << (2 * place)
            });
            (is_alive, sight as u8, goal, is_gray_member, owned)
        };
        let is_sorted = |order: &&[usize; 4]| rank(order[0]) <= rank(order[1]) && rank(order[2]) <= rank(order[3]);
        let order = orders.iter().find(is_sorted).unwrap_or(&orders[0]);
        self.written(order)
    }

    fn written(&self, order: &[usize; MEMBERS]) -> Box<[u8]> {
        let mut key = Vec::with_capacity(96);
        let place = |member: usize| order.iter().position(|other| *other == member).map_or(9, |place| place as u8);
        let optional = |value: Option<i64>| value.map_or(0, |value| value as u8 + 1);
        let ledger = |key: &mut Vec<u8>, ledger: &Ledger<Split>| {
            key.push(ledger.ranges().len() as u8);
            for range in ledger.ranges() {
                key.extend([range.start as u8, optional(range.end), range.split]);
            }
        };
        let worked = |key: &mut Vec<u8>, worked: Option<&Worked<Split>>| match worked {
            None => key.push(0),
            Some(worked) => {
                key.push(worked.position as u8 + 1);
                ledger(key, &worked.known);
            }
        };
        for member in order.map(|member| self.members[member]) {
            let goal = member.goal.map_or(0, |goal| goal + 1);
            let flags = u8::from(member.is_alive) | u8::from(member.is_gray_member) << 1;
            key.push(flags | (member.sight as u8) << 2 | goal << 4);
        }
        let mut parts: Vec<Vec<u8>> = Vec::with_capacity(PARTS);
        for part in &self.parts {
            let mut key = Vec::with_capacity(48);
            key.extend([part.handled, part.loose, part.position as u8]);
            ledger(&mut key, &part.ledger);
            match &part.base {
                None => key.push(0xff),
                Some(base) => {
                    key.extend([place(base.member), base.position as u8]);
                    ledger(&mut key, &base.ledger);
                    worked(&mut key, base.seen.as_ref());
                }
            }
            match &part.gray {
                None => key.push(0xff),
                Some(gray) => {
                    key.push(place(gray.member));
                    worked(&mut key, gray.follower.worked().as_ref());
                }
            }
            worked(&mut key, part.worked.as_ref());
            parts.push(key);
        }
        // They have the same messages.
        parts.sort_unstable();
        key.extend(parts.into_iter().flatten());
        let Budget { crashes, starts, rebalances, goals, wipes } = self.budget;
        key.extend([self.goal.map_or(0, |goal| goal + 1), crashes, starts, rebalances, goals, wipes]);
        key.into()
    }
}
