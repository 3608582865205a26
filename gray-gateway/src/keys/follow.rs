//! Asks servers for their keys again and again, one task for each server.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gray_live::clock::uptime_ms;
use gray_rules::{KeyServer, KeySet};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Held, KeySets,
    fetch::{Fetched, Fetcher},
};

/// How often servers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// When the server says nothing of it.
    pub usual: Duration,
    /// Between two questions at least, whatever the server and clients say.
    pub least: Duration,
    /// At most, whatever the server says.
    pub most: Duration,
    /// After the first failure, as long as there are no keys; then twice as long each time, up to `least`.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self { usual: minutes(5), least: minutes(1), most: minutes(24 * 60), retry: Duration::from_secs(1) }
    }
}

/// How fetching from a server goes.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The keys in use.
    pub set: Option<Arc<KeySet>>,
    /// When they were last fetched, by the clock of this process.
    pub fetched_ms: Option<u64>,
    /// Why they could not be fetched the last time, if they could not.
    pub error: Option<String>,
    /// Whether the server has been asked.
    pub is_tried: bool,
}

/// What a task, the control loop and requests have in common.
#[derive(Debug)]
pub(super) struct Following {
    report: watch::Sender<Report>,
    /// Whether a client has named a key that is not known.
    is_wanted: AtomicBool,
    wanted: Notify,
}

impl Following {
    fn new() -> Self {
        Self { report: watch::Sender::default(), is_wanted: AtomicBool::new(false), wanted: Notify::new() }
    }

    /// A key is asked for that is not known. For requests: after the first of them it is one look at a flag.
    pub(super) fn want(&self) {
        if !self.is_wanted.load(Relaxed) && !self.is_wanted.swap(true, Relaxed) {
            self.wanted.notify_one();
        }
    }

    pub(super) fn report(&self) -> Report {
        self.report.borrow().clone()
    }
}

/// Follows the keys of all servers that routes and rules name.
#[derive(Debug, Default)]
pub struct KeyFollower {
    fetcher: Arc<Fetcher>,
    pace: Pace,
    changed: Arc<Notify>,
    followed: HashMap<KeyServer, Task>,
}

#[derive(Debug)]
struct Task {
    following: Arc<Following>,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl KeyFollower {
    /// Asks by these means.
    pub fn new(fetcher: Fetcher, pace: Pace) -> Self {
        Self { fetcher: Arc::new(fetcher), pace, ..Self::default() }
    }

    /// Follows exactly these; what is known of those that stay is kept. Must be called within a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "a control task, not part of any request")]
    pub fn update(&mut self, servers: BTreeSet<KeyServer>) {
        self.followed.retain(|server, _| servers.contains(server));
        for server in servers {
            self.followed.entry(server).or_insert_with_key(|server| {
                let following = Arc::new(Following::new());
                let asker = Asker {
                    server: server.clone(),
                    fetcher: Arc::clone(&self.fetcher),
                    pace: self.pace,
                    following: Arc::clone(&following),
                    changed: Arc::clone(&self.changed),
                };
                Task { following, handle: tokio::spawn(asker.run()).abort_handle() }
            });
        }
    }

    /// The keys that are known, for a snapshot.
    pub fn current(&self) -> Arc<KeySets> {
        let held = self.followed.iter().map(|(server, task)| {
            let set = task.following.report.borrow().set.clone();
            (server.clone(), Held { set, following: Arc::clone(&task.following) })
        });
        Arc::new(KeySets(held.collect()))
    }

    /// Whether every server has been asked once: requests that come now find what there is.
    pub fn is_tried(&self) -> bool {
        self.followed.values().all(|task| task.following.report.borrow().is_tried)
    }

    /// Returns when one of them has answered or failed. Cancel safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Asks one server.
struct Asker {
    server: KeyServer,
    fetcher: Arc<Fetcher>,
    pace: Pace,
    following: Arc<Following>,
    changed: Arc<Notify>,
}

impl Asker {
    async fn run(self) {
        let mut failures = 0;
        loop {
            // What is wanted from here on is not known to this question.
            self.following.is_wanted.store(false, Relaxed);
            let outcome = self.fetcher.fetch(&self.server).await.map_err(|error| error.to_string());
            let asked = Instant::now();
            let label = if outcome.is_ok() { "fetched" } else { "failed" };
            metrics::counter!("gray_gateway_key_fetches_total", "outcome" => label).increment(1);
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            let max_age = outcome.as_ref().ok().and_then(|fetched| fetched.max_age);
            let has_keys = self.note(outcome);
            self.changed.notify_one();
            if !has_keys {
                sleep(self.pace.backoff(failures)).await;
                continue;
            }
            sleep_until(asked + self.pace.least).await;
            let next = if failures > 0 { self.pace.least } else { self.pace.interval(max_age) };
            tokio::select! {
                () = sleep_until(asked + next) => {}
                () = self.following.wanted.notified() => {}
            }
        }
    }

    /// Takes over what was fetched; says what is new. Returns whether there are keys.
    fn note(&self, outcome: Result<Fetched, String>) -> bool {
        let server = self.server.as_str();
        let mut has_keys = true;
        self.following.report.send_modify(|report| {
            report.is_tried = true;
            match outcome {
                Ok(Fetched { set, .. }) => {
                    if report.set.as_deref() != Some(&set) {
                        tracing::info!(server, keys = set.len(), left_out = ?set.skipped(), "keys of tokens fetched");
                        report.set = Some(Arc::new(set));
                    } else if report.error.is_some() {
                        tracing::info!(server, "keys of tokens can be fetched again");
                    }
                    report.fetched_ms = Some(uptime_ms());
                    report.error = None;
                }
                Err(error) => {
                    has_keys = report.set.is_some();
                    if report.error.as_ref() != Some(&error) {
                        let then = if has_keys {
                            "the last ones stay in use"
                        } else {
                            "requests with a token that needs them get 503"
                        };
                        tracing::warn!(server, %error, "keys of tokens cannot be fetched: {then}");
                    }
                    report.error = Some(error);
                }
            }
        });
        has_keys
    }
}

impl Pace {
    /// Until the next question, after an answer that may be kept for so long.
    fn interval(&self, max_age: Option<Duration>) -> Duration {
        max_age.unwrap_or(self.usual).clamp(self.least, self.most)
    }

    /// Until the next question, after so many failures, without keys. Not all gateways at the same moment.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.retry.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.least).mul_f64(0.75 + fastrand::f64() / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_asked_neither_too_often_nor_too_rarely() {
        let pace = Pace::default();
        for (max_age, expect) in [(None, 300), (Some(0), 60), (Some(3_600), 3_600), (Some(u64::MAX), 86_400)] {
            assert_eq!(pace.interval(max_age.map(Duration::from_secs)).as_secs(), expect, "{max_age:?}");
        }
        for (failures, most) in [(1, 1), (2, 2), (6, 32), (7, 60), (u32::MAX, 60)] {
            let wait = pace.backoff(failures);
            let most = Duration::from_secs(most);
            assert!(wait <= most && wait >= most.mul_f64(0.7), "{failures}: {wait:?}");
        }
    }
}
