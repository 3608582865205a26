//! Where a client connection stands, and how long it may stand there.

use std::{cell::Cell, rc::Rc, task::Context};

use super::{
    clock::{Clock, ticks},
    limits::Limits,
    pace::{Meter, Pace},
    worker::Worker,
};

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
    /// The instance: to take the request, or for the head of the response.
    Response,
    /// Nothing that has a limit: connecting (limited elsewhere), or passing on the response.
    Busy,
    /// The next request.
    Idle,
    /// The client's end of the connection; ours is closed.
    Closing,
    /// Bytes of a websocket.
    Tunnel,
}

/// Phase and deadline of a connection. The worker's sweeper compares the deadline with a coarse clock, so that a
/// request costs no timer.
#[derive(Debug)]
pub(super) struct State {
    clock: Rc<Clock>,
    times: Rc<Times>,
    phase: Cell<Phase>,
    deadline: Cell<u64>,
    response_ticks: Cell<u64>,
    expired: Cell<bool>,
    /// How fast the request's body comes.
    upload: Cell<Meter>,
    /// How fast the client takes the response, while it holds us up.
    download: Cell<Meter>,
    written: Cell<u64>,
    relayed: Cell<u64>,
    /// The request and its answer are streams that may rest.
    is_stream: Cell<bool>,
    is_pipe: bool,
}

/// A worker's limits in ticks.
#[derive(Debug)]
pub(super) struct Times {
    head: u64,
    idle: u64,
    upload: Pace,
    download: Pace,
}

impl Times {
    pub(super) fn new(limits: &Limits) -> Self {
        let (body, write) = (ticks(limits.body_timeout), ticks(limits.write_timeout));
        Self {
            head: ticks(limits.head_timeout),
            idle: ticks(limits.idle_timeout),
            upload: Pace::new(body * 3 / 4, body, limits.min_rate),
            download: Pace::new(write, write, limits.min_rate),
        }
    }

    /// How long an HTTP/2 client may leave a part of an answer where it is.
    pub(super) fn write(&self) -> u64 {
        self.download.rest()
    }
}

impl State {
    pub(super) fn new(clock: Rc<Clock>, times: Rc<Times>, is_pipe: bool) -> Self {
        let deadline = clock.deadline(times.idle.min(times.head)).into();
        Self {
            clock,
            times,
            phase: Cell::new(Phase::Fresh),
            deadline,
            response_ticks: Cell::new(0),
            expired: Cell::new(false),
            upload: Cell::default(),
            download: Cell::default(),
            written: Cell::new(0),
            relayed: Cell::new(0),
            is_stream: Cell::new(false),
            is_pipe,
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
            self.enter(Phase::Head, self.clock.deadline(self.times.head));
        }
    }

    /// The TLS handshake is done, or that of HTTP/2.
    pub(super) fn secured(&self) {
        self.enter(Phase::Fresh, self.clock.deadline(self.times.head.min(self.times.idle)));
    }

    /// A request is being served.
    pub(super) fn busy(&self) {
        self.enter(Phase::Busy, u64::MAX);
    }

    /// Streams of HTTP/2 are being served; whether the client takes their answers is to be looked at now and then.
    pub(super) fn streaming(&self) {
        self.enter(Phase::Busy, self.clock.deadline(self.times.write()));
    }

    /// A request is being sent; from its end, or when the instance takes no more of it, the response may take so long.
    /// `is_stream`: the client may rest between parts of its body as long as the response may take, and take its time
    /// with the answer.
    pub(super) fn sending(&self, response_ticks: u64, has_body: bool, is_stream: bool) {
        self.response_ticks.set(response_ticks);
        self.is_stream.set(is_stream);
        if !has_body {
            return self.enter(Phase::Response, self.clock.deadline(response_ticks));
        }
        let pace = if is_stream { Pace::new(response_ticks, response_ticks, 0) } else { self.times.upload };
        let mut meter = Meter::new(pace);
        let deadline = meter.start(&self.clock);
        self.upload.set(meter);
        self.enter(Phase::Upload, deadline);
    }

    /// So many bytes of the request's body were passed on, and more is to come: from the client, or held up by the instance.
    pub(super) fn uploading(&self, count: u64, by_instance: bool) {
        let phase = self.phase.get();
        if !matches!(phase, Phase::Upload | Phase::Response) {
            return;
        }
        if by_instance {
            if count > 0 || phase == Phase::Upload {
                self.enter(Phase::Response, self.clock.deadline(self.response_ticks.get()));
            }
            return;
        }
        let mut meter = self.upload.get();
        if phase == Phase::Response {
            // What the instance took its time for is not the client's.
            self.enter(Phase::Upload, meter.start(&self.clock));
        } else if count > 0 {
            self.enter(Phase::Upload, meter.passed(count, &self.clock));
        }
        self.upload.set(meter);
    }

    /// The request's last byte was passed on.
    pub(super) fn uploaded(&self) {
        if self.is(Phase::Upload) || self.is(Phase::Response) {
            self.enter(Phase::Response, self.clock.deadline(self.response_ticks.get()));
        }
    }

    /// Bytes of an answer were written to the client, so many since it began; `waits`: it does not take more for now. True
    /// when it has been too slow.
    pub(super) fn writing(&self, written: u64, waits: bool) -> bool {
        let mut meter = self.download.get();
        if !waits || self.is_stream.get() {
            if meter.is_running() {
                self.download.set(Meter::default());
            }
            return false;
        }
        if !meter.is_running() {
            meter = Meter::new(self.times.download);
            meter.start(&self.clock);
        } else if meter.is_over(self.clock.now()) {
            return true;
        } else {
            meter.passed(written.saturating_sub(self.written.get()), &self.clock);
        }
        self.written.set(written);
        self.download.set(meter);
        false
    }

    /// An answer is being passed on, so many bytes of it until now; `waits`: for more of it from the instance. True when
    /// that has been silent for `ticks`.
    pub(super) fn relaying(&self, passed: u64, waits: bool, ticks: u64) -> bool {
        if !waits {
            self.deadline.set(u64::MAX);
            return false;
        }
        if self.deadline.get() == u64::MAX || self.relayed.replace(passed) != passed {
            self.enter(Phase::Busy, self.clock.deadline(ticks));
        }
        self.expired.get()
    }

    /// The response's last byte was handed over.
    pub(super) fn responded(&self) {
        self.download.set(Meter::default());
        self.is_stream.set(false);
        self.enter(Phase::Idle, self.clock.deadline(self.times.idle));
    }

    /// Something passed through the websocket.
    pub(super) fn tunneling(&self, idle_ticks: u64) {
        self.enter(Phase::Tunnel, self.clock.deadline(idle_ticks));
    }

    /// We have closed our side.
    pub(super) fn closing(&self) {
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS));
    }

    /// The connection is to end, and has no request left. What was answered last may still be on its way to a client that
    /// reads slowly.
    pub(super) fn ending(&self) {
        let responded = self.deadline.get().saturating_sub(self.times.idle);
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS).max(responded.saturating_add(self.times.head)));
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
        due || self.download.get().is_over(now)
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

    /// When it would be closed for want of work, if that is what it waits for: the earlier, the longer it has been idle.
    pub(super) fn idle_until(&self) -> Option<u64> {
        ((self.is(Phase::Idle) || self.is(Phase::Fresh)) && !self.is_pipe && !self.expired.get())
            .then(|| self.deadline.get())
    }

    /// Ends the wait for work now; its task has to be woken.
    pub(super) fn evict(&self) {
        self.expired.set(true);
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
