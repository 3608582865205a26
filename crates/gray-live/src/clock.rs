//! The clock that snapshots are built and requests are measured by.

use std::{sync::LazyLock, time::Instant};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the process began to look at this clock, at least 1; never goes back. What slow start counts by.
pub fn uptime_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// The same clock in microseconds; what requests in flight are measured by.
pub fn uptime_us() -> u64 {
    u64::try_from(STARTED.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1_000)
}
