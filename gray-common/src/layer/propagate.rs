//! Client side: from the task onto the outgoing request.

use std::task::{Context, Poll};

use gray_context::{HttpHeadersMut, ReleaseContext};
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

/// Writes the current release context onto every request that passes, for clients built from tower services.
/// [`GrayClient`](crate::client::GrayClient) does so by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PropagateLayer(());

impl PropagateLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for PropagateLayer {
    type Service = PropagateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PropagateService { inner }
    }
}

/// What [`PropagateLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct PropagateService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for PropagateService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        ReleaseContext::current().inject(&mut HttpHeadersMut(request.headers_mut()));
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use gray_core::tag::{GRAY_HEADER, GrayStatus};
    use http::{HeaderMap, HeaderValue, Response};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::layer::ReleaseLayer;

    #[tokio::test]
    async fn a_tag_passes_from_the_server_side_to_the_client_side() {
        let client = PropagateLayer::new()
            .layer(service_fn(async |request: Request<()>| Ok::<HeaderMap, Infallible>(request.headers().clone())));
        let server = ReleaseLayer::new().layer(service_fn(move |_: Request<()>| async move {
            let mut request = Request::new(());
            request.headers_mut().insert(GRAY_HEADER, HeaderValue::from_static("stale"));
            client.oneshot(request).await.map(Response::new)
        }));
        for tag in [Some(GrayStatus::Gray), Some(GrayStatus::All), None] {
            let mut request = Request::new(());
            ReleaseContext::tagged(tag).inject(&mut HttpHeadersMut(request.headers_mut()));
            for (name, value) in [("traceparent", "00-1-2-01"), ("baggage", "theirs=1"), ("cookie", "c=1")] {
                request.headers_mut().append(name, HeaderValue::from_static(value));
            }
            let sent = server.clone().oneshot(request).await.expect("infallible").into_body();
            assert_eq!(sent.get(GRAY_HEADER), tag.map(GrayStatus::header_value).as_ref());
            assert_eq!(sent["traceparent"], "00-1-2-01");
            let baggage = sent["baggage"].to_str().expect("text");
            assert_eq!(
                (baggage.ends_with("theirs=1"), baggage.contains("gray-lane=")),
                (true, tag.is_some()),
                "{baggage}"
            );
            assert!(!sent.contains_key("cookie"));
        }
    }
}
