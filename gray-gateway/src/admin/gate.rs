//! What every request to the admin side passes: who may ask, by which name, and how many at once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use gray_common::clock::uptime_ms;
use metrics::counter;
use tokio::sync::Semaphore;

use super::{
    Access,
    access::Denied,
    answer::Refusal,
    hosts::{Foreign, HostName, Hosts},
};

/// Requests that may be worked on at the same time, `/livez` and `/readyz` not counted.
const MAX_IN_FLIGHT: usize = 64;
/// Time between two lines in the log about requests that are turned away.
const LOG_MS: u64 = 10_000;
/// Counts requests that are turned away.
pub(super) const REFUSED_TOTAL: &str = "gray_gateway_admin_refused_total";

/// Lets requests through, or answers them.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    hosts: Hosts,
    in_flight: Semaphore,
    log: RareLog,
}

impl Gate {
    /// For those, by addresses, `localhost` and these names.
    pub fn new(access: Access, names: &[HostName]) -> Self {
        let in_flight = Semaphore::new(MAX_IN_FLIGHT);
        Self(Arc::new(Inner { access, hosts: Hosts::new(names), in_flight, log: RareLog::default() }))
    }
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Foreign(Foreign),
    Denied(Denied),
    Busy,
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
            Self::Busy => "busy",
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
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many requests at the same time; try again in a second")
            }
        };
        Refusal::new(status, message)
    }
}

/// Lets a request through, or answers it.
pub(super) async fn guard(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // For the kubelet and for Prometheus, which ask by whatever name they know and have no token.
    let is_probe = matches!(path, "/livez" | "/readyz");
    if !is_probe && path != "/metrics" {
        let foreign = gate.hosts.foreign(request.method(), request.uri(), request.headers()).map(Why::Foreign);
        if let Some(why) = foreign.or_else(|| gate.access.denies(request.headers()).map(Why::Denied)) {
            return gate.turned_away(why, &request);
        }
    }
    let _permit = match gate.in_flight.try_acquire() {
        _ if is_probe => None,
        Ok(permit) => Some(permit),
        Err(_) => return gate.turned_away(Why::Busy, &request),
    };
    next.run(request).await
}

impl Inner {
    fn turned_away(&self, why: Why, request: &Request) -> Response {
        let reason = why.as_str();
        counter!(REFUSED_TOTAL, "reason" => reason).increment(1);
        if why.is_logged()
            && let Some(unlogged) = self.log.due(uptime_ms())
        {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
            let (peer, path) = (peer.map(tracing::field::display), request.uri().path());
            tracing::warn!(peer, path, reason, unlogged, "request to the admin side refused");
        }
        let mut response = why.refusal().into_response();
        if why == Why::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
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
    use super::*;

    #[test]
    fn a_flood_is_one_line_in_a_while() {
        let log = RareLog::default();
        assert_eq!(log.due(5), Some(0), "the first at once");
        assert!((0..100).all(|_| log.due(LOG_MS).is_none()));
        assert_eq!(log.due(LOG_MS + 5), Some(100));
        assert_eq!(log.due(2 * LOG_MS + 5), Some(0));
    }
}
