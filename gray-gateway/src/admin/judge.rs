//! The thread on which candidate documents are judged.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::sync::{mpsc, oneshot};

/// Candidates that wait for their turn; the next clients wait until one is done.
const MAX_WAITING: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// Judges one candidate at a time, on a thread of its own that lives as long as a handle does.
///
/// Not a thread pool: the allocator keeps for each thread what its largest document took, so every thread that has ever judged
/// one would add to what the gateway holds for good.
#[derive(Clone, Debug)]
pub struct Judge {
    jobs: mpsc::Sender<Job>,
}

impl Judge {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start() -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(MAX_WAITING);
        thread::Builder::new().name("judge".into()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                // The panic hook has written it to the log; the next candidate is judged all the same.
                let _outcome = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { jobs })
    }

    /// What the work comes to; `None` if it panicked.
    ///
    /// Cancel safe: when the future is dropped, work that has not begun is left, and work that has begun goes on unseen.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, outcome) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // An error: nothing waits for the outcome any more.
                let _told = answer.send(work());
            }
        };
        self.jobs.send(Box::new(job)).await.ok()?;
        outcome.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};

    use super::*;

    #[tokio::test]
    async fn all_work_is_done_on_one_thread_and_a_panic_does_not_end_it() {
        let judge = Judge::start().expect("a thread");
        let id = || current().id();
        let first = judge.run(id).await.expect("an outcome");
        assert_eq!(judge.run(|| -> ThreadId { panic!("a fault of ours") }).await, None);
        let runs = (0..8).map(|_| judge.run(id));
        let rest = futures_util::future::join_all(runs).await;
        assert!(rest.iter().all(|id| *id == Some(first)), "{first:?}, then {rest:?}");
        assert_ne!(first, current().id());
    }

    #[tokio::test]
    async fn work_that_is_no_longer_waited_for_is_left() {
        let judge = Judge::start().expect("a thread");
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (occupied, is_occupied) = oneshot::channel();
        let blocked = gray_common::spawn({
            let judge = judge.clone();
            let wait = move || {
                occupied.send(()).expect("the test waits for it");
                gate.recv()
            };
            async move { judge.run(wait).await }
        });
        // Else the thread could take the next work first.
        is_occupied.await.expect("the thread has begun");
        let (begun, has_begun) = std::sync::mpsc::channel();
        {
            let abandoned = judge.run(move || begun.send(()));
            tokio::pin!(abandoned);
            // Polled once, so that it waits for its turn, then dropped.
            assert!(futures_util::poll!(&mut abandoned).is_pending());
        }
        go.send(()).expect("the thread waits for it");
        blocked.await.expect("no panic").expect("an outcome").expect("the gate opened");
        assert_eq!(judge.run(|| 1).await, Some(1));
        assert_eq!(has_begun.recv(), Err(std::sync::mpsc::RecvError), "dropped without having run");
    }
}
