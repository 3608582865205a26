//! Waiting for a state, with a deadline.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// Long enough for anything that works, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

/// Repeats `check` until it succeeds; fails with its last error after a deadline that anything that works will meet.
pub async fn eventually<T, F>(what: &str, check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    eventually_within(DEADLINE, what, check).await
}

/// [`eventually`] with a deadline of its own.
pub async fn eventually_within<T, F>(deadline: Duration, what: &str, mut check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut last = anyhow!("the check itself did not end");
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        if start.elapsed() >= deadline {
            return Err(last.context(format!("not within {deadline:?}: {what}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
