//! Where a client connection stands, and how long it may stand there.

use std::{cell::Cell, rc::Rc, task::Context};

use super::{clock::Clock, worker::Worker};

/// How long a connection that was accepted as we began to drain may take to send its request.
const LATE_TICKS: u64 = 5;
/// How long a client may take to notice that we have said all we will say.
const LINGER_TICKS: u64 = 10;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The end of a TLS handshake, then the first byte of the first request.
    Fresh,
    /// The rest of a request's head.
    Head,
    /// The next part of a request's body.
    Upload,
    /// The head of the response.
    Response,
    /// Nothing that has a limit: connecting (limited elsewhere), or passing on the response.
    Busy,
    /// The next request.
    Idle,
    /// The client's end of the connection; ours is closed.
    Closing,
}

/// Phase and deadline of a connection. The worker's sweeper compares the deadline with a coarse clock, so that a
/// request costs no timer.
#[derive(Debug)]
pub(super) struct State {
    clock: Rc<Clock>,
    phase: Cell<Phase>,
    deadline: Cell<u64>,
    response_ticks: Cell<u64>,
    expired: Cell<bool>,
    head_ticks: u64,
    idle_ticks: u64,
}

impl State {
    pub(super) fn new(clock: Rc<Clock>, head_ticks: u64, idle_ticks: u64) -> Self {
        let deadline = clock.deadline(idle_ticks.min(head_ticks)).into();
        Self {
            clock,
            phase: Cell::new(Phase::Fresh),
            deadline,
            response_ticks: Cell::new(0),
            expired: Cell::new(false),
            head_ticks,
            idle_ticks,
        }
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.get() == phase
    }

    fn enter(&self, phase: Phase, deadline: u64) {
        self.phase.set(phase);
        self.deadline.set(deadline);
        self.expired.set(false);
    }

    /// Bytes of a request are there.
    pub(super) fn received(&self) {
        if self.is(Phase::Idle) || self.is(Phase::Fresh) {
            self.enter(Phase::Head, self.clock.deadline(self.head_ticks));
        }
    }

    /// The TLS handshake is done.
    pub(super) fn secured(&self) {
        self.enter(Phase::Fresh, self.clock.deadline(self.head_ticks.min(self.idle_ticks)));
    }

    /// A request is being served.
    pub(super) fn busy(&self) {
        self.enter(Phase::Busy, u64::MAX);
    }

    /// A request is being sent; from its end, or the last part of its body, the response may take so long.
    pub(super) fn sending(&self, response_ticks: u64, has_body: bool) {
        self.response_ticks.set(response_ticks);
        let phase = if has_body { Phase::Upload } else { Phase::Response };
        self.enter(phase, self.clock.deadline(response_ticks));
    }

    /// A part of the request's body was passed on.
    pub(super) fn uploaded(&self, last: bool) {
        if self.is(Phase::Upload) {
            let phase = if last { Phase::Response } else { Phase::Upload };
            self.enter(phase, self.clock.deadline(self.response_ticks.get()));
        }
    }

    /// The response's last byte was handed over.
    pub(super) fn responded(&self) {
        self.enter(Phase::Idle, self.clock.deadline(self.idle_ticks));
    }

    /// We have closed our side.
    pub(super) fn closing(&self) {
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS));
    }

    /// The connection is to end, and has no request left. What was answered last may still be on its way to a client that
    /// reads slowly.
    pub(super) fn ending(&self) {
        let responded = self.deadline.get().saturating_sub(self.idle_ticks);
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS).max(responded.saturating_add(self.head_ticks)));
    }

    /// Why the wait for a response is over, if it is.
    pub(super) fn gave_up(&self) -> Option<GaveUp> {
        if !self.expired.get() {
            None
        } else if self.is(Phase::Upload) {
            Some(GaveUp::Upload)
        } else {
            Some(GaveUp::Response)
        }
    }

    /// Marks the connection when its deadline has passed; true when its task should look.
    pub(super) fn sweep(&self, now: u64) -> bool {
        let due = now >= self.deadline.get();
        if due {
            self.expired.set(true);
        }
        due
    }

    /// Lets what was accepted as we began to drain have a last short while.
    pub(super) fn hurry(&self) {
        let late = self.clock.deadline(LATE_TICKS);
        if self.deadline.get() > late {
            self.enter(Phase::Fresh, late);
        }
    }

    /// Whether a wait that is not for a response is over.
    pub(super) fn is_overdue(&self) -> bool {
        self.expired.get()
    }
}

/// Which wait has been too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// For the client's body.
    Upload,
    /// For the upstream's response.
    Response,
}

/// The worker's entry for a connection, for as long as it lives.
pub(super) struct Watch {
    worker: Rc<Worker>,
    id: u64,
}

impl Watch {
    /// Enters a connection. A spawned task's waker stays the same for its life.
    pub(super) fn new(worker: &Rc<Worker>, state: &Rc<State>, cx: &Context<'_>) -> Self {
        Self { worker: Rc::clone(worker), id: worker.register(Rc::clone(state), cx.waker().clone()) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.worker.deregister(self.id);
    }
}
