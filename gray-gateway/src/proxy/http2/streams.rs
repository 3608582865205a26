//! The streams of a client's connection, and what they share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    downloads::{Downloads, Verdict},
    frames::Allowance,
    pipe::Pipe,
};
use crate::proxy::{
    downstream::{socket::Rest, state::State},
    request::forwarded::Forwarded,
    worker::{clock::ticks, local::Worker},
};

/// Pipes kept for the next streams of a connection.
const MAX_IDLE: usize = 32;

/// What the streams of a connection share.
pub(super) struct Streams {
    pub(super) worker: Rc<Worker>,
    pub(super) state: Rc<State>,
    forwarded: Forwarded,
    pub(super) active: Cell<usize>,
    /// Frames other than requests that the client may still send.
    pub(super) frames: RefCell<Allowance>,
    /// What the client may still leave where it is.
    pub(super) downloads: Downloads,
    /// How long: the longest that was said of one of its answers.
    pub(super) rest: Rest,
    /// What the kernel still has for the client is of no use.
    pub(super) is_cut: Cell<bool>,
    /// No more streams are taken.
    pub(super) is_ending: Cell<bool>,
    /// Pipes that wait for the next stream: kept-alive connections to the engine.
    idle: RefCell<Vec<Pipe>>,
}

/// A stream that is being served.
pub(super) struct Active(pub(in crate::proxy) Rc<Streams>);

impl Active {
    pub(super) fn new(streams: &Rc<Streams>) -> Self {
        // Others do not put off the look at those that are there.
        if streams.active.replace(streams.active.get() + 1) == 0 {
            streams.state.streaming();
        }
        Self(Rc::clone(streams))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Self(streams) = self;
        streams.active.set(streams.active.get() - 1);
        if streams.active.get() == 0 {
            streams.rest.set(streams.worker.times.rest());
            streams.state.responded();
            if streams.is_ending.get() {
                streams.state.ending();
            }
        }
    }
}

impl Streams {
    pub(super) fn new(worker: Rc<Worker>, state: Rc<State>, forwarded: Forwarded) -> Self {
        Self {
            state,
            forwarded,
            active: Cell::new(0),
            frames: RefCell::new(Allowance::new(worker.now())),
            downloads: Downloads::default(),
            rest: Rc::new(Cell::new(worker.times.rest())),
            is_cut: Cell::new(false),
            is_ending: Cell::new(false),
            idle: RefCell::default(),
            worker,
        }
    }

    /// Whether the client leaves its answers where they are for longer than it may.
    pub(super) fn judge(&self) -> Verdict {
        let times = &self.worker.times;
        let rest = if times.is_pressed() { 0 } else { ticks(self.rest.get()) };
        self.downloads.judge(self.worker.now(), self.active.get(), times.write(), rest)
    }

    /// A pipe to the engine.
    pub(super) fn pipe(&self) -> Pipe {
        while let Some(pipe) = self.idle.borrow_mut().pop() {
            if pipe.is_quiet() {
                return pipe;
            }
        }
        let (pipe, _gone, socket) = Pipe::new(Rc::clone(&self.rest));
        self.worker.accept_pipe(socket, self.forwarded.clone());
        pipe
    }

    /// Takes back a pipe that has nothing more on it.
    pub(super) fn keep(&self, pipe: Pipe) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(pipe);
        }
    }
}
