//! What surrounds the routes of every service: health, release context, and the care for what is in flight.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
    routing::{future::RouteFuture, get},
};
use futures_util::{FutureExt, future::CatchUnwind};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONNECTION},
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Phase, Readiness,
    metrics::{Metrics, render},
};
use crate::{
    api::{ApiResult, Code},
    layer::{Hop, ReleaseLayer, ReleaseService},
};

/// What handlers and life cycle tell each other.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    in_flight: AtomicUsize,
    phase: Mutex<Phase>,
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

    /// From `Deregistering` on `/readyz` says no, and every answer asks the caller to give up its connection.
    pub(super) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.leaving.store(phase.is_stopping(), Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }
}

/// The service's routes with `/livez`, `/readyz`, and `/metrics` if there are any, in front of them.
///
/// A service of its own, not layers and nested routers: those box a future and clone a service each, for every request.
#[derive(Clone, Debug)]
pub(super) struct Surrounded {
    own: Router,
    has_metrics: bool,
    app: ReleaseService<Router>,
    traffic: Arc<Traffic>,
}

impl Surrounded {
    pub(super) fn new(
        app: Router,
        readiness: Readiness,
        traffic: Arc<Traffic>,
        metrics: Option<Metrics>,
        hop: Hop,
    ) -> Self {
        let own =
            Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(readyz)).with_state(readiness);
        let has_metrics = metrics.is_some();
        let own = match metrics {
            Some(metrics) => own.merge(Router::new().route("/metrics", get(render)).with_state(metrics)),
            None => own,
        };
        // Around the router as a whole, not its routes: a router adds `Allow` outside of the layers of its routes.
        Self { own, has_metrics, app: ReleaseLayer::of(Arc::new(hop)).layer(app), traffic }
    }
}

impl Service<Request> for Surrounded {
    type Response = Response;
    type Error = Infallible;
    type Future = Surrounding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Surrounding {
        let is_own = match request.uri().path() {
            "/livez" | "/readyz" => true,
            "/metrics" => self.has_metrics,
            _ => false,
        };
        if is_own {
            return Surrounding::Own { answer: self.own.call(request) };
        }
        let is_options = request.method() == Method::OPTIONS;
        let counted = Some(Counted::new(&self.traffic));
        // A router runs no handler before its future is polled.
        let answer = AssertUnwindSafe(self.app.call(request)).catch_unwind();
        Surrounding::App { answer, counted, is_options }
    }
}

type AppFuture = <ReleaseService<Router> as Service<Request>>::Future;

pin_project! {
    /// An answer on its way.
    #[project = SurroundingProjection]
    pub(super) enum Surrounding {
        /// Of ours.
        Own {
            #[pin]
            answer: RouteFuture<Infallible>,
        },
        /// Of the service.
        App {
            #[pin]
            answer: CatchUnwind<AssertUnwindSafe<AppFuture>>,
            counted: Option<Counted>,
            is_options: bool,
        },
    }
}

impl Future for Surrounding {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SurroundingProjection::Own { answer } => answer.poll(cx),
            SurroundingProjection::App { answer, counted, is_options } => {
                let answer = match ready!(answer.poll(cx)) {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(never)) => match never {},
                    Err(_) => panicked(),
                };
                let Some(counted) = counted.take() else { return Poll::Ready(Ok(answer)) };
                Poll::Ready(Ok(counted.finish(answer, *is_options)))
            }
        }
    }
}

/// Why not, and what is wrong all the same, is for those on the machine: it names servers, documents and services.
async fn readyz(State(readiness): State<Readiness>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_local = peer.is_none_or(|peer| peer.0.ip().to_canonical().is_loopback());
    let report = readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut says = report.body(readiness.phase());
    if let Some(says) = says.as_object_mut().filter(|_| !is_local) {
        says.retain(|key, _| key == "ready" || key == "phase");
    }
    (status, Json(says)).into_response()
}

/// The panic hook has said where; a caller gets an answer instead of a broken connection.
fn panicked() -> Response {
    tracing::error!("a handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, Json(ApiResult::<()>::failure(Code::ServerError))).into_response()
}

/// OPTIONS on a route that says nothing of it: the methods it has, as Spring answers by itself.
fn options(refused: &Response) -> Response {
    let allowed = refused.headers().get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allowed = if allowed.is_empty() { "OPTIONS".to_owned() } else { format!("{allowed},OPTIONS") };
    (StatusCode::OK, [(ALLOW, allowed)]).into_response()
}

/// One request in flight; dropped also when the caller goes away.
struct Counted(Arc<Traffic>);

impl Counted {
    fn new(traffic: &Arc<Traffic>) -> Self {
        traffic.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(traffic))
    }

    fn finish(self, mut answer: Response, is_options: bool) -> Response {
        if is_options && answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer = options(&answer);
        }
        self.0.responded(answer.status());
        if self.0.is_leaving() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
