//! What a handler is given, and how it is called.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use gray_core::Side;

use crate::{journal::Journal, wire::Trigger};

/// How a handler fails.
pub type JobError = Box<dyn Error + Send + Sync>;

/// A running handler.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<String, JobError>> + Send>>;

/// What runs a job.
pub(crate) type Handler = Arc<dyn Fn(Run) -> Running + Send + Sync>;

/// One run of a job. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    trigger: Arc<Trigger>,
    side: Side,
    journal: Arc<Mutex<Journal>>,
    began: Instant,
}

/// The part of the work that a run of a broadcast does: `index` of `total`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub index: u64,
    /// How many parts; at least 1.
    pub total: u64,
}

impl Shard {
    /// Without a broadcast the only part; what makes no sense is one as well, so that no work is left undone.
    fn of(trigger: &Trigger) -> Self {
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        let (index, total) = (number(trigger.broadcast_index), number(trigger.broadcast_total));
        if index < total { Self { index, total } } else { Self { index: 0, total: 1 } }
    }

    /// Whether an item with this number (or hash) is in this part.
    pub fn has(self, item: u64) -> bool {
        item % self.total == self.index
    }
}

impl Run {
    pub(crate) fn new(trigger: Arc<Trigger>, side: Side, journal: Arc<Mutex<Journal>>) -> Self {
        Self { trigger, side, journal, began: Instant::now() }
    }

    /// Number of the job.
    pub fn job_id(&self) -> i64 {
        self.trigger.job_id
    }

    /// Number of the run. A run that is tried again has the same one: good for handling nothing twice.
    pub fn log_id(&self) -> i64 {
        self.trigger.log_id
    }

    /// What was written as the job's parameters; not checked.
    pub fn params(&self) -> &str {
        self.trigger.executor_params.as_deref().unwrap_or_default()
    }

    /// Which part of the work is meant.
    pub fn shard(&self) -> Shard {
        Shard::of(&self.trigger)
    }

    /// For which group it came.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Writes into the log that the scheduler shows, with the seconds since the run began.
    pub fn log(&self, text: impl fmt::Display) {
        let text = format!("[{:9.3} s] {text}", self.began.elapsed().as_secs_f64());
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).write(self.trigger.log_id, &text);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut run = f.debug_struct("Run");
        run.field("job", &self.job_id()).field("log", &self.log_id()).field("side", &self.side).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards() {
        for (index, total, expect) in [
            (None, None, (0, 1)),
            (Some(0), Some(0), (0, 1)),
            (Some(0), Some(1), (0, 1)),
            (Some(2), Some(3), (2, 3)),
            (Some(3), Some(3), (0, 1)),
            (Some(-1), Some(3), (0, 3)),
            (Some(1), Some(-3), (0, 1)),
        ] {
            let trigger = Trigger { broadcast_index: index, broadcast_total: total, ..Trigger::default() };
            let Shard { index: got, total: of } = Shard::of(&trigger);
            assert_eq!((got, of), expect, "{index:?} of {total:?}");
        }
        let parts: Vec<_> = (0..7).filter(|item| Shard { index: 1, total: 3 }.has(*item)).collect();
        assert_eq!(parts, [1, 4]);
    }
}
