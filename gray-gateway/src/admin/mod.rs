//! The admin side: probes, metrics, the state of the gateway, and what its rules would do, on a port of its own (loopback
//! unless told otherwise). Changes nothing; it shares nothing with the request path but the snapshot and the counters.

mod access;
mod answer;
mod candidate;
mod explain;
mod lint;
mod metrics;
mod readiness;
mod replay;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use gray_common::{
    balance::Reason,
    clock::unix_seconds,
    disk::{DiskStatus, DiskStore},
    registry::Health,
    service::Readiness,
    settings::SettingsState,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use self::readiness::{Sources, readiness};
pub use self::{
    access::{Access, AdminToken},
    metrics::install as install_metrics,
};
use crate::{control::GatewayConfig, proxy::Stats, record::RecordBuffer, snapshot::Snapshot};

/// Longest body that is read, in bytes: that of the longest document.
const MAX_BODY: usize = 1 << 20;

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
    /// Whether requests may come here.
    pub readiness: Readiness,
    /// Where instances and documents are kept for a start without Nacos, if they are.
    pub disk: Option<Arc<DiskStore>>,
    /// The counters of all workers.
    pub stats: Arc<Stats>,
    /// Renders what was recorded through the `metrics` facade.
    pub recorder: metrics_exporter_prometheus::PrometheusHandle,
    /// Who may ask for more than probes and metrics.
    pub access: Access,
    /// Facts of the last requests; `None`: none are kept.
    pub records: Option<Arc<RecordBuffer>>,
    /// Prefix of the gray settings.
    pub prefix: Arc<str>,
}

/// The admin routes.
pub fn app(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::render))
        .route("/status", get(status))
        .route("/explain", get(explain::by_query).post(explain::by_body))
        .route("/lint", get(lint::current).post(lint::candidate))
        .route("/replay", post(replay::candidate))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(admin.access.clone(), access::guard))
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

async fn status(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshot = admin.snapshot.load();
    let services: serde_json::Map<String, Value> = snapshot
        .services
        .iter()
        .map(|(name, service)| {
            let ejected: HashMap<&str, Reason> = service
                .set
                .endpoints()
                .filter_map(|endpoint| Some((endpoint.authority(), endpoint.load().ejection()?)))
                .collect();
            let instances: Vec<_> = service
                .set
                .known()
                .iter()
                .map(|instance| {
                    let address = instance.authority();
                    json!({
                        "version": instance.version(),
                        "weight": instance.weight,
                        "candidate": instance.is_candidate(),
                        "ejected": ejected.get(address.as_str()).map(|reason| reason.as_str()),
                        "address": address,
                    })
                })
                .collect();
            (name.to_string(), json!({ "strategy": service.strategy.as_str(), "instances": instances }))
        })
        .collect();
    let settings = admin.settings.borrow().clone();
    let health = |health: &Health| match health {
        Health::Up => json!("up"),
        Health::Down(reason) => json!({ "down": reason }),
    };
    let rules: Vec<_> = snapshot
        .rules
        .rules()
        .iter()
        .map(|rule| json!({ "name": rule.name, "lane": snapshot.rules.lanes()[rule.lane].lane().name() }))
        .collect();
    let routes: Vec<_> = snapshot.routes.routes().iter().map(|route| route.id.to_string()).collect();
    let report = admin.readiness.report();
    let body = json!({
        "ready": report.is_ready(),
        "degraded": report.degraded(),
        "phase": admin.readiness.phase().as_str(),
        "revision": settings.revision,
        "refused": settings.refused.as_deref(),
        "registry": health(&admin.registry.borrow()),
        "config": health(&admin.config.borrow()),
        "snapshot": admin.disk_status(),
        "cityData": snapshot.city.is_some(),
        "rulesRevision": snapshot.rules.revision(),
        "rules": rules,
        "findings": &*snapshot.findings,
        "routes": routes,
        "services": services,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}
