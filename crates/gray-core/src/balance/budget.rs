//! How many requests may be sent twice.

/// Retries that are allowed on top of the requests: a fifth of them, and a few per second so that a service with little
/// traffic has some (Finagle and Linkerd count by the same two figures). When everything fails, an instance gets at most
/// that much more, and not a multiple.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    per_second: f64,
    tokens: f64,
    /// The balance when it was last asked for.
    requests: u64,
    at_ms: u64,
}

impl RetryBudget {
    /// Retries per request.
    pub const RATIO: f64 = 0.2;
    /// Retries per second besides.
    pub const PER_SECOND: f64 = 10.0;
    /// So many seconds' worth is kept for later.
    const KEPT_SECONDS: f64 = 1.0;

    /// A budget from now on, when there were so many requests; `share` is the part of [`PER_SECOND`](Self::PER_SECOND)
    /// that it may spend, where several share the traffic.
    pub fn new(share: f64, requests: u64, now_ms: u64) -> Self {
        let per_second = Self::PER_SECOND * share;
        Self { per_second, tokens: per_second * Self::KEPT_SECONDS, requests, at_ms: now_ms }
    }

    /// Takes one retry, if there is one left; `requests` counts all requests so far, retries not among them. Costs
    /// nothing while it is not asked.
    pub fn withdraw(&mut self, requests: u64, now_ms: u64) -> bool {
        let seconds = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        let new = requests.saturating_sub(self.requests) as f64;
        // What was earned long ago is not kept: at most a second's worth, at the rate since the last time.
        let part = if seconds > Self::KEPT_SECONDS { Self::KEPT_SECONDS / seconds } else { 1.0 };
        let earned = (new * Self::RATIO + seconds * self.per_second) * part;
        let rate = new / seconds.max(Self::KEPT_SECONDS);
        let most = ((rate * Self::RATIO + self.per_second) * Self::KEPT_SECONDS).max(1.0);
        self.tokens = (self.tokens + earned).min(most.max(self.tokens));
        (self.requests, self.at_ms) = (requests, now_ms);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every request of a steady load fails and asks for a retry; how many get one.
    fn retries(per_second: u64, seconds: u64) -> u64 {
        let mut budget = RetryBudget::new(1.0, 0, 0);
        let all = (1..=per_second * seconds).filter(|n| budget.withdraw(*n, n * 1000 / per_second));
        all.count() as u64
    }

    #[test]
    fn everything_fails() {
        assert_eq!(retries(1, 100), 100, "little traffic may repeat all of it");
        for (rate, seconds) in [(100, 100), (1_000, 60), (20_000, 10)] {
            let (seen, allowed) = (retries(rate, seconds), rate * seconds / 5 + 10 * seconds + 10);
            assert!(seen <= allowed && seen >= allowed * 95 / 100, "{rate}/s: {seen} of {allowed}");
        }
    }

    #[test]
    fn a_quiet_hour_is_no_licence() {
        let mut budget = RetryBudget::new(1.0, 0, 0);
        assert!(budget.withdraw(3_600_000, 3_600_000));
        let more = (0..10_000).filter(|_| budget.withdraw(3_600_000, 3_600_000)).count();
        assert!((150..=230).contains(&more), "a second's worth at 1,000 requests per second: {more}");
    }

    proptest! {
        #[test]
        fn never_more_than_its_share(steps in prop::collection::vec((0_u64..200, 0_u64..3_000, 0_u8..50), 1..200)) {
            let (mut budget, mut requests, mut now, mut taken) = (RetryBudget::new(1.0, 0, 0), 0, 0, 0);
            for (new, wait, asks) in steps {
                (requests, now) = (requests + new, now + wait);
                taken += (0..asks).filter(|_| budget.withdraw(requests, now)).count();
                let allowed = requests as f64 * RetryBudget::RATIO + (now as f64 / 1000.0 + 1.0) * RetryBudget::PER_SECOND;
                prop_assert!(taken as f64 <= allowed + 1.0, "{taken} of {allowed}");
            }
        }
    }
}
