//! A worker's time limits, in ticks.

use std::{cell::Cell, time::Duration};

use crate::proxy::{
    downstream::pace::Pace,
    limits::Limits,
    worker::clock::{duration, ticks},
};

/// What the kernel and we may have of an answer that its client has not taken: it keeps 64 KiB beyond what the window has
/// room for (`TCP_NOTSENT_LOWAT`), one write more than that, and what is on its way.
const UNSEEN: u64 = 256 * 1024;

/// A worker's limits in ticks.
#[derive(Debug)]
pub(in crate::proxy) struct Times {
    pub(super) head: u64,
    pub(super) idle: u64,
    pub(super) upload: Pace,
    pub(super) download: Pace,
    pressed: Cell<bool>,
}

impl Times {
    pub(in crate::proxy) fn new(limits: &Limits) -> Self {
        let long = ticks(limits.pause_timeout);
        let pace = |limit: Duration, unseen| {
            let short = ticks(limit);
            Pace { grace: (short.saturating_mul(3) / 4).max(1), short, long, rate: limits.min_rate.into(), unseen }
        };
        Self {
            head: ticks(limits.head_timeout),
            idle: ticks(limits.idle_timeout),
            upload: pace(limits.body_timeout, 0),
            download: pace(limits.write_timeout, UNSEEN),
            pressed: Cell::new(false),
        }
    }

    /// How long an HTTP/2 client may leave a part of an answer where it is, before it has taken any.
    pub(in crate::proxy) fn write(&self) -> u64 {
        self.download.grace
    }

    /// How long it may leave what it was sent where that is, unless it is fast.
    pub(in crate::proxy) fn rest(&self) -> Duration {
        duration(self.download.short)
    }

    /// Whether long pauses cannot be afforded now.
    pub(in crate::proxy) fn is_pressed(&self) -> bool {
        self.pressed.get()
    }

    /// Takes in how much of what there is for all clients is used.
    pub(in crate::proxy) fn press(&self, pressed: bool) {
        self.pressed.set(pressed);
    }
}
