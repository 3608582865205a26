//! What surrounds the routes of every service: health, release context, and the care for what is in flight.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::FutureExt;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONNECTION},
};
use tower_layer::Layer;

use super::{
    Readiness,
    metrics::{Metrics, render},
};
use crate::{
    api::{ApiResult, Code},
    layer::{Hop, ReleaseLayer},
};

/// What handlers and life cycle tell each other.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    in_flight: AtomicUsize,
    leaving: AtomicBool,
    /// By status class, 1xx to 5xx.
    responses: [AtomicU64; 5],
}

impl Traffic {
    /// Requests whose answer has not begun.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Answers so far, by status class: 1xx to 5xx.
    pub(super) fn responses(&self) -> [u64; 5] {
        self.responses.each_ref().map(|count| count.load(Relaxed))
    }

    fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.responses[class - 1].fetch_add(1, Relaxed);
    }

    /// From now on `/readyz` says no, and every answer asks the caller to give up its connection.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }
}

/// The service's routes with `/livez`, `/readyz`, and `/metrics` if there are any, in front of them.
pub(super) fn surround(
    app: Router,
    readiness: Readiness,
    traffic: Arc<Traffic>,
    metrics: Option<Metrics>,
    hop: Hop,
) -> Router {
    // Around the router as a whole, not its routes: a router adds `Allow` outside of the layers of its routes.
    let app = from_fn_with_state(traffic, accompany).layer(ReleaseLayer::of(Arc::new(hop)).layer(app));
    let own = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .fallback_service(app);
    match metrics {
        Some(metrics) => own.merge(Router::new().route("/metrics", get(render)).with_state(metrics)),
        None => own,
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let reasons = readiness.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn accompany(State(traffic): State<Arc<Traffic>>, request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    let counted = Counted::new(&traffic);
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(counted);
    let mut answer = answer.unwrap_or_else(|_| {
        // The panic hook has said where; a caller gets an answer instead of a broken connection.
        tracing::error!("a handler panicked");
        (StatusCode::INTERNAL_SERVER_ERROR, Json(ApiResult::<()>::failure(Code::ServerError))).into_response()
    });
    if is_options && answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        answer = options(&answer);
    }
    traffic.responded(answer.status());
    if traffic.is_leaving() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// OPTIONS on a route that says nothing of it: the methods it has, as Spring answers by itself.
fn options(refused: &Response) -> Response {
    let allowed = refused.headers().get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allowed = if allowed.is_empty() { "OPTIONS".to_owned() } else { format!("{allowed},OPTIONS") };
    (StatusCode::OK, [(ALLOW, allowed)]).into_response()
}

/// One request in flight; dropped also when the caller goes away.
struct Counted<'t>(&'t Traffic);

impl<'t> Counted<'t> {
    fn new(traffic: &'t Traffic) -> Self {
        traffic.in_flight.fetch_add(1, Relaxed);
        Self(traffic)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
