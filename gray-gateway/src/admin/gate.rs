//! What every request to the admin side passes: who may ask, by which name, and how long its body may take.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use gray_live::clock::uptime_ms;
use http_body_util::LengthLimitError;
use metrics::counter;
use tokio::time::timeout;

use super::{
    Access,
    access::Denied,
    answer::{REFUSED_TOTAL, Refusal},
    hosts::{Foreign, HostName, Hosts},
    listener::Peer,
};

/// Longest body that is read, in bytes: that of the longest document.
const MAX_BODY: usize = 1 << 20;
/// Time from the end of a head to the end of its body. Clients send it at once.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);
/// Time between two lines in the log about requests that are turned away.
const LOG_MS: u64 = 10_000;

/// Lets requests through, or answers them.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    hosts: Hosts,
    log: RareLog,
}

impl Gate {
    /// For those, by addresses, `localhost` and these names.
    pub fn new(access: Access, names: &[HostName]) -> Self {
        Self(Arc::new(Inner { access, hosts: Hosts::new(names), log: RareLog::default() }))
    }
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Foreign(Foreign),
    Denied(Denied),
    BodyTimeout,
    BodyTooLarge,
    /// It breaks off, or its framing is wrong.
    BodyBroken,
}

impl Why {
    /// The name in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign(Foreign::Host) => "host",
            Self::Foreign(Foreign::Origin) => "origin",
            Self::Foreign(Foreign::MediaType) => "media_type",
            Self::Denied(Denied::Missing) => "token_missing",
            Self::Denied(Denied::Wrong) => "token_wrong",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
        }
    }

    /// Whether it is worth a line in the log: neither a forgotten token nor a curl without a type is an attack.
    const fn is_logged(self) -> bool {
        matches!(self, Self::Foreign(Foreign::Host | Foreign::Origin) | Self::Denied(Denied::Wrong))
    }

    fn refusal(self) -> Refusal {
        let (status, message) = match self {
            Self::Foreign(Foreign::Host) => (
                StatusCode::FORBIDDEN,
                "the admin side is not known by this Host: ask by address or localhost, or name it with --admin-host \
                 (GRAY_ADMIN_HOST)",
            ),
            Self::Foreign(Foreign::Origin) => {
                (StatusCode::FORBIDDEN, "pages of other origins may not ask: the header Origin is not this Host")
            }
            Self::Foreign(Foreign::MediaType) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected `Content-Type: application/json` for a question, `Content-Type: application/yaml` for a document",
            ),
            Self::Denied(Denied::Missing) => (
                StatusCode::UNAUTHORIZED,
                "wants the header `Authorization: Bearer` with the gateway's --admin-token (GRAY_ADMIN_TOKEN)",
            ),
            Self::Denied(Denied::Wrong) => (
                StatusCode::UNAUTHORIZED,
                "the token is wrong: expected the gateway's --admin-token (GRAY_ADMIN_TOKEN)",
            ),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1 MiB"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "the body cannot be read"),
        };
        Refusal::new(status, message)
    }
}

/// Lets a request through, with its whole body, or answers it.
pub(super) async fn guard(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Response {
    // For the kubelet and for Prometheus, which ask by whatever name they know and have no token. No body is read.
    if matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let foreign = gate.hosts.foreign(&parts.method, &parts.uri, &parts.headers).map(Why::Foreign);
    if let Some(why) = foreign.or_else(|| gate.access.denies(&parts.headers).map(Why::Denied)) {
        return gate.turned_away(why, &parts);
    }
    let peer = peer(&parts);
    if let Some(peer) = peer {
        peer.is_to_send_a_body();
    }
    match whole(body).await {
        Ok(body) => {
            if let Some(peer) = peer {
                peer.has_asked();
            }
            next.run(Request::from_parts(parts, body.into())).await
        }
        Err(why) => gate.turned_away(why, &parts),
    }
}

fn peer(parts: &Parts) -> Option<&Peer> {
    parts.extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer)
}

async fn whole(body: Body) -> Result<Bytes, Why> {
    let read = timeout(MAX_BODY_TIME, to_bytes(body, MAX_BODY)).await.map_err(|_| Why::BodyTimeout)?;
    read.map_err(|error| {
        let is_too_large = error.source().is_some_and(|source| source.is::<LengthLimitError>());
        if is_too_large { Why::BodyTooLarge } else { Why::BodyBroken }
    })
}

impl Inner {
    fn turned_away(&self, why: Why, parts: &Parts) -> Response {
        let reason = why.as_str();
        counter!(REFUSED_TOTAL, "reason" => reason).increment(1);
        if why.is_logged()
            && let Some(unlogged) = self.log.due(uptime_ms())
        {
            let (peer, path) = (peer(parts).map(|peer| tracing::field::display(peer.ip())), parts.uri.path());
            tracing::warn!(peer, path, reason, unlogged, "request to the admin side refused");
        }
        let mut response = why.refusal().into_response();
        if why == Why::BodyTimeout {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// One line in a while, with the number of those that were left out since.
#[derive(Debug, Default)]
struct RareLog {
    /// When the next line may be written.
    next_ms: AtomicU64,
    unlogged: AtomicU64,
}

impl RareLog {
    /// How many were not logged since the last line; `None` when this one is not to be logged either.
    fn due(&self, now_ms: u64) -> Option<u64> {
        let next = self.next_ms.load(Relaxed);
        let is_due = now_ms >= next
            && self.next_ms.compare_exchange(next, now_ms.saturating_add(LOG_MS), Relaxed, Relaxed).is_ok();
        if is_due {
            return Some(self.unlogged.swap(0, Relaxed));
        }
        self.unlogged.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;
    use tokio::time::Instant;

    use super::*;

    /// A body that never comes.
    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_ten_seconds_and_a_mebibyte() {
        let began = Instant::now();
        assert_eq!(whole(Body::new(Never)).await, Err(Why::BodyTimeout));
        assert_eq!(began.elapsed().as_secs(), MAX_BODY_TIME.as_secs());
        assert_eq!(whole(vec![0; MAX_BODY].into()).await.map(|body| body.len()), Ok(MAX_BODY));
        assert_eq!(whole(vec![0; MAX_BODY + 1].into()).await, Err(Why::BodyTooLarge));
    }

    #[test]
    fn a_flood_is_one_line_in_a_while() {
        let log = RareLog::default();
        assert_eq!(log.due(5), Some(0), "the first at once");
        assert!((0..100).all(|_| log.due(LOG_MS).is_none()));
        assert_eq!(log.due(LOG_MS + 5), Some(100));
        assert_eq!(log.due(2 * LOG_MS + 5), Some(0));
    }
}
