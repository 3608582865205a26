//! Runs that were taken, from their start to the callback. Each job that runs has a task of its own, so that one that hangs
//! or panics holds up no other.

use std::{any::Any, sync::Arc, time::Duration};

use gray_core::Side;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    desk::{Order, Refusal, Taken},
    release::InRelease,
    run::{JobError, Run},
    shared::{Floor, Shared, locked},
    telemetry,
    wire::{Callback, RunKey, Trigger, code},
};

/// Why a run that was asked for is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error(
        "this executor runs no scripts: the type is `{0}`, expected BEAN with the name of a handler that the service has compiled in"
    )]
    Glue(String),
    #[error("this executor has no job `{0}`")]
    NoHandler(String),
    #[error("this executor is not in the group that the run is meant for, or is stopping")]
    NotOurs,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl NotTaken {
    /// The value in metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Glue(_) => "glue",
            Self::NoHandler(_) => "no_handler",
            Self::NotOurs => "group",
            Self::Refused(Refusal::Repeated(_)) => "repeated",
            Self::Refused(Refusal::Discarded) => "discarded",
            Self::Refused(Refusal::QueueFull(_) | Refusal::Busy(..) | Refusal::Heavy(_)) => "busy",
        }
    }
}

/// How a run ended.
struct Ending {
    outcome: &'static str,
    code: i32,
    message: String,
}

/// Takes a run, or says why not.
pub(crate) fn take(shared: &Arc<Shared>, trigger: Trigger, side: Side) -> Result<(), NotTaken> {
    match trigger.glue_type.as_deref() {
        Some("BEAN") => {}
        other => return Err(NotTaken::Glue(crate::wire::shortened(other.unwrap_or_default(), 40).to_owned())),
    }
    let handler = trigger.executor_handler.as_deref().unwrap_or_default();
    if !shared.handlers.contains_key(handler) {
        return Err(NotTaken::NoHandler(crate::wire::shortened(handler, 100).to_owned()));
    }
    if !shared.takes(side) {
        return Err(NotTaken::NotOurs);
    }
    let mut floor = locked(&shared.floor);
    let dropped = match floor.desk.offer(Order { trigger, side })? {
        Taken::Start(order) => {
            while floor.tasks.try_join_next().is_some() {}
            let stop = watched(&mut floor, order.trigger.key());
            floor.tasks.spawn(serve(Arc::clone(shared), order, stop));
            Vec::new()
        }
        Taken::Waits => Vec::new(),
        Taken::Covers { stop, dropped } => {
            tell(&floor, stop, COVERED);
            dropped
        }
    };
    drop(floor);
    report_dropped(shared, dropped, COVERED);
    Ok(())
}

const COVERED: &str = "block strategy COVER_EARLY: a later run of the job has come";

/// Ends what a job runs and has waiting; whether there was anything.
pub(crate) fn kill(shared: &Shared, job: i64, reason: &'static str) -> bool {
    let killed = {
        let mut floor = locked(&shared.floor);
        let killed = floor.desk.kill(job);
        if let Some(run) = killed.stop {
            tell(&floor, run, reason);
        }
        killed
    };
    report_dropped(shared, killed.dropped, reason);
    killed.stop.is_some()
}

/// Ends all runs.
pub(crate) fn kill_all(shared: &Shared, reason: &'static str) -> usize {
    let jobs = locked(&shared.floor).desk.jobs();
    jobs.into_iter().filter(|job| kill(shared, *job, reason)).count()
}

fn watched(floor: &mut Floor, run: RunKey) -> watch::Receiver<Option<&'static str>> {
    let (sender, stop) = watch::channel(None);
    floor.stops.insert(run, sender);
    metrics::gauge!(telemetry::RUNNING).set(floor.stops.len() as f64);
    stop
}

fn tell(floor: &Floor, run: RunKey, reason: &'static str) {
    if let Some(stop) = floor.stops.get(&run) {
        // The first reason counts.
        stop.send_if_modified(|told| told.is_none() && told.replace(reason).is_none());
    }
}

fn report_dropped(shared: &Shared, runs: Vec<RunKey>, reason: &str) {
    for run in runs {
        count(shared, None, "dropped");
        shared.report(Callback::new(run, code::FAILED, &format!("{reason} [it waited and was not started]")));
    }
}

/// `handler` is one of ours: a scheduler makes no series.
fn count(shared: &Shared, handler: Option<&str>, outcome: &'static str) {
    let job = handler.and_then(|name| shared.handlers.get_key_value(name)).map_or("-", |(name, _)| name);
    metrics::counter!(telemetry::RUNS_TOTAL, "job" => job.to_owned(), "outcome" => outcome).increment(1);
}

/// The runs of one job, one after the other, until none waits.
async fn serve(shared: Arc<Shared>, first: Order, stop: watch::Receiver<Option<&'static str>>) {
    let mut next = Some((first, stop));
    while let Some((order, stop)) = next {
        let run = order.trigger.key();
        let has_succeeded = serve_one(&shared, order, stop).await;
        let mut floor = locked(&shared.floor);
        floor.stops.remove(&run);
        let order = floor.desk.ended(run, has_succeeded);
        next = order.map(|order| {
            let stop = watched(&mut floor, order.trigger.key());
            (order, stop)
        });
        metrics::gauge!(telemetry::RUNNING).set(floor.stops.len() as f64);
        if floor.stops.is_empty() {
            shared.idle.notify_waiters();
        }
    }
}

async fn serve_one(shared: &Arc<Shared>, order: Order, stop: watch::Receiver<Option<&'static str>>) -> bool {
    let Order { trigger, side } = order;
    let (run, trigger) = (trigger.key(), Arc::new(trigger));
    let name = trigger.executor_handler.as_deref().unwrap_or_default();
    locked(&shared.journal).open(run);
    let of_run = Run::new(Arc::clone(&trigger), side, Arc::clone(&shared.journal));
    of_run.log(format_args!("start of {name} for group {side:?}, parameters: {}", of_run.params()));
    // Ends with this future, whatever happens to it.
    let mut task = JoinSet::new();
    if let Some(handler) = shared.handlers.get(name).cloned() {
        let given = of_run.clone();
        // Within the task, so that a handler which panics before its first await does no harm either.
        let work = async move { handler(given).await };
        task.spawn(InRelease::new(work, side, shared.rules.clone()));
    }
    let limit = trigger.executor_timeout.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let ending = tokio::select! {
        biased;
        joined = task.join_next() => ending(joined),
        reason = told(stop) => {
            let message = format!("{reason} [it ran and was stopped]");
            Ending { outcome: "stopped", code: code::FAILED, message }
        }
        seconds = passed(limit) => {
            let message = format!("not done within {seconds} s: stopped");
            Ending { outcome: "timeout", code: code::TIMEOUT, message }
        }
    };
    of_run.log(format_args!("end: {}: {}", ending.outcome, ending.message));
    locked(&shared.journal).close(run.log);
    count(shared, Some(name), ending.outcome);
    tracing::info!(job = run.job, log = run.log, handler = name, outcome = ending.outcome, "run ended");
    shared.report(Callback::new(run, ending.code, &ending.message));
    // One that blocks its thread cannot be stopped: the job has no other run until it has ended.
    task.shutdown().await;
    ending.code == code::SUCCESS
}

/// How a handler has ended that was not stopped.
fn ending(joined: Option<Result<Result<String, JobError>, JoinError>>) -> Ending {
    match joined {
        Some(Ok(Ok(message))) => Ending { outcome: "success", code: code::SUCCESS, message },
        Some(Ok(Err(error))) => Ending { outcome: "failed", code: code::FAILED, message: with_causes(&*error) },
        Some(Err(error)) => {
            let message = match error.try_into_panic() {
                Ok(panic) => format!("the handler panicked: {}", said(&*panic)),
                Err(_) => "the handler was cancelled".to_owned(),
            };
            Ending { outcome: "panicked", code: code::FAILED, message }
        }
        None => Ending { outcome: "failed", code: code::FAILED, message: "the handler is gone".to_owned() },
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ")
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Waits for the word to stop.
async fn told(mut stop: watch::Receiver<Option<&'static str>>) -> &'static str {
    let reason = stop.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

/// Waits for the limit of a run.
async fn passed(limit: Option<u64>) -> u64 {
    let Some(seconds) = limit else { return std::future::pending().await };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    seconds
}
