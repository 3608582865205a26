//! Answers that a client leaves where they are: its windows stay shut.
//!
//! The writer asks for a part of an answer when there is room for it, so one that is not asked for waits for the client. A
//! single stream cannot be ended from outside, so the connection is, when nothing on it moves.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// So much longer may a client take that has begun to take an answer, or that takes others.
const PATIENCE: u64 = 4;
/// It waits for the instance, not for the client.
const ELSEWHERE: u64 = u64::MAX;

/// The answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Downloads(RefCell<Vec<Rc<Waiting>>>);

/// One answer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The tick since when it waits for the client.
    since: Cell<u64>,
    has_begun: Cell<bool>,
}

impl Waiting {
    /// The next part is asked for.
    pub(super) fn asked(&self) {
        self.has_begun.set(true);
        self.since.set(ELSEWHERE);
    }

    /// It got one, and asks again when the client has taken it.
    pub(super) fn given(&self, now: u64) {
        self.since.set(now);
    }
}

impl Downloads {
    /// An answer begins.
    pub(super) fn begin(&self, now: u64) -> Rc<Waiting> {
        let waiting = Rc::new(Waiting { since: Cell::new(now), has_begun: Cell::new(false) });
        self.0.borrow_mut().push(Rc::clone(&waiting));
        waiting
    }

    /// It is over.
    pub(super) fn end(&self, waiting: &Rc<Waiting>) {
        let mut all = self.0.borrow_mut();
        if let Some(place) = all.iter().position(|other| Rc::ptr_eq(other, waiting)) {
            all.swap_remove(place);
        }
    }

    /// Whether the client leaves its answers where they are for longer than `limit` ticks, or `rest` when it has begun to take
    /// them; `streams` are open in all.
    pub(super) fn are_stuck(&self, now: u64, streams: usize, limit: u64, rest: u64) -> bool {
        let all = self.0.borrow();
        let waits = |waiting: &Waiting, limit: u64| now.saturating_sub(waiting.since.get()) >= limit;
        let begun = rest.max(limit * PATIENCE);
        let alone = all.len() == streams;
        let shut = !all.is_empty()
            && alone
            && all.iter().all(|waiting| waits(waiting, if waiting.has_begun.get() { begun } else { limit }));
        shut || all.iter().any(|waiting| waits(waiting, begun + limit * PATIENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_nothing_is_told_from_one_that_waits() {
        let all = Downloads::default();
        let stuck = |now, streams| all.are_stuck(now, streams, 10, 20);
        assert!(!stuck(1_000, 0));
        let first = all.begin(0);
        assert!(!stuck(9, 1));
        assert!(stuck(10, 1), "never asked for");
        assert!(!stuck(10, 2), "another request is on its way");
        assert!(stuck(80, 2), "but not for ever");
        first.asked();
        assert!(!stuck(1_000, 1), "the instance takes its time");
        first.given(1_000);
        assert!(!stuck(1_039, 1));
        assert!(stuck(1_040, 1));
        assert!(!all.are_stuck(1_059, 1, 10, 60) && all.are_stuck(1_060, 1, 10, 60), "it may pause for longer");
        let second = all.begin(1_040);
        assert!(!stuck(1_040, 2));
        all.end(&second);
        assert!(stuck(1_040, 1));
        all.end(&first);
        assert!(!stuck(2_000, 0));
    }
}
