//! How often work that grows with all services is done, so that much news from the registry costs little.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So much pause may be owed before there is one: news now and then, or of a small fleet that starts, never waits.
const CREDIT: Duration = Duration::from_secs(2);

/// Spaces out one kind of work: on the whole a multiple of the time that it takes passes between. A small fleet does not notice;
/// with a large one, what comes meanwhile is dealt with together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    factor: u32,
    longest: Duration,
    /// What was owed when the work was done last.
    owed: Duration,
    done_at: Instant,
}

impl Pace {
    /// Pauses for `factor` times what the work took, but no longer than `longest`.
    pub(super) fn new(factor: u32, longest: Duration) -> Self {
        Self { factor, longest, owed: Duration::ZERO, done_at: Instant::now() }
    }

    /// The work was done, and took so long.
    pub(super) fn spent(&mut self, took: Duration) {
        let now = Instant::now();
        let rest = self.owed.saturating_sub(now.saturating_duration_since(self.done_at));
        self.owed = rest.saturating_add(took.saturating_mul(self.factor)).min(CREDIT + self.longest);
        self.done_at = now;
    }

    /// Returns when it may be done. Cancel safe.
    pub(super) async fn free(&self) {
        sleep_until(self.done_at + self.owed.saturating_sub(CREDIT)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_done_seldom() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(9, seconds(60));
        pace.spent(CREDIT / 9);
        for (took, pause) in [(0, 0), (1, 9), (5, 45), (8, 60), (u64::MAX, 60)] {
            pace.spent(seconds(took));
            let began = Instant::now();
            pace.free().await;
            assert_eq!(began.elapsed().as_secs(), pause, "{took}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_now_and_then_does_not_wait() {
        let mut pace = Pace::new(199, Duration::from_millis(250));
        let began = Instant::now();
        for _ in 0..10 {
            pace.spent(Duration::from_millis(1));
            pace.free().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "ten processes that start");
        pace.spent(Duration::from_millis(10));
        pace.free().await;
        assert_eq!(began.elapsed(), Duration::from_millis(250), "more than that");
        sleep(CREDIT).await;
        pace.spent(Duration::from_millis(10));
        let began = Instant::now();
        pace.free().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "long after");
    }
}
