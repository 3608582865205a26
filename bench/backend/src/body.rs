//! The bodies of our answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

/// What a streamed body is made of, again and again.
static PATTERN: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A body with a known way of being made.
#[derive(Debug)]
pub(crate) enum Body {
    /// One piece; sent together with the head.
    Once(Option<Bytes>),
    /// So many bytes more of the pattern.
    Pattern(u64),
    /// What comes in.
    Incoming(Incoming),
}

impl Body {
    pub(crate) fn once(bytes: Bytes) -> Self {
        Self::Once(Some(bytes))
    }

    pub(crate) fn pattern(count: u64) -> Self {
        Self::Pattern(count)
    }

    pub(crate) fn incoming(body: Incoming) -> Self {
        Self::Incoming(body)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Once(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pattern(0) => Poll::Ready(None),
            Self::Pattern(left) => {
                let length = PATTERN.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                Poll::Ready(PATTERN.get(..length).map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
            }
            Self::Incoming(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Once(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pattern(left) => *left == 0,
            Self::Incoming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pattern(left) => SizeHint::with_exact(*left),
            Self::Incoming(body) => body.size_hint(),
        }
    }
}
