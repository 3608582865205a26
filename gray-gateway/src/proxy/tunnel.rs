//! Websockets: after a 101 the two connections are joined, byte by byte.

use super::{attempt::Upstream, connection::Connection, reply::write_all};

/// Joins the two, until either side has closed.
pub(super) async fn join(client: &mut Connection, mut upstream: Upstream) {
    let buffers = &client.worker.buffers;
    // What was sent right behind the heads.
    let sent = write_all(&mut upstream.socket, client.received.bytes()).await;
    let received = write_all(&mut client.socket, upstream.received.bytes()).await;
    client.received.release(buffers);
    upstream.received.release(buffers);
    let joined = match sent.and(received) {
        Ok(()) => tokio::io::copy_bidirectional(&mut client.socket, &mut upstream.socket).await,
        Err(error) => Err(error),
    };
    match joined {
        Ok((sent, received)) => tracing::debug!(sent, received, "tunnel closed"),
        Err(error) => tracing::debug!(%error, "tunnel broken off"),
    }
}
