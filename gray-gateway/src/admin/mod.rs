//! The admin side: probes, metrics, the state of the gateway, and what its rules would do, on a port of its own (loopback
//! unless told otherwise). Changes nothing; it shares nothing with the request path but the snapshot and the counters.

mod access;
mod answer;
mod candidate;
mod explain;
mod gate;
mod hosts;
mod instances;
mod judge;
mod lint;
mod listener;
mod metrics;
mod readiness;
mod replay;
mod series;
mod state;
mod status;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};

pub(crate) use self::readiness::{Sources, readiness};
pub use self::{
    access::{Access, AdminToken},
    gate::Gate,
    hosts::HostName,
    judge::Judge,
    metrics::install as install_metrics,
    state::Admin,
};
pub(crate) use listener::{Peer, bounded};

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

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let report = admin.readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report.body(admin.readiness.phase())))
}
