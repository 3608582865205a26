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
mod replay;
mod series;
mod status;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use gray_common::{
    clock::unix_seconds,
    disk::{DiskStatus, DiskStore},
    registry::Health,
    service::{Phase, Registration, RegistrationState},
    settings::{Caller, SettingsState},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

pub use self::{
    access::{Access, AdminToken},
    gate::Gate,
    hosts::HostName,
    metrics::install as install_metrics,
};
pub(crate) use listener::bounded;

use crate::{
    control::GatewayConfig,
    proxy::{Limits, Stats},
    record::RecordBuffer,
    snapshot::Snapshot,
    tls::Refused,
};

/// Longest body that is read, in bytes: that of the longest document.
const MAX_BODY: usize = 1 << 20;
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
    /// How far the registration of the gateway itself has got.
    pub registration: watch::Receiver<RegistrationState>,
    /// Where instances and documents are kept for a start without Nacos, if they are.
    pub disk: Option<Arc<DiskStore>>,
    /// The counters of all workers.
    pub stats: Arc<Stats>,
    /// Where the gateway is in its life, but for how far its registration has got.
    pub phase: watch::Receiver<Phase>,
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
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::render))
        .route("/status", get(status::show))
        .route("/explain", get(explain::by_query).post(explain::by_body))
        .route("/lint", get(lint::current).post(lint::candidate))
        .route("/replay", post(replay::candidate))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(admin.gate.clone(), gate::guard))
        .with_state(admin)
}

impl Admin {
    /// Why requests should not come here yet; `None` when they may.
    ///
    /// A registry that went away later is no reason: the last good snapshot still serves.
    fn not_ready(&self) -> Option<String> {
        if self.phase.borrow().is_stopping() {
            return Some("stopping".into());
        }
        let settings = self.settings.borrow();
        let Some(config) = &settings.current else {
            return Some(match (&settings.refused, &*self.config.borrow()) {
                (Some(refused), _) => format!("the configuration was refused: {refused}"),
                (None, Health::Down(reason)) => format!("no configuration yet: {reason}"),
                (None, Health::Up) => "no configuration yet".into(),
            });
        };
        if config.routes.routes().is_empty() {
            return Some("the configuration has no routes: is gateway-app.yaml published in this namespace?".into());
        }
        // Nothing was ever heard from the registry: the first requests would all be 503.
        let snapshot = self.snapshot.load();
        let nobody = snapshot.services.values().all(|service| service.set.known().is_empty());
        match &*self.registry.borrow() {
            Health::Down(reason) if nobody => Some(format!("no instances known yet: {reason}")),
            // It serves what it knew before, and registers when there is somebody to register with.
            Health::Down(_) if self.is_on_disk() => None,
            _ => Registration::reason(&self.registration),
        }
    }
}

impl Admin {
    /// Whether something in use comes from disk, because the registry or the source of the documents has not answered.
    fn is_on_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.status().in_use.is_empty())
    }

    fn phase(&self) -> &'static str {
        self.phase.borrow().with(&self.registration.borrow()).as_str()
    }

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
    let reason = admin.not_ready();
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons: Vec<_> = reason.into_iter().collect();
    (status, Json(json!({ "ready": reasons.is_empty(), "phase": admin.phase(), "reasons": reasons })))
}
