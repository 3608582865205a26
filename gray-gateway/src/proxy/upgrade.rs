//! Websockets: after a 101 the two connections are joined, byte by byte.

use gray_common::balance::InFlight;
use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};
use http_body::Body;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{headers::mentions, worker::Open};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// Takes the client's half of an upgrade out of a request. Only websockets are joined; a wish for another protocol is
/// not passed on, and the request is served as if it had none.
///
/// # Errors
/// When an upgrade comes with a body: whose bytes would they be?
pub(super) fn wanted(head: &mut Parts, body: &Incoming) -> Result<Option<OnUpgrade>, &'static str> {
    if !head.headers.contains_key(header::UPGRADE) {
        return Ok(None);
    }
    let on_upgrade = head.extensions.remove::<OnUpgrade>();
    let websocket = head.method == Method::GET
        && head.version == Version::HTTP_11
        && mentions(&head.headers, &header::CONNECTION, "upgrade")
        && mentions(&head.headers, &header::UPGRADE, "websocket");
    match on_upgrade {
        Some(_) if websocket && !body.is_end_stream() => Err("an upgrade must not have a body"),
        on_upgrade => Ok(on_upgrade.filter(|_| websocket)),
    }
}

/// Asks for the upgrade, or confirms it, on a message whose hop-by-hop headers are off.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// Joins the two halves once both have switched, until either side has closed.
pub(super) fn join(client: OnUpgrade, upstream: OnUpgrade, open: Open, in_flight: Option<InFlight>) {
    tokio::task::spawn_local(async move {
        let _held = (open, in_flight);
        let (client, upstream) = match (client.await, upstream.await) {
            (Ok(client), Ok(upstream)) => (client, upstream),
            (Err(error), _) | (_, Err(error)) => return tracing::debug!(%error, "upgrade failed"),
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        match tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
            Ok((sent, received)) => tracing::debug!(sent, received, "tunnel closed"),
            Err(error) => tracing::debug!(%error, "tunnel broken off"),
        }
    });
}
