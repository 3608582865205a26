//! A body that is polled within the release context of its call: a stream may make calls of its own.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use gray_context::ReleaseContext;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body within the release context of its call.
    #[derive(Debug)]
    pub struct InContext<B> {
        #[pin]
        inner: B,
        context: ReleaseContext,
    }
}

impl<B> InContext<B> {
    pub(crate) fn new(inner: B, context: ReleaseContext) -> Self {
        Self { inner, context }
    }
}

impl<B: Body> Body for InContext<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        this.context.clone().enter(|| this.inner.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
