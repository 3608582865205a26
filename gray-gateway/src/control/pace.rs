//! How often work that grows with all services is done, so that much news from the registry costs little.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spaces out one kind of work: a multiple of the time that it took passes before it is done again. A small fleet does not notice;
/// with a large one, what comes meanwhile is dealt with together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    factor: u32,
    longest: Duration,
    not_before: Instant,
}

impl Pace {
    /// Pauses for `factor` times what the work took, but no longer than `longest`.
    pub(super) fn new(factor: u32, longest: Duration) -> Self {
        Self { factor, longest, not_before: Instant::now() }
    }

    /// The work was done, and took so long.
    pub(super) fn spent(&mut self, took: Duration) {
        self.not_before = Instant::now() + took.saturating_mul(self.factor).min(self.longest);
    }

    /// Returns when it may be done. Cancel safe.
    pub(super) async fn free(&self) {
        sleep_until(self.not_before).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_done_seldom() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(9, seconds(60));
        for (took, pause) in [(0, 0), (1, 9), (5, 45), (8, 60), (u64::MAX, 60)] {
            pace.spent(seconds(took));
            let began = Instant::now();
            pace.free().await;
            assert_eq!(began.elapsed().as_secs(), pause, "{took}");
        }
    }
}
