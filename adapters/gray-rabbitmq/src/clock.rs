//! The time of day, for signatures, and how long to wait before the next attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Before attempt `number`, counted from 0: twice as long each time, within bounds, and not all processes at once.
pub(crate) fn pause(number: u32, longest: Duration) -> Duration {
    let full = Duration::from_millis(100).saturating_mul(1 << number.min(10)).min(longest);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds() {
        let longest = Duration::from_secs(5);
        for (number, expect) in [(0, 100), (1, 200), (4, 1600), (6, 5000), (u32::MAX, 5000)] {
            let pause = pause(number, longest).as_millis();
            assert!((expect / 2..=expect).contains(&pause), "{number}: {pause} ms");
        }
    }
}
