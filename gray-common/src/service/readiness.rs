//! What `/readyz` says.
//!
//! A process that has never served is not ready until everything it needs is known. One that has serves on with what it
//! knows, whatever becomes of registry and settings: taking it out of rotation would turn their outage into one of ours, on
//! all machines at once. What is wrong is then said beside the 200 (`degraded`), in metrics and in the log.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gray_registry::Health;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::Phase;

/// How often [`Readiness::watch`] looks.
const LOOK: Duration = Duration::from_secs(1);

type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What must be so before a process may be sent requests, and what is worth saying of one that serves.
#[derive(Default)]
pub struct Needs {
    required: Vec<(&'static str, Check)>,
    noted: Vec<(&'static str, Check)>,
    heard: Vec<Heard>,
}

/// Whether a process may be sent requests.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    needs: Needs,
    phase: Box<dyn Fn() -> Phase + Send + Sync>,
    has_served: AtomicBool,
}

/// A source that should answer, and when it last did.
struct Heard {
    name: &'static str,
    health: watch::Receiver<Health>,
    last: Mutex<Instant>,
}

/// What there is to say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why requests should not come here; empty: they may.
    pub reasons: Vec<String>,
    /// What is wrong although they may, each with what it is about.
    pub degraded: Vec<(&'static str, String)>,
}

impl Needs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process is not ready while this gives a reason, until it has served; from then on it is degraded.
    #[must_use]
    pub fn requires(mut self, about: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.required.push((about, Box::new(check)));
        self
    }

    /// The process is degraded while this gives a reason.
    #[must_use]
    pub fn notes(mut self, about: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.noted.push((about, Box::new(check)));
        self
    }

    /// The process is degraded while this does not answer.
    #[must_use]
    pub fn hears(mut self, name: &'static str, health: watch::Receiver<Health>) -> Self {
        self.heard.push(Heard { name, health, last: Mutex::new(Instant::now()) });
        self
    }

    /// All there is, for a process that is in this phase. One that is on its way out is not ready.
    pub fn of(self, phase: impl Fn() -> Phase + Send + Sync + 'static) -> Readiness {
        Readiness(Arc::new(Inner { needs: self, phase: Box::new(phase), has_served: AtomicBool::new(false) }))
    }
}

impl Readiness {
    /// Where the process is in its life.
    pub fn phase(&self) -> Phase {
        (self.0.phase)()
    }

    /// What there is to say now.
    pub fn report(&self) -> Report {
        if self.phase().is_stopping() {
            return Report { reasons: vec!["stopping".to_owned()], degraded: Vec::new() };
        }
        let look = |checks: &[(&'static str, Check)]| -> Vec<_> {
            checks.iter().filter_map(|(about, check)| Some((*about, check()?))).collect()
        };
        let missing = look(&self.0.needs.required);
        if missing.is_empty() {
            self.0.has_served.store(true, Relaxed);
        }
        let mut report = Report::default();
        if self.0.has_served.load(Relaxed) {
            report.degraded = missing;
        } else {
            report.reasons = missing.into_iter().map(|(_, reason)| reason).collect();
        }
        report.degraded.extend(self.0.needs.heard.iter().filter_map(Heard::silence));
        report.degraded.extend(look(&self.0.needs.noted));
        report
    }

    /// Seconds since each of those that should answer was last known to; 0 while they do.
    pub fn ages(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.needs.heard.iter().map(|heard| (heard.name, heard.age().as_secs()))
    }

    /// Notices that the process serves even if not asked, and logs when it gets degraded, and when that is over. Never
    /// ends.
    pub async fn watch(self) {
        let mut known = BTreeSet::new();
        loop {
            let report = self.report();
            let is_serving = report.reasons.is_empty();
            // Before that, what is missing is logged by those who miss it.
            let now: BTreeSet<_> = report.degraded.iter().filter(|_| is_serving).map(|(about, _)| *about).collect();
            for (about, reason) in
                report.degraded.iter().filter(|(about, _)| now.contains(about) && !known.contains(about))
            {
                tracing::warn!(about, "degraded, serving on: {reason}");
            }
            if !self.phase().is_stopping() {
                for about in known.difference(&now) {
                    tracing::info!(about, "no longer degraded");
                }
            }
            known = now;
            sleep(LOOK).await;
        }
    }
}

impl Heard {
    /// How long ago it was last known to answer.
    fn age(&self) -> Duration {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.health.borrow() == Health::Up {
            *last = Instant::now();
        }
        last.elapsed()
    }

    fn silence(&self) -> Option<(&'static str, String)> {
        let age = self.age().as_secs();
        match &*self.health.borrow() {
            Health::Up => None,
            Health::Down(reason) => Some((self.name, format!("not heard from for {age} s: {reason}"))),
        }
    }
}

impl Report {
    /// Whether requests may come here.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// [`degraded`](Self::degraded) as it is shown.
    pub fn degraded(&self) -> Vec<String> {
        self.degraded.iter().map(|(about, reason)| format!("{about}: {reason}")).collect()
    }

    /// The body of `/readyz`.
    pub fn body(&self, phase: Phase) -> Value {
        let (reasons, degraded) = (&self.reasons, self.degraded());
        json!({ "ready": self.is_ready(), "phase": phase.as_str(), "reasons": reasons, "degraded": degraded })
    }
}

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needs").finish_non_exhaustive()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("report", &self.report()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use super::*;

    fn flag() -> (Arc<AtomicBool>, impl Fn() -> Option<String> + Send + Sync + 'static) {
        let flag = Arc::new(AtomicBool::new(true));
        let check = Arc::clone(&flag);
        (flag, move || check.load(Relaxed).then(|| "so it is".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_serves_goes_on_and_says_what_is_wrong() {
        let (missing, required) = flag();
        let (wrong, noted) = flag();
        let health = watch::Sender::new(Health::Down("connecting".into()));
        let stage = Arc::new(AtomicU8::new(0));
        let phase = Arc::clone(&stage);
        let readiness = Needs::new()
            .requires("settings", required)
            .notes("rights", noted)
            .hears("registry", health.subscribe())
            .of(move || if phase.load(Relaxed) == 0 { Phase::Serving } else { Phase::Draining });
        let about = |report: &Report| report.degraded.iter().map(|(about, _)| *about).collect::<Vec<_>>();

        sleep(Duration::from_secs(7)).await;
        let report = readiness.report();
        assert_eq!(
            (report.reasons.as_slice(), about(&report)),
            (&["so it is".to_owned()][..], vec!["registry", "rights"])
        );
        assert_eq!(report.degraded[0].1, "not heard from for 7 s: connecting");

        missing.store(false, Relaxed);
        wrong.store(false, Relaxed);
        health.send_replace(Health::Up);
        assert_eq!(readiness.report(), Report::default());
        assert_eq!(readiness.ages().collect::<Vec<_>>(), [("registry", 0)]);

        // The outage of everything at once.
        missing.store(true, Relaxed);
        wrong.store(true, Relaxed);
        health.send_replace(Health::Down("gone".into()));
        sleep(Duration::from_secs(3)).await;
        let report = readiness.report();
        assert!(report.is_ready(), "{report:?}");
        assert_eq!(about(&report), ["settings", "registry", "rights"]);
        assert_eq!(readiness.ages().collect::<Vec<_>>(), [("registry", 3)]);
        let body = report.body(Phase::Serving);
        assert_eq!((&body["ready"], &body["reasons"]), (&json!(true), &json!([])));
        assert_eq!(body["degraded"][1], "registry: not heard from for 3 s: gone");

        stage.store(1, Relaxed);
        assert_eq!(readiness.report().reasons, ["stopping"]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_it_serves_is_noticed_although_nobody_asks() {
        let (missing, required) = flag();
        let readiness = Needs::new().requires("settings", required).of(|| Phase::Serving);
        let mut watching = tokio::task::JoinSet::new();
        watching.spawn(readiness.clone().watch());
        missing.store(false, Relaxed);
        sleep(LOOK * 2).await;
        missing.store(true, Relaxed);
        assert!(readiness.report().is_ready());
    }
}
