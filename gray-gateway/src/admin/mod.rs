//! The admin side: probes, metrics, the state of the gateway, and what its rules would do, on a port of its own (loopback
//! unless told otherwise). Changes nothing; it shares nothing with the request path but the snapshot and the counters.

mod access;
mod answer;
mod candidate;
mod explain;
mod gate;
mod hosts;
mod instances;
mod lint;
mod listener;
mod metrics;
mod readiness;
mod replay;
mod series;
mod status;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use gray_common::{
    clock::unix_seconds,
    disk::{DiskStatus, DiskStore},
    registry::Health,
    service::Readiness,
    settings::{Caller, SettingsState},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::readiness::{Sources, readiness};
pub use self::{
    access::{Access, AdminToken},
    gate::Gate,
    hosts::HostName,
    metrics::install as install_metrics,
};
pub(crate) use listener::{Peer, bounded};

use crate::{
    control::GatewayConfig,
    proxy::{Limits, Stats},
    record::RecordBuffer,
    snapshot::Snapshot,
    tls::Refused,
};

/// Documents that are worked on at the same time.
pub const MAX_JUDGED: usize = 2;

/// What the admin side looks at.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The snapshot in use.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The settings in use, and what was refused.
    pub settings: watch::Receiver<SettingsState<GatewayConfig>>,
    /// Whether the registry answers.
    pub registry: watch::Receiver<Health>,
    /// Whether the source of the documents answers.
    pub config: watch::Receiver<Health>,
    /// Certificates that were replaced by bad ones.
    pub refused_files: Refused,
    /// Whether requests may come here.
    pub readiness: Readiness,
    /// Where instances and documents are kept for a start without Nacos, if they are.
    pub disk: Option<Arc<DiskStore>>,
    /// The counters of all workers.
    pub stats: Arc<Stats>,
    /// Renders what was recorded through the `metrics` facade.
    pub recorder: metrics_exporter_prometheus::PrometheusHandle,
    /// Who may ask for more than probes and metrics, and by which name.
    pub gate: Gate,
    /// Facts of the last requests; `None`: none are kept.
    pub records: Option<Arc<RecordBuffer>>,
    /// Prefix of the gray settings.
    pub prefix: Arc<str>,
    /// What the gateway is for the instances that it calls.
    pub caller: Caller,
    /// What clients may use.
    pub limits: Limits,
    /// Permits for the work on documents, which takes time and memory.
    pub judging: Arc<Semaphore>,
}

/// The admin routes.
pub fn app(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::render))
        .route("/status", get(status::show))
        .route("/explain", get(explain::by_query).post(explain::by_body))
        .route("/lint", get(lint::current).post(lint::candidate))
        .route("/replay", post(replay::candidate))
        .layer(middleware::from_fn_with_state(admin.gate.clone(), gate::guard))
        .with_state(admin)
}

impl Admin {
    fn disk_status(&self) -> Value {
        let Some(disk) = &self.disk else { return Value::Null };
        let DiskStatus { in_use, failures } = disk.status();
        let in_use: serde_json::Map<_, _> = in_use
            .into_iter()
            .map(|(name, saved)| (name, json!({ "ageSecs": unix_seconds().saturating_sub(saved) })))
            .collect();
        json!({ "inUse": in_use, "failures": failures })
    }
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let report = admin.readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report.body(admin.readiness.phase())))
}
