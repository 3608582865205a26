//! The reckoning: what clients saw, against what they should have seen and what the backends wrote down.

use std::{fmt, sync::Arc, time::Duration};

use super::{Ledger, Outcome, Plan, Record, client::id};

/// All requests of a load.
#[derive(Debug)]
pub struct Account {
    pub(super) plan: Arc<Plan>,
    pub(super) run: u32,
    /// In the order in which they were sent.
    pub records: Vec<Record>,
}

/// How many went wrong, and how.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Requests sent.
    pub sent: usize,
    /// An unexpected status, no answer, a reset, a time-out, the answer to another request.
    pub failed: usize,
    /// Of these, POSTs.
    pub failed_posts: usize,
    /// Answered, or taken, by a version that it was not for.
    pub wrong: usize,
    /// POSTs that arrived twice.
    pub duplicated: usize,
    /// Answered, and no backend knows of it.
    pub unknown: usize,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Nothing went wrong.
    pub fn clean(&self) -> bool {
        self.sent > 0 && self.failed + self.wrong + self.duplicated + self.unknown == 0
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < 8 {
            self.examples.push(what());
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.failed += other.failed;
        self.failed_posts += other.failed_posts;
        self.wrong += other.wrong;
        self.duplicated += other.duplicated;
        self.unknown += other.unknown;
        self.examples.extend(other.examples);
        self.examples.truncate(8);
        self
    }
}

/// `0 failed, 0 duplicated, 0 wrong version of 1000`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, failed, wrong, duplicated, unknown, .. } = self;
        write!(f, "{failed} failed, {duplicated} POSTs duplicated, {wrong} wrong version of {sent}")?;
        if *unknown > 0 { write!(f, "; {unknown} answered without a trace at the backends") } else { Ok(()) }
    }
}

impl Account {
    /// What of it this one sees: without some of the requests.
    #[must_use]
    pub fn without(mut self, left_out: impl Fn(&Record) -> bool) -> Self {
        self.records.retain(|record| !left_out(record));
        self
    }

    /// Judges every request. `expected` says which versions may answer it (none: every one), by kind and time.
    pub fn judge(&self, ledger: &Ledger, expected: impl Fn(&str, &Record) -> &'static [&'static str]) -> Verdict {
        let mut verdict = Verdict { sent: self.records.len(), ..Verdict::default() };
        for record in &self.records {
            let id = id(self.run, record.number);
            let kind = self.plan.kinds.get(record.kind).map_or("", |kind| kind.name);
            let allowed = expected(kind, record);
            let fits = |version: &str| allowed.is_empty() || allowed.contains(&version);
            let arrivals = ledger.of(&id);
            let what = || {
                let method = if record.post { "POST" } else { "GET" };
                let seen: Vec<&str> = arrivals.iter().map(|entry| &*entry.version).collect();
                format!("{kind} {method} {id} due at {:.3?}: {:?}; arrived at {seen:?}", record.due, record.outcome)
            };
            let answered = match &record.outcome {
                Outcome::Answered { status: 200, version: Some(version) } => {
                    (arrivals.is_empty(), !fits(version), false)
                }
                _ => (false, false, true),
            };
            let mixed = arrivals.iter().any(|entry| entry.mixed);
            let (unknown, wrong, failed) =
                (answered.0, answered.1 || arrivals.iter().any(|entry| !fits(&entry.version)), answered.2 || mixed);
            let duplicated = record.post && arrivals.len() > 1;
            verdict.unknown += usize::from(unknown);
            verdict.wrong += usize::from(wrong);
            verdict.failed += usize::from(failed);
            verdict.failed_posts += usize::from(failed && record.post);
            verdict.duplicated += usize::from(duplicated);
            if unknown || wrong || failed || duplicated {
                verdict.note(what);
            }
        }
        verdict
    }

    /// The latency that this share of the answered requests did not exceed.
    pub fn latency(&self, share: f64, chosen: impl Fn(&Record) -> bool) -> Duration {
        let answered = |record: &&Record| matches!(record.outcome, Outcome::Answered { .. }) && chosen(record);
        percentile(self.records.iter().filter(answered).map(|record| record.took).collect(), share)
    }

    /// Requests that were due after this and got no 200.
    pub fn failed_after(&self, time: Duration) -> usize {
        let failed = |record: &&Record| !matches!(record.outcome, Outcome::Answered { status: 200, .. });
        self.records.iter().filter(|record| record.due > time).filter(failed).count()
    }

    /// How many were answered with this status.
    pub fn with_status(&self, status: u16) -> usize {
        let is = |record: &&Record| matches!(record.outcome, Outcome::Answered { status: seen, .. } if seen == status);
        self.records.iter().filter(is).count()
    }
}

/// The value that this share does not exceed; zero without values.
pub fn percentile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    let index = (values.len() as f64 * share).ceil() as usize;
    values.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let values = |count: u64| (1..=count).map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(percentile(values(100), 0.99), Duration::from_millis(99));
        assert_eq!(percentile(values(100), 1.0), Duration::from_millis(100));
        assert_eq!(percentile(values(1), 0.5), Duration::from_millis(1));
        assert_eq!(percentile(Vec::new(), 0.5), Duration::ZERO);
    }
}
