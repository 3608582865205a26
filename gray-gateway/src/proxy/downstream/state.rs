//! Where a client connection stands, and how long it may stand there.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::pace::{Meter, Pace};
use crate::proxy::worker::clock::{Clock, duration};

mod times;
mod watch;

pub(in crate::proxy) use times::Times;
pub(in crate::proxy) use watch::{Connections, Watch};

/// How long a connection that was accepted as we began to drain may take to send its request.
const LATE_TICKS: u64 = 5;
/// How long a client may take to notice that we have said all we will say.
const LINGER_TICKS: u64 = 10;
/// The same for one that sends what will not be answered, and has to come to its end before it listens.
const MAX_LINGER_TICKS: u64 = 300;

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
pub(in crate::proxy) struct State {
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
    /// How long the client may pause in a body of this request when it is fast.
    pause: Cell<u64>,
    /// How long it may leave what others have of the answer where that is.
    rest: Cell<u64>,
    /// Bytes of buffers that it holds while it waits.
    held: Cell<usize>,
    /// The request and its answer are streams that may rest.
    is_stream: Cell<bool>,
    is_pipe: bool,
}

impl State {
    pub(in crate::proxy) fn new(clock: Rc<Clock>, times: Rc<Times>, is_pipe: bool) -> Self {
        let deadline = clock.deadline(times.idle.min(times.head)).into();
        let rest = times.download.short.into();
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
            pause: Cell::new(0),
            rest,
            held: Cell::new(0),
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
    pub(in crate::proxy) fn received(&self) {
        if self.is(Phase::Idle) || self.is(Phase::Fresh) {
            self.enter(Phase::Head, self.clock.deadline(self.times.head));
        }
    }

    /// The TLS handshake is done, or that of HTTP/2.
    pub(in crate::proxy) fn secured(&self) {
        self.enter(Phase::Fresh, self.clock.deadline(self.times.head.min(self.times.idle)));
    }

    /// A request is being served.
    pub(in crate::proxy) fn busy(&self) {
        self.enter(Phase::Busy, u64::MAX);
    }

    /// Streams of HTTP/2 are being served; whether the client takes their answers is to be looked at now and then.
    pub(in crate::proxy) fn streaming(&self) {
        self.enter(Phase::Busy, self.clock.deadline(self.times.write() / 4));
    }

    /// How long the client may pause in the bodies of this request when it is fast.
    pub(in crate::proxy) fn may_pause(&self, ticks: u64) {
        self.pause.set(ticks);
    }

    /// A request is being sent; from its end, or when the instance takes no more of it, the response may take so long.
    /// `taken`: what of the body is there, if there is more. `is_stream`: the client may rest between parts of its body as
    /// long as the response may take, and take its time with the answer.
    pub(in crate::proxy) fn sending(&self, response_ticks: u64, taken: Option<u64>, is_stream: bool) {
        self.response_ticks.set(response_ticks);
        self.is_stream.set(is_stream);
        let Some(taken) = taken else {
            return self.enter(Phase::Response, self.clock.deadline(response_ticks));
        };
        let pace = if is_stream {
            Pace { grace: response_ticks, short: response_ticks, ..Pace::default() }
        } else {
            Pace { long: self.pause.get(), ..self.times.upload }
        };
        let mut meter = Meter::new(pace, 0);
        meter.start(&self.clock);
        self.enter(Phase::Upload, meter.moved(taken, &self.clock));
        self.upload.set(meter);
    }

    /// So many bytes of the request's body were passed on, and more is to come: from the client, or held up by the instance.
    pub(in crate::proxy) fn uploading(&self, count: u64, by_instance: bool) {
        let phase = self.phase.get();
        if !matches!(phase, Phase::Upload | Phase::Response) {
            return;
        }
        let mut meter = self.upload.get();
        if by_instance {
            if count > 0 || phase == Phase::Upload {
                self.enter(Phase::Response, self.clock.deadline(self.response_ticks.get()));
            }
            meter.stop(count, self.clock.now());
        } else if phase == Phase::Response {
            // What the instance took its time for is not the client's.
            meter.stop(count, self.clock.now());
            self.enter(Phase::Upload, meter.start(&self.clock));
        } else if count > 0 {
            self.enter(Phase::Upload, meter.moved(count, &self.clock));
        }
        self.upload.set(meter);
    }

    /// The request's last byte was passed on.
    pub(in crate::proxy) fn uploaded(&self) {
        if self.is(Phase::Upload) || self.is(Phase::Response) {
            self.enter(Phase::Response, self.clock.deadline(self.response_ticks.get()));
        }
    }

    /// Bytes of an answer were written to the client, so many since it began; `waits`: it does not take more for now. True
    /// when it has been too slow.
    pub(in crate::proxy) fn writing(&self, written: u64, waits: bool) -> bool {
        let mut meter = self.download.get();
        if !waits && !meter.is_running() || self.is_stream.get() {
            return false;
        }
        let count = written.saturating_sub(self.written.replace(written));
        if !waits {
            meter.stop(count, self.clock.now());
        } else if meter.is_running() {
            meter.moved(count, &self.clock);
        } else {
            if meter.is_new() {
                meter = Meter::new(self.download_pace(), written);
            } else {
                meter.stop(count, self.clock.now());
            }
            meter.start(&self.clock);
        }
        self.download.set(meter);
        meter.is_over(self.clock.now(), self.times.is_pressed())
    }

    fn download_pace(&self) -> Pace {
        let times = self.times.download;
        // A pipe has a buffer on either end, and HTTP/2 one of its own.
        let unseen = if self.is_pipe { 2 * times.unseen } else { times.unseen };
        Pace { long: self.pause.get(), unseen, ..times }
    }

    /// So many bytes of an answer were handed on until now. How long the client may leave there what it has not taken, when
    /// that is not what it was.
    pub(in crate::proxy) fn resting(&self, written: u64) -> Option<Duration> {
        let pace = self.times.download;
        if written <= pace.unseen && self.rest.get() == pace.short {
            return None;
        }
        let meter = self.download.get();
        let rest = if self.times.is_pressed() {
            pace.short
        } else if meter.is_new() {
            self.download_pace().pause(written, 0)
        } else {
            meter.pause(self.clock.now())
        };
        (self.rest.replace(rest) != rest).then(|| duration(rest))
    }

    /// Bytes of buffers that are held while something is waited for.
    pub(in crate::proxy) fn holds(&self, bytes: usize) {
        self.held.set(bytes);
    }

    /// The same, to add them up.
    pub(in crate::proxy) fn held(&self) -> usize {
        self.held.get()
    }

    /// An answer is being passed on, so many bytes of it until now; `waits`: for more of it from the instance. True when
    /// that has been silent for `ticks`.
    pub(in crate::proxy) fn relaying(&self, passed: u64, waits: bool, ticks: u64) -> bool {
        if !waits {
            self.deadline.set(u64::MAX);
            return false;
        }
        let has_moved = self.relayed.replace(passed) != passed;
        if has_moved || self.deadline.get() == u64::MAX {
            self.enter(Phase::Busy, self.clock.deadline(ticks));
        }
        self.expired.get()
    }

    /// The response's last byte was handed over.
    pub(in crate::proxy) fn responded(&self) {
        self.download.set(Meter::default());
        self.held.set(0);
        if self.is_pipe {
            // What was said there was said of one answer.
            self.rest.set(self.times.download.short);
        }
        self.is_stream.set(false);
        self.enter(Phase::Idle, self.clock.deadline(self.times.idle));
    }

    /// Something passed through the websocket.
    pub(in crate::proxy) fn tunneling(&self, idle_ticks: u64) {
        self.enter(Phase::Tunnel, self.clock.deadline(idle_ticks));
    }

    /// We have closed our side.
    pub(super) fn closing(&self) {
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS));
    }

    /// The last tick by which the client has noticed, however much it still sends.
    pub(super) fn lingering(&self) -> u64 {
        self.clock.deadline(MAX_LINGER_TICKS)
    }

    /// It is still sending.
    pub(super) fn linger(&self, until: u64) {
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS).min(until));
    }

    /// The connection is to end, and has no request left. What was answered last may still be on its way to a client that
    /// reads slowly.
    pub(in crate::proxy) fn ending(&self) {
        let responded = self.deadline.get().saturating_sub(self.times.idle);
        self.enter(Phase::Closing, self.clock.deadline(LINGER_TICKS).max(responded.saturating_add(self.times.head)));
    }

    /// Why the wait for a response is over, if it is.
    pub(in crate::proxy) fn gave_up(&self) -> Option<GaveUp> {
        if !self.expired.get() {
            None
        } else if self.is(Phase::Upload) {
            Some(GaveUp::Upload)
        } else {
            Some(GaveUp::Response)
        }
    }

    /// Marks the connection when its deadline has passed; true when its task should look.
    pub(in crate::proxy) fn sweep(&self, now: u64) -> bool {
        let pressed = self.times.is_pressed();
        let due = now >= self.deadline.get()
            || (pressed && self.is(Phase::Upload) && self.upload.get().is_over(now, pressed));
        if due {
            self.expired.set(true);
        }
        due || self.download.get().is_over(now, pressed)
    }

    /// Lets what was accepted as we began to drain have a last short while.
    pub(super) fn hurry(&self) {
        let late = self.clock.deadline(LATE_TICKS);
        if self.deadline.get() > late {
            self.enter(Phase::Fresh, late);
        }
    }

    /// Whether a wait that is not for a response is over.
    pub(in crate::proxy) fn is_overdue(&self) -> bool {
        self.expired.get()
    }

    /// When it would be closed for want of work, if that is what it waits for: the earlier, the longer it has been idle.
    pub(super) fn idle_until(&self) -> Option<u64> {
        ((self.is(Phase::Idle) || self.is(Phase::Fresh)) && !self.is_pipe && !self.expired.get())
            .then(|| self.deadline.get())
    }

    /// Ends the wait for work now; its task has to be woken.
    pub(in crate::proxy) fn evict(&self) {
        self.expired.set(true);
    }
}

/// Which wait has been too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum GaveUp {
    /// For the client's body.
    Upload,
    /// For the upstream's response.
    Response,
}

#[cfg(test)]
mod tests;
