//! Bodies on their way through: never collected, watched only for their end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower_http::services::fs::ServeFileSystemResponseBody as FileBody;

use super::{connection::State, pool::Lease, request::After};

/// A client's body on its way to an instance.
pub(super) struct UploadBody {
    incoming: Incoming,
    state: Arc<State>,
}

impl UploadBody {
    pub(super) fn new(incoming: Incoming, state: Arc<State>) -> Self {
        Self { incoming, state }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let last = !matches!(frame, Some(Ok(_))) || self.incoming.is_end_stream();
        self.state.uploaded(last);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response's body on its way to the client, with what must live until its end.
pub(super) struct ProxyBody {
    source: Source,
    after: Option<After>,
}

enum Source {
    /// From an instance, over a connection that goes back into the pool at the end.
    Upstream { incoming: Incoming, lease: Option<Lease> },
    /// A file, read as the client takes it.
    File(FileBody),
    /// Our own.
    Fixed(Option<Bytes>),
}

/// Why a response broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The instance did not go on.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// The file could not be read on.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl ProxyBody {
    pub(super) fn fixed(bytes: Bytes) -> Self {
        Self { source: Source::Fixed((!bytes.is_empty()).then_some(bytes)), after: None }
    }

    pub(super) fn upstream(incoming: Incoming, lease: Lease) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self::fixed(Bytes::new());
        }
        Self { source: Source::Upstream { incoming, lease: Some(lease) }, after: None }
    }

    pub(super) fn file(body: FileBody) -> Self {
        if body.is_end_stream() {
            return Self::fixed(Bytes::new());
        }
        Self { source: Source::File(body), after: None }
    }

    /// The same body, with the request's after step at its end.
    pub(super) fn with(mut self, after: After) -> Self {
        self.after = Some(after);
        self
    }

    fn complete(&mut self) {
        if let Source::Upstream { lease, .. } = &mut self.source
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
        self.after = None;
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream { incoming, .. } => {
                let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
                let complete = match &frame {
                    None => true,
                    Some(Ok(_)) => incoming.is_end_stream(),
                    // Broken off: the lease is dropped with the body, and hyper closes the client's connection.
                    Some(Err(error)) => {
                        tracing::debug!(%error, "response broken off");
                        false
                    }
                };
                if complete {
                    self.complete();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Upstream)))
            }
            Source::File(file) => {
                let frame = ready!(Pin::new(file).poll_frame(cx));
                match &frame {
                    None => self.complete(),
                    Some(Ok(_)) => {}
                    // The head is out: hyper closes the client's connection.
                    Some(Err(error)) => tracing::warn!(%error, "file broken off"),
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::File)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Fixed(bytes) => bytes.is_none(),
            Source::Upstream { incoming, .. } => incoming.is_end_stream(),
            Source::File(file) => file.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Fixed(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Upstream { incoming, .. } => incoming.size_hint(),
            Source::File(file) => file.size_hint(),
        }
    }
}
