//! Which run is to start now, which waits, which is refused: one run of a job at a time, by its block strategy. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use gray_core::Side;

use crate::wire::{RunKey, Trigger};

/// Runs that wait, and what has become of others, within bounds.
#[derive(Debug)]
pub(crate) struct Desk {
    jobs: HashMap<i64, Job>,
    waiting: usize,
    /// What those that wait take, in bytes.
    bytes: usize,
    succeeded: Recent,
    limits: Limits,
}

/// How many runs may be here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Jobs with a run, hence runs at the same time.
    pub(crate) jobs: usize,
    /// Runs of one job that wait.
    pub(crate) waiting_of_job: usize,
    /// Runs of all jobs that wait.
    pub(crate) waiting: usize,
    /// What they take, in bytes: parameters mostly.
    pub(crate) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: 256, waiting_of_job: 64, waiting: 2048, bytes: 8 << 20 }
    }
}

/// A run that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) trigger: Trigger,
    /// For which group it came.
    pub(crate) side: Side,
}

impl Order {
    fn key(&self) -> RunKey {
        self.trigger.key()
    }

    /// What it takes while it waits.
    fn bytes(&self) -> usize {
        let Trigger { executor_handler, executor_params, executor_block_strategy, glue_type, .. } = &self.trigger;
        let texts = [executor_handler, executor_params, executor_block_strategy, glue_type];
        size_of::<Self>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

/// A job that has a run.
#[derive(Debug)]
struct Job {
    running: RunKey,
    queue: VecDeque<Order>,
}

/// What becomes of a run that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It starts now.
    Start(Order),
    /// It starts when those before it have ended.
    Waits,
    /// The same; the one that runs is to be stopped, and those that waited will not start.
    Covers { stop: RunKey, dropped: Vec<RunKey> },
}

/// Why a run is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("run {0} of this job was here before: it waits, runs or has succeeded")]
    Repeated(i64),
    #[error("block strategy DISCARD_LATER: the job is running")]
    Discarded,
    #[error("{0} runs of this job wait already: this executor takes no more")]
    QueueFull(usize),
    #[error("this executor is busy: {0} runs wait, or {1} jobs run")]
    Busy(usize, usize),
    #[error("runs that wait take {0} bytes already: this executor takes no more until some have started")]
    Heavy(usize),
}

/// What a kill ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Killed {
    pub(crate) stop: Option<RunKey>,
    pub(crate) dropped: Vec<RunKey>,
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { jobs: HashMap::new(), waiting: 0, bytes: 0, succeeded: Recent::default(), limits }
    }

    /// Takes a run, or refuses it.
    pub(crate) fn offer(&mut self, order: Order) -> Result<Taken, Refusal> {
        let key = order.key();
        let job = self.jobs.get_mut(&key.job);
        let is_here =
            job.as_ref().is_some_and(|job| job.running == key || job.queue.iter().any(|waits| waits.key() == key));
        if is_here || self.succeeded.contains(key) {
            return Err(Refusal::Repeated(key.log));
        }
        let busy = Refusal::Busy(self.limits.waiting, self.limits.jobs);
        let Some(job) = job else {
            if self.jobs.len() >= self.limits.jobs {
                return Err(busy);
            }
            self.jobs.insert(key.job, Job { running: key, queue: VecDeque::new() });
            return Ok(Taken::Start(order));
        };
        match order.trigger.executor_block_strategy.as_deref() {
            Some("DISCARD_LATER") => Err(Refusal::Discarded),
            Some("COVER_EARLY") => {
                let (stop, covered) = (job.running, std::mem::take(&mut job.queue));
                let dropped: Vec<_> = covered.iter().map(Order::key).collect();
                self.bytes = self.bytes + order.bytes() - covered.iter().map(Order::bytes).sum::<usize>();
                self.waiting = self.waiting + 1 - dropped.len();
                job.queue.push_back(order);
                Ok(Taken::Covers { stop, dropped })
            }
            // As Java's executor does with strategies that it does not know.
            _ if job.queue.len() >= self.limits.waiting_of_job => Err(Refusal::QueueFull(job.queue.len())),
            _ if self.waiting >= self.limits.waiting => Err(busy),
            _ if self.bytes + order.bytes() > self.limits.bytes => Err(Refusal::Heavy(self.bytes)),
            _ => {
                self.bytes += order.bytes();
                job.queue.push_back(order);
                self.waiting += 1;
                Ok(Taken::Waits)
            }
        }
    }

    /// A run has ended; the one to start now, if one waits.
    pub(crate) fn ended(&mut self, run: RunKey, has_succeeded: bool) -> Option<Order> {
        if has_succeeded {
            self.succeeded.insert(run);
        }
        let job = self.jobs.get_mut(&run.job).filter(|job| job.running == run)?;
        let Some(next) = job.queue.pop_front() else {
            self.jobs.remove(&run.job);
            return None;
        };
        job.running = next.key();
        self.waiting -= 1;
        self.bytes -= next.bytes();
        Some(next)
    }

    /// Ends what runs and what waits of a job. What runs stays here until it has ended.
    pub(crate) fn kill(&mut self, job: i64) -> Killed {
        let Some(job) = self.jobs.get_mut(&job) else { return Killed::default() };
        let killed = std::mem::take(&mut job.queue);
        self.waiting -= killed.len();
        self.bytes -= killed.iter().map(Order::bytes).sum::<usize>();
        Killed { stop: Some(job.running), dropped: killed.iter().map(Order::key).collect() }
    }

    /// Whether a job runs, and so could be waited for.
    pub(crate) fn is_busy(&self, job: i64) -> bool {
        self.jobs.contains_key(&job)
    }

    /// The jobs that run.
    pub(crate) fn jobs(&self) -> Vec<i64> {
        self.jobs.keys().copied().collect()
    }
}

/// The runs that succeeded last.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<RunKey>,
    known: HashSet<RunKey>,
}

impl Recent {
    const MOST: usize = 4096;

    fn contains(&self, run: RunKey) -> bool {
        self.known.contains(&run)
    }

    fn insert(&mut self, run: RunKey) {
        if self.known.insert(run) {
            self.order.push_back(run);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
