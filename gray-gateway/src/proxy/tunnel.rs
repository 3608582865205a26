//! Websockets: after a 101 the two connections are joined, byte by byte.

use super::{after::After, attempt::Upstream, connection::Connection, reply::write_all};

/// Joins the two, until either side has closed. Notes how much has passed, if both have closed in order.
pub(super) async fn join(client: &mut Connection, mut upstream: Upstream, after: &mut After<'_>) {
    let buffers = &client.worker.buffers;
    // What was sent right behind the heads.
    let early = (client.received.len() as u64, upstream.received.len() as u64);
    let sent = write_all(&mut upstream.socket, client.received.bytes()).await;
    let received = write_all(&mut client.socket, upstream.received.bytes()).await;
    client.received.release(buffers);
    upstream.received.release(buffers);
    let joined = match sent.and(received) {
        Ok(()) => tokio::io::copy_bidirectional(&mut client.socket, &mut upstream.socket).await,
        Err(error) => Err(error),
    };
    match joined {
        Ok((received, sent)) => {
            after.note(|log| (log.received, log.sent) = (early.0 + received, early.1 + sent));
            tracing::debug!(sent, received, "tunnel closed");
        }
        Err(error) => tracing::debug!(%error, "tunnel broken off"),
    }
}
