//! Server side: from the metadata of a call into its task.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gray_context::{Extract, HttpHeaders, ReleaseContext, Standing, Verifier};
use gray_core::{lane::SigningKeys, tag::TRACE_HEADERS};
use http::{HeaderName, Request, Response};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use crate::InContext;

/// Serves every call within the release context that its metadata carry, its streams included. Trace and baggage
/// ([`TRACE_HEADERS`]) go on with the calls that it causes as well.
#[derive(Clone, Debug)]
pub struct GrayLayer {
    trust: Option<Arc<Trust>>,
    carried: Arc<[HeaderName]>,
}

/// What is believed.
#[derive(Debug)]
struct Trust {
    keys: SigningKeys,
    ttl: Duration,
    refuses: bool,
}

impl GrayLayer {
    /// The layer of a chain that does not sign: every lane is believed.
    pub fn new() -> Self {
        Self { trust: None, carried: Arc::new(TRACE_HEADERS) }
    }

    /// The layer of a chain that signs: a call whose lane has no good signature is served as one without a lane. `ttl`: as in the
    /// settings of the chain.
    pub fn signed(keys: SigningKeys, ttl: Duration) -> Self {
        Self { trust: Some(Arc::new(Trust { keys, ttl, refuses: false })), ..Self::new() }
    }

    /// The same, but a call whose lane has no good signature is refused (`PERMISSION_DENIED`).
    pub fn refusing(keys: SigningKeys, ttl: Duration) -> Self {
        Self { trust: Some(Arc::new(Trust { keys, ttl, refuses: true })), ..Self::new() }
    }

    /// More metadata that go on: those that the settings of the chain list under `propagate`.
    #[must_use]
    pub fn carrying(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { carried: self.carried.iter().cloned().chain(names).collect(), ..self }
    }

    /// The context of a call; `None` when it is refused.
    fn take_in(&self, carrier: &impl Extract) -> Option<ReleaseContext> {
        let context = match self.trust.as_deref() {
            None => ReleaseContext::extract(carrier),
            Some(Trust { keys, ttl, refuses }) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let verifier = Verifier::new(keys, now, *ttl);
                match ReleaseContext::extract_verified(carrier, &verifier, || false) {
                    (_, Standing::Rejected(_)) if *refuses => return None,
                    (context, _) => context,
                }
            }
        };
        Some(context.carrying(carrier, &self.carried))
    }
}

impl Default for GrayLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for GrayLayer {
    type Service = GrayService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrayService { inner, layer: self.clone() }
    }
}

/// What [`GrayLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct GrayService<S> {
    inner: S,
    layer: GrayLayer,
}

impl<S, B, R> Service<Request<B>> for GrayService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<InContext<R>>;
    type Error = S::Error;
    type Future = GrayFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(context) = self.layer.take_in(&HttpHeaders(request.headers())) else {
            return GrayFuture { inner: None, context: ReleaseContext::default() };
        };
        // `call` itself runs code of the inner service, not only the future it returns.
        let future = context.clone().enter(|| self.inner.call(request));
        GrayFuture { inner: Some(context.clone().wrap(future)), context }
    }
}

pin_project! {
    /// The inner service's future, polled within the release context of the call. Without one the call is refused.
    pub struct GrayFuture<F> {
        #[pin]
        inner: Option<TaskLocalFuture<ReleaseContext, F>>,
        context: ReleaseContext,
    }
}

impl<F, R, E> Future for GrayFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<InContext<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(cx))?,
            None => Status::permission_denied("the lane of this call has no good signature").into_http(),
        };
        Poll::Ready(Ok(answer.map(|body| InContext::new(body, this.context.clone()))))
    }
}

impl<F> fmt::Debug for GrayFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrayFuture").finish_non_exhaustive()
    }
}
