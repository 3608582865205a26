//! What a connection is doing, and by when it has to do something else.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep},
};

use super::Limits;

/// How long what a client still sends is taken and thrown away after the last answer: to close on it would take the answer
/// back.
const LINGER: Duration = Duration::from_secs(2);

const IDLE: u8 = 0;
const IN_HEAD: u8 = 1;
const IN_REQUEST: u8 = 2;
const CLOSING: u8 = 3;
const UPGRADED: u8 = 4;

/// No time limit.
const NEVER: u64 = u64::MAX;

/// Shared by a connection's task, socket, requests and answers. All of it is looked at by the task whenever anything
/// happens on the connection, so that a change made elsewhere counts a little later at worst.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    limits: Arc<Limits>,
    state: AtomicU8,
    /// Bodies of requests and answers that are not through.
    bodies: AtomicUsize,
    /// A request was answered before its body had been read.
    is_unread: AtomicBool,
    /// When the state has lasted too long, in milliseconds since the beginning.
    state_until: AtomicU64,
    /// When the client has taken nothing for too long.
    write_until: AtomicU64,
    /// Since when it is idle.
    idle_since: AtomicU64,
    asked_to_close: Notify,
}

impl Activity {
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        let idle_timeout = millis(limits.idle_timeout);
        Arc::new(Self {
            began: Instant::now(),
            limits,
            state: AtomicU8::new(IDLE),
            bodies: AtomicUsize::new(0),
            is_unread: AtomicBool::new(false),
            state_until: AtomicU64::new(idle_timeout),
            write_until: AtomicU64::new(NEVER),
            idle_since: AtomicU64::new(0),
            asked_to_close: Notify::new(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    fn enter(&self, state: u8, limit: Duration) {
        self.state.store(state, Relaxed);
        self.state_until.store(self.now().saturating_add(millis(limit)), Relaxed);
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Relaxed) == state
    }

    /// Something was read.
    pub(super) fn received(&self) {
        if self.is(IDLE) {
            self.enter(IN_HEAD, self.limits.head_timeout);
        }
    }

    /// A head is complete; what comes now may take its time.
    pub(super) fn begin(self: &Arc<Self>) -> Body {
        self.bodies.fetch_add(1, Relaxed);
        self.is_unread.store(false, Relaxed);
        self.state.store(IN_REQUEST, Relaxed);
        self.state_until.store(NEVER, Relaxed);
        Body(Arc::clone(self))
    }

    fn end(&self) {
        if self.bodies.fetch_sub(1, Relaxed) == 1 && self.is(IN_REQUEST) {
            self.idle_since.store(self.now(), Relaxed);
            self.enter(IDLE, self.limits.idle_timeout);
        }
    }

    /// A request's body is given up before its end.
    pub(super) fn left_unread(&self) {
        self.is_unread.store(true, Relaxed);
    }

    /// The client does not take what is written.
    pub(super) fn blocked(&self) {
        if self.write_until.load(Relaxed) == NEVER {
            self.write_until.store(self.now().saturating_add(millis(self.limits.body_timeout)), Relaxed);
        }
    }

    /// It does again.
    pub(super) fn unblocked(&self) {
        if self.write_until.swap(NEVER, Relaxed) != NEVER && self.is(IDLE) {
            // The answer was through for us, and is not for the client.
            self.enter(IDLE, self.limits.idle_timeout);
        }
    }

    /// Nothing more is said. Says whether something may come that will not be read.
    pub(super) fn close(&self) -> bool {
        let linger = self.is(IN_HEAD) || self.is_unread.load(Relaxed);
        self.enter(CLOSING, LINGER);
        linger
    }

    /// The connection belongs to a handler.
    pub(super) fn upgraded(&self) {
        self.state.store(UPGRADED, Relaxed);
    }

    /// How long it has been idle, if it is.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = || self.now().saturating_sub(self.idle_since.load(Relaxed));
        self.is(IDLE).then(|| Duration::from_millis(since()))
    }

    /// Asks it to make room.
    pub(super) fn ask_to_close(&self) {
        self.asked_to_close.notify_one();
    }

    pub(super) async fn is_asked_to_close(&self) {
        self.asked_to_close.notified().await;
    }

    /// Ready when a limit has passed.
    pub(super) fn poll_overdue(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.state_until.load(Relaxed).min(self.write_until.load(Relaxed));
            let now = self.now();
            if now >= until {
                return Poll::Ready(());
            }
            // It looks again now and then even if there is no limit at the moment: a body may end elsewhere.
            let next =
                self.began + Duration::from_millis(until.min(now.saturating_add(millis(self.limits.idle_timeout))));
            // A timer that rings early costs less than one that is set anew for every request.
            if timer.is_elapsed() || timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

/// A body that is not through yet, until it is dropped.
#[derive(Debug)]
pub(super) struct Body(Arc<Activity>);

impl Body {
    pub(super) fn another(&self) -> Self {
        self.0.bodies.fetch_add(1, Relaxed);
        Self(Arc::clone(&self.0))
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
