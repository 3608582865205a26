//! The release context of the request being served: which tag it carries.
//!
//! It lives in a task-local, never in a thread-local: a worker thread that goes on to another request takes nothing
//! along. A plain `tokio::spawn` starts without it; use [`spawn`].

use std::future::Future;

use http::HeaderMap;
use tokio::task::{JoinHandle, futures::TaskLocalFuture};

use crate::tag::{GRAY_HEADER, GrayStatus};

/// What travels with a request from hop to hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseContext {
    /// The tag; `None` when the caller sent none, or one we do not know.
    pub tag: Option<GrayStatus>,
}

tokio::task_local! {
    static CURRENT: ReleaseContext;
}

impl ReleaseContext {
    /// Reads the context from a request. Two tags are one too many: none counts.
    pub fn extract(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(GRAY_HEADER).iter();
        let tag = match (values.next(), values.next()) {
            (Some(value), None) => GrayStatus::from_header(value),
            _ => None,
        };
        Self { tag }
    }

    /// Writes the context onto an outgoing request; what was there under our name goes.
    pub fn inject(&self, headers: &mut HeaderMap) {
        match self.tag {
            Some(tag) => headers.insert(GRAY_HEADER, tag.header_value()),
            None => headers.remove(GRAY_HEADER),
        };
    }

    /// The context of the running task; empty outside of a request.
    pub fn current() -> Self {
        CURRENT.try_with(|context| *context).unwrap_or_default()
    }

    /// Runs a closure within this context.
    pub fn enter<R>(self, run: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, run)
    }

    /// A future that runs within this context, as a type that can be named.
    pub(crate) fn wrap<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a future within this context.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

/// `tokio::spawn` that takes the current release context along.
#[expect(clippy::disallowed_methods, reason = "the one place that carries the context over")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(ReleaseContext::current().scope(future))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn extract_and_inject_are_inverse() {
        for tag in [None, Some(GrayStatus::All), Some(GrayStatus::Prod), Some(GrayStatus::Gray)] {
            let mut headers = HeaderMap::new();
            headers.insert(GRAY_HEADER, HeaderValue::from_static("stale"));
            ReleaseContext { tag }.inject(&mut headers);
            assert_eq!(ReleaseContext::extract(&headers).tag, tag);
        }
    }

    #[test]
    fn two_tags_count_as_none() {
        let mut headers = HeaderMap::new();
        headers.append(GRAY_HEADER, GrayStatus::Gray.header_value());
        headers.append(GRAY_HEADER, GrayStatus::Prod.header_value());
        assert_eq!(ReleaseContext::extract(&headers).tag, None);
    }

    #[tokio::test]
    async fn spawned_work_keeps_the_context_and_the_thread_does_not() {
        let gray = ReleaseContext { tag: Some(GrayStatus::Gray) };
        let seen = gray.scope(async { spawn(async { ReleaseContext::current() }).await }).await;
        assert_eq!(seen.expect("joined"), gray);
        assert_eq!(ReleaseContext::current(), ReleaseContext::default());
    }
}
