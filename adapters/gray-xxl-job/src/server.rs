//! What the scheduler calls: `beat`, `idleBeat`, `run`, `kill` and `log`, on a port of its own. Everything that arrives is
//! hostile until the token is right: it is compared before a body is read.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use gray_core::Side;
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    runner,
    shared::{Shared, locked},
    telemetry,
    wire::{Answer, LOWER_TOKEN_HEADER, LogQuery, OfJob, Trigger, read},
};

/// Largest body: parameters of a job are a line or two, and scripts are refused anyway.
const MAX_BODY: usize = 256 << 10;
/// Longest time for a body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// Longest time for a head to arrive, and for a connection to wait for the next one.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Connections at the same time, and of one address.
const CONNECTIONS: (usize, usize) = (256, 64);

/// What answers.
#[derive(Clone)]
struct Desk {
    shared: Arc<Shared>,
    token: Option<HeaderValue>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, token: Option<HeaderValue>) {
    let app = Router::new().fallback(answer).with_state(Desk { shared, token });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_headers(64).max_buf_size(16 << 10);
    let open = Arc::new(Mutex::new(HashMap::new()));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                // Out of descriptors, mostly: some may be free soon.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = Place::take(&open, peer) else {
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        connections.spawn(connection(http.clone(), app.clone(), stream, place));
    }
}

async fn connection(http: http1::Builder, app: Router, stream: TcpStream, place: Place) {
    if let Err(error) = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await {
        tracing::trace!(%error, "connection broken off");
    }
    drop(place);
}

/// One connection among those that are open.
struct Place {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Place {
    fn take(open: &Arc<Mutex<HashMap<IpAddr, usize>>>, peer: SocketAddr) -> Option<Self> {
        let peer = peer.ip();
        let mut counts = locked(open);
        let of_peer = counts.get(&peer).copied().unwrap_or_default();
        if counts.values().sum::<usize>() >= CONNECTIONS.0 || of_peer >= CONNECTIONS.1 {
            return None;
        }
        counts.insert(peer, of_peer + 1);
        drop(counts);
        Some(Self { open: Arc::clone(open), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = locked(&self.open);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

/// Answers one request. The status is always 200, as in Java's executor: schedulers show what the answer says, and of any
/// other status only its number.
async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return refuse("method", "only POST is spoken here");
    }
    // Browsers say where a page is from that makes them post; schedulers are none.
    if head.headers.contains_key(header::ORIGIN) {
        return refuse("browser", "web pages have nothing to ask here");
    }
    if !is_admitted(&head.headers, desk.token.as_ref()) {
        return refuse("token", "The access token is wrong.");
    }
    let path = head.uri.path();
    let (side, endpoint) = match path.strip_prefix("/gray/") {
        Some(endpoint) => (Side::Gray, endpoint),
        None => (Side::Baseline, path.strip_prefix('/').unwrap_or(path)),
    };
    let body = match whole(body).await {
        Ok(body) => body,
        Err(reason) => return refuse("body", reason),
    };
    match endpoint {
        "beat" => said(beat(&desk.shared, side)),
        "idleBeat" => said(read(&body).and_then(|OfJob { job_id }| {
            beat(&desk.shared, side)?;
            let is_busy = locked(&desk.shared.floor).desk.is_busy(job_id);
            if is_busy { Err("the job runs here, or waits".to_owned()) } else { Ok(()) }
        })),
        "run" => said(read(&body).and_then(|trigger: Trigger| {
            let (job, log) = (trigger.job_id, trigger.log_id);
            runner::take(&desk.shared, trigger, side).map_err(|reason| {
                metrics::counter!(telemetry::REFUSED_TOTAL, "reason" => reason.as_str()).increment(1);
                tracing::warn!(job, log, ?side, %reason, "run refused");
                reason.to_string()
            })
        })),
        "kill" => said(read(&body).map(|OfJob { job_id }| {
            runner::kill(&desk.shared, job_id, "stopped by the scheduler");
        })),
        "log" => match read(&body) {
            Ok(LogQuery { log_id, from_line_num }) => {
                let page = locked(&desk.shared.journal).page(log_id, from_line_num);
                json(&Answer::of(Some(page)))
            }
            Err(reason) => json(&Answer::<()>::refused(reason)),
        },
        _ => refuse("path", "no such request: expected beat, idleBeat, run, kill or log"),
    }
}

/// Whether a scheduler may count on us for this group.
fn beat(shared: &Shared, side: Side) -> Result<(), String> {
    if shared.takes(side) { Ok(()) } else { Err(runner::NotTaken::NotOurs.to_string()) }
}

fn said(outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => json(&Answer::<()>::of(None)),
        Err(reason) => json(&Answer::<()>::refused(reason)),
    }
}

fn refuse(kind: &'static str, reason: &str) -> Response {
    metrics::counter!(telemetry::REFUSED_TOTAL, "reason" => kind).increment(1);
    let mut response = json(&Answer::<()>::refused(reason));
    // A body may be on its way that is not read.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn json(answer: &impl Serialize) -> Response {
    Json(answer).into_response()
}

async fn whole(body: Body) -> Result<axum::body::Bytes, &'static str> {
    match timeout(BODY_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err("the body is broken, or larger than 256 KiB"),
        Err(_) => Err("the body came too slowly"),
    }
}

/// Whether the request has the token, once.
fn is_admitted(headers: &HeaderMap, token: Option<&HeaderValue>) -> bool {
    let Some(token) = token else { return true };
    let mut sent = headers.get_all(LOWER_TOKEN_HEADER).iter();
    match (sent.next(), sent.next()) {
        (Some(sent), None) => is_same(sent.as_bytes(), token.as_bytes()),
        _ => false,
    }
}

/// Takes as long wherever the two differ; only how long the sent one is shows.
fn is_same(sent: &[u8], token: &[u8]) -> bool {
    let differs = sent.iter().enumerate().fold(sent.len() ^ token.len(), |differs, (place, byte)| {
        let expected = token.get(place % token.len().max(1)).copied().unwrap_or_default();
        std::hint::black_box(differs | usize::from(byte ^ expected))
    });
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = HeaderValue::from_static("secret-token");
        for (sent, expect) in [
            (&["secret-token"][..], true),
            (&["secret-tokem"], false),
            (&["Secret-token"], false),
            (&["secret-toke"], false),
            (&["secret-tokens"], false),
            (&["secret-tokensecret-token"], false),
            (&[""], false),
            (&[], false),
            (&["secret-token", "secret-token"], false),
        ] {
            let values = sent.iter().map(|value| HeaderValue::from_static(value));
            let headers: HeaderMap = values.fold(HeaderMap::new(), |mut headers, value| {
                headers.append(LOWER_TOKEN_HEADER, value);
                headers
            });
            assert_eq!(is_admitted(&headers, Some(&token)), expect, "{sent:?}");
            assert!(is_admitted(&headers, None));
        }
    }

    /// A body of which nothing comes.
    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        assert_eq!(whole(Body::new(Silent)).await, Err("the body came too slowly"));
    }

    #[test]
    fn connections_are_counted() {
        let open = Arc::new(Mutex::new(HashMap::new()));
        let peer = |last: u8| SocketAddr::from(([10, 0, 0, last], 1));
        let of_one: Vec<_> = (0..CONNECTIONS.1).filter_map(|_| Place::take(&open, peer(1))).collect();
        assert_eq!(of_one.len(), CONNECTIONS.1);
        assert!(Place::take(&open, peer(1)).is_none(), "one address has no more");
        let others: Vec<_> = (2..=200).filter_map(|last| Place::take(&open, peer(last))).collect();
        assert_eq!(of_one.len() + others.len(), CONNECTIONS.0);
        drop(of_one);
        drop(others);
        assert!(locked(&open).is_empty());
    }
}
