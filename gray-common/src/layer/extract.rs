//! Server side: from the incoming request into the task.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tower_layer::Layer;
use tower_service::Service;

use crate::context::ReleaseContext;

/// Serves every request within the release context its headers carry.
///
/// The context covers the handler, not the body it returns: a streamed body that makes calls of its own has to take
/// the context along, for example with [`gray_common::spawn`](crate::spawn).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReleaseLayer(());

impl ReleaseLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for ReleaseLayer {
    type Service = ReleaseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReleaseService { inner }
    }
}

/// What [`ReleaseLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for ReleaseService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReleaseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = ReleaseContext::extract(request.headers());
        // `call` itself runs code of the inner service, not only the future it returns.
        let future = context.enter(|| self.inner.call(request));
        ReleaseFuture { inner: context.wrap(future) }
    }
}

pin_project! {
    /// The inner service's future, polled and dropped within its release context.
    pub struct ReleaseFuture<F> {
        #[pin]
        inner: TaskLocalFuture<ReleaseContext, F>,
    }
}

impl<F: Future> Future for ReleaseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
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

    use proptest::prelude::*;
    use tokio::{sync::Barrier, task::yield_now};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{spawn, tag::GRAY_HEADER, tag::GrayStatus};

    fn request(tag: Option<GrayStatus>) -> Request<()> {
        let mut request = Request::new(());
        ReleaseContext { tag }.inject(request.headers_mut());
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
                Ok::<_, Infallible>((before, ReleaseContext::current().tag))
            }
        }));
        let (gray, prod) = tokio::join!(
            service.clone().oneshot(request(Some(GrayStatus::Gray))),
            service.oneshot(request(Some(GrayStatus::Prod))),
        );
        assert_eq!(gray, Ok((Some(GrayStatus::Gray), Some(GrayStatus::Gray))));
        assert_eq!(prod, Ok((Some(GrayStatus::Prod), Some(GrayStatus::Prod))));
    }

    #[tokio::test]
    async fn the_synchronous_part_of_a_call_sees_the_tag_too() {
        let service = ReleaseLayer::new().layer(service_fn(|_: Request<()>| {
            let tag = ReleaseContext::current().tag;
            async move { Ok::<_, Infallible>(tag) }
        }));
        assert_eq!(service.oneshot(request(Some(GrayStatus::Gray))).await, Ok(Some(GrayStatus::Gray)));
    }

    #[tokio::test]
    async fn a_cancelled_request_leaves_nothing_behind() {
        let service = ReleaseLayer::new().layer(service_fn(async |_: Request<()>| {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(())
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
                    Ok::<_, Infallible>((ReleaseContext::current().tag, spawned))
                }));
                for choice in tags {
                    let mut request = request(GrayStatus::ALL.get(choice).copied());
                    if choice == 4 {
                        request.headers_mut().insert(GRAY_HEADER, "gray-996".parse().expect("valid"));
                    }
                    let expect = GrayStatus::ALL.get(choice).copied();
                    assert_eq!(service.oneshot(request).await, Ok((expect, expect)));
                    assert_eq!(ReleaseContext::current().tag, None);
                }
            });
        }
    }
}
