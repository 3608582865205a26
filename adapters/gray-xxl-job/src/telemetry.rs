//! Names of metrics; docs/metrics.md describes them.

pub(crate) const RUNS_TOTAL: &str = "gray_job_runs_total";
pub(crate) const RUNNING: &str = "gray_job_running";
pub(crate) const REFUSED_TOTAL: &str = "gray_job_refused_total";
pub(crate) const CALLBACKS_WAITING: &str = "gray_job_callbacks_waiting";
pub(crate) const CALLBACKS_DROPPED_TOTAL: &str = "gray_job_callbacks_dropped_total";
pub(crate) const SCHEDULER_FAILURES_TOTAL: &str = "gray_job_scheduler_failures_total";
