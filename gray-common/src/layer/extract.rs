//! Server side: from the incoming request into the task.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use gray_context::{HttpHeaders, HttpHeadersMut, Inject as _, PathLog, ReleaseContext};
use gray_core::tag::{PATH_HEADER, TRACE_HEADERS};
use http::{HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "registry")]
use super::Hop;
#[cfg(not(feature = "registry"))]
use no_hop::Hop;

/// Who sent a request, if its server tells: by a `SocketAddr`, or by axum's `ConnectInfo`, among its extensions.
fn peer<B>(request: &Request<B>) -> Option<IpAddr> {
    let told = request.extensions().get::<SocketAddr>();
    #[cfg(feature = "service")]
    let told = told.or_else(|| Some(&request.extensions().get::<axum::extract::ConnectInfo<SocketAddr>>()?.0));
    told.map(SocketAddr::ip)
}

/// Serves every request within the release context its headers carry.
///
/// The context covers the handler, not the body it returns: a streamed body that makes calls of its own has to take
/// the context along, for example with [`gray_common::spawn`](crate::spawn).
#[derive(Clone, Debug, Default)]
pub struct ReleaseLayer {
    hop: Option<Arc<Hop>>,
}

impl ReleaseLayer {
    /// The layer alone: believes every tag, and passes on tag, lane, trace and baggage ([`TRACE_HEADERS`]).
    pub const fn new() -> Self {
        Self { hop: None }
    }

    /// The layer of a service that knows its place: see [`Hop`].
    #[cfg(feature = "registry")]
    pub fn of(hop: Arc<Hop>) -> Self {
        Self { hop: Some(hop) }
    }
}

impl<S> Layer<S> for ReleaseLayer {
    type Service = ReleaseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReleaseService { inner, hop: self.hop.clone() }
    }
}

/// What [`ReleaseLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct ReleaseService<S> {
    inner: S,
    hop: Option<Arc<Hop>>,
}

impl<S, B, R> Service<Request<B>> for ReleaseService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReleaseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let headers = HttpHeaders(request.headers());
        let (context, here) = match &self.hop {
            None => (ReleaseContext::extract(&headers).carrying(&headers, &TRACE_HEADERS), None),
            Some(hop) => match hop.take_in(&headers, peer(&request)) {
                Ok((context, fit)) => {
                    let here = context.path().cloned().map(|log| Here { log, told: hop.told(fit) });
                    (context, here)
                }
                Err(_) => return ReleaseFuture { inner: None, here: None },
            },
        };
        // `call` itself runs code of the inner service, not only the future it returns.
        let future = context.clone().enter(|| self.inner.call(request));
        ReleaseFuture { inner: Some(context.wrap(future)), here }
    }
}

/// Without settings there is no service that knows its place.
#[cfg(not(feature = "registry"))]
mod no_hop {
    use gray_context::{Extract, ReleaseContext};
    use std::net::IpAddr;

    #[derive(Debug)]
    pub(super) enum Hop {}

    impl Hop {
        pub(super) fn take_in(&self, _: &impl Extract, _: Option<IpAddr>) -> Result<(ReleaseContext, ()), ()> {
            match *self {}
        }

        pub(super) fn told(&self, (): ()) -> String {
            match *self {}
        }
    }
}

/// What a traced request is told of this hop.
struct Here {
    log: PathLog,
    told: String,
}

pin_project! {
    /// The inner service's future, polled and dropped within its release context. Without one the request is refused.
    pub struct ReleaseFuture<F> {
        #[pin]
        inner: Option<TaskLocalFuture<ReleaseContext, F>>,
        here: Option<Here>,
    }
}

impl<F, R, E> Future for ReleaseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let mut refused = Response::new(R::default());
            *refused.status_mut() = StatusCode::FORBIDDEN;
            return Poll::Ready(Ok(refused));
        };
        let mut answer = ready!(inner.poll(cx));
        if let (Ok(response), Some(here)) = (&mut answer, this.here)
            && let Ok(path) = HeaderValue::try_from(here.log.told(&here.told))
        {
            HttpHeadersMut(response.headers_mut()).set(&PATH_HEADER, &path);
        }
        Poll::Ready(answer)
    }
}

impl<F> fmt::Debug for ReleaseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleaseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use gray_core::tag::{GRAY_HEADER, GrayStatus};
    use proptest::prelude::*;
    use tokio::{sync::Barrier, task::yield_now};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::spawn;

    fn request(tag: Option<GrayStatus>) -> Request<()> {
        let mut request = Request::new(());
        ReleaseContext::tagged(tag).inject(&mut HttpHeadersMut(request.headers_mut()));
        request
    }

    #[tokio::test]
    async fn interleaved_requests_keep_their_own_tag() {
        let barrier = std::sync::Arc::new(Barrier::new(2));
        let service = ReleaseLayer::new().layer(service_fn(move |_: Request<()>| {
            let barrier = std::sync::Arc::clone(&barrier);
            async move {
                let before = ReleaseContext::current().tag;
                barrier.wait().await;
                yield_now().await;
                barrier.wait().await;
                Ok::<_, Infallible>(Response::new((before, ReleaseContext::current().tag)))
            }
        }));
        let (gray, prod) = tokio::join!(
            service.clone().oneshot(request(Some(GrayStatus::Gray))),
            service.oneshot(request(Some(GrayStatus::Prod))),
        );
        let seen = |answer: Result<Response<_>, Infallible>| answer.map(Response::into_body);
        assert_eq!(seen(gray), Ok((Some(GrayStatus::Gray), Some(GrayStatus::Gray))));
        assert_eq!(seen(prod), Ok((Some(GrayStatus::Prod), Some(GrayStatus::Prod))));
    }

    #[tokio::test]
    async fn the_synchronous_part_of_a_call_sees_the_tag_too() {
        let service = ReleaseLayer::new().layer(service_fn(|_: Request<()>| {
            let tag = ReleaseContext::current().tag;
            async move { Ok::<_, Infallible>(Response::new(tag)) }
        }));
        let seen = service.oneshot(request(Some(GrayStatus::Gray))).await.map(Response::into_body);
        assert_eq!(seen, Ok(Some(GrayStatus::Gray)));
    }

    #[tokio::test]
    async fn a_cancelled_request_leaves_nothing_behind() {
        let service = ReleaseLayer::new().layer(service_fn(async |_: Request<()>| {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(()))
        }));
        let mut call = Box::pin(service.oneshot(request(Some(GrayStatus::Gray))));
        assert!(futures_util::poll!(&mut call).is_pending());
        assert_eq!(ReleaseContext::current().tag, None);
        drop(call);
        assert_eq!(ReleaseContext::current().tag, None);
    }

    proptest! {
        /// One thread, one service, any sequence of tags: each request sees its own, the thread keeps none.
        #[test]
        fn a_tag_never_leaks_into_a_later_request(tags in prop::collection::vec(0usize..5, 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            runtime.block_on(async {
                let service = ReleaseLayer::new().layer(service_fn(async |_: Request<()>| {
                    yield_now().await;
                    let spawned = spawn(async { ReleaseContext::current().tag }).await.expect("joined");
                    Ok::<_, Infallible>(Response::new((ReleaseContext::current().tag, spawned)))
                }));
                for choice in tags {
                    let mut request = request(GrayStatus::ALL.get(choice).copied());
                    if choice == 4 {
                        request.headers_mut().insert(GRAY_HEADER, "gray-996".parse().expect("valid"));
                    }
                    let expect = GrayStatus::ALL.get(choice).copied();
                    let seen = service.clone().oneshot(request).await.map(Response::into_body);
                    assert_eq!(seen, Ok((expect, expect)));
                    assert_eq!(ReleaseContext::current().tag, None);
                }
            });
        }
    }
}
