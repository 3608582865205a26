//! Answers that a client leaves where they are: its windows stay shut.
//!
//! The writer asks for the next part of an answer when the client has room for the last one, so one that is not asked for
//! waits for the client. One of which it never took anything is reset; the connection is cut off when nothing on it moves.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
};

/// So much longer may a client take that has begun to take an answer.
const PATIENCE: u64 = 4;
/// It waits for the instance, not for the client.
const ELSEWHERE: u64 = u64::MAX;

/// The answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    all: RefCell<Vec<Rc<Waiting>>>,
    /// The tick in which the client last took something.
    moved: Cell<u64>,
}

/// What is to be done about a client that leaves its answers where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go on.
    Fine,
    /// So many answers, of which it took nothing, were given up.
    GivenUp(usize),
    /// Nothing moves.
    Stuck,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The tick since when it waits for the client.
    since: Cell<u64>,
    /// The first part is there.
    is_given: Cell<bool>,
    /// The client took some of it.
    has_begun: Cell<bool>,
    is_given_up: Cell<bool>,
    writer: RefCell<Option<Waker>>,
}

impl Waiting {
    /// The next part is asked for; true when the client has taken one for that.
    pub(super) fn asked(&self) -> bool {
        let has_taken = self.is_given.get() && self.since.get() != ELSEWHERE;
        if has_taken {
            self.has_begun.set(true);
        }
        self.since.set(ELSEWHERE);
        has_taken
    }

    /// It got one, and asks again when the client has taken it.
    pub(super) fn given(&self, now: u64) {
        self.is_given.set(true);
        self.since.set(now);
    }

    /// Whether its stream is to be reset; its writer is woken when it is.
    pub(super) fn is_given_up(&self, cx: &Context<'_>) -> bool {
        let mut writer = self.writer.borrow_mut();
        if !writer.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *writer = Some(cx.waker().clone());
        }
        self.is_given_up.get()
    }

    fn give_up(&self) {
        self.is_given_up.set(true);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

impl Downloads {
    /// An answer begins.
    pub(super) fn begin(&self, now: u64) -> Rc<Waiting> {
        let waiting = Rc::new(Waiting {
            since: Cell::new(now),
            is_given: Cell::new(false),
            has_begun: Cell::new(false),
            is_given_up: Cell::new(false),
            writer: RefCell::default(),
        });
        self.all.borrow_mut().push(Rc::clone(&waiting));
        waiting
    }

    /// The client took something of an answer, or all of it.
    pub(super) fn moved(&self, now: u64) {
        self.moved.set(now);
    }

    /// It is over.
    pub(super) fn end(&self, waiting: &Rc<Waiting>) {
        let mut all = self.all.borrow_mut();
        if let Some(place) = all.iter().position(|other| Rc::ptr_eq(other, waiting)) {
            all.swap_remove(place);
        }
    }

    /// Gives up the answers that the client leaves where they are for longer than `limit` ticks, without having taken any of
    /// them. When it takes nothing else either, or leaves all answers that it has begun to take for longer than `rest`, the
    /// connection is stuck. `streams` are open in all.
    pub(super) fn judge(&self, now: u64, streams: usize, limit: u64, rest: u64) -> Verdict {
        let all = self.all.borrow();
        let waits = |waiting: &Waiting, limit: u64| now.saturating_sub(waiting.since.get()) >= limit;
        let begun = rest.max(limit * PATIENCE);
        let rests = |waiting: &Waiting| waiting.has_begun.get() && waits(waiting, begun);
        let is_left = |waiting: &Waiting| !waiting.has_begun.get() && waits(waiting, limit);
        let alone = !all.is_empty() && all.len() == streams;
        if alone && all.iter().all(|waiting| rests(waiting))
            || all.iter().any(|waiting| waiting.has_begun.get() && waits(waiting, begun + limit * PATIENCE))
        {
            return Verdict::Stuck;
        }
        if !all.iter().any(|waiting| is_left(waiting)) {
            return Verdict::Fine;
        }
        // Requests that were sent since do not help.
        let is_shut =
            |waiting: &Waiting| rests(waiting) || !waiting.has_begun.get() && waiting.since.get() != ELSEWHERE;
        let is_quiet = now.saturating_sub(self.moved.get()) >= limit;
        if alone && is_quiet && all.iter().all(|waiting| is_shut(waiting)) {
            return Verdict::Stuck;
        }
        let left = all.iter().filter(|waiting| is_left(waiting) && !waiting.is_given_up.get());
        Verdict::GivenUp(left.inspect(|waiting| waiting.give_up()).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_nothing_is_told_from_one_that_waits() {
        let all = Downloads::default();
        let judge = |now, streams| all.judge(now, streams, 10, 20);
        assert_eq!(judge(1_000, 0), Verdict::Fine);
        let first = all.begin(0);
        assert!(!first.asked(), "the first part is asked for without any room");
        assert_eq!(judge(1_000, 1), Verdict::Fine, "the instance takes its time");
        first.given(1_000);
        assert_eq!(judge(1_009, 1), Verdict::Fine);
        assert_eq!(judge(1_010, 1), Verdict::Stuck, "nothing was taken");
        assert!(first.asked() && !first.asked(), "it was taken once");
        first.given(2_000);
        assert_eq!(judge(2_039, 1), Verdict::Fine);
        assert_eq!(judge(2_040, 1), Verdict::Stuck);
        assert_eq!(all.judge(2_059, 1, 10, 60), Verdict::Fine, "it may pause for longer");
        assert_eq!(all.judge(2_060, 1, 10, 60), Verdict::Stuck);
        assert_eq!(judge(2_040, 2), Verdict::Fine, "another request is on its way");
        assert_eq!(judge(2_080, 2), Verdict::Stuck, "but not for ever");
        let second = all.begin(2_040);
        assert_eq!(judge(2_040, 2), Verdict::Fine);
        all.end(&second);
        assert_eq!(judge(2_040, 1), Verdict::Stuck);
        all.end(&first);
        assert_eq!(judge(3_000, 0), Verdict::Fine);
    }

    #[test]
    fn new_requests_do_not_prolong_the_time_of_an_answer() {
        let all = Downloads::default();
        let judge = |now, streams| all.judge(now, streams, 10, 20);
        let answers: Vec<_> = (100..110).map(|now| all.begin(now)).collect();
        assert_eq!(judge(109, 10), Verdict::Fine);
        assert_eq!(judge(110, 10), Verdict::Stuck);
        // One more is with the instance.
        assert_eq!(judge(110, 11), Verdict::GivenUp(1));
        assert_eq!(judge(110, 11), Verdict::GivenUp(0), "once");
        let cx = Context::from_waker(Waker::noop());
        assert!(answers[0].is_given_up(&cx) && !answers[1].is_given_up(&cx));
        // Something else was taken.
        all.moved(105);
        assert_eq!(judge(111, 10), Verdict::GivenUp(1));
        assert_eq!(judge(115, 10), Verdict::Stuck);
    }

    #[test]
    fn a_pause_outlives_an_answer_that_nobody_takes() {
        let all = Downloads::default();
        let video = all.begin(100);
        assert!(!video.asked());
        video.given(100);
        assert!(video.asked());
        video.given(100);
        let page = all.begin(100);
        assert_eq!(all.judge(110, 2, 10, 60), Verdict::GivenUp(1));
        let cx = Context::from_waker(Waker::noop());
        assert!(page.is_given_up(&cx) && !video.is_given_up(&cx));
        all.end(&page);
        assert_eq!(all.judge(159, 1, 10, 60), Verdict::Fine);
        assert_eq!(all.judge(160, 1, 10, 60), Verdict::Stuck);
    }
}
