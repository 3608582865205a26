//! Websockets: after a 101 the two connections are joined, byte by byte.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    task::Poll,
};

use tokio::io::copy_bidirectional;

use super::reply::write_all;
use crate::proxy::{after::After, downstream::connection::Connection, upstream::dial::Upstream};

/// Joins the two, until either side has closed or both have been silent for `idle_ticks`. Notes how much has passed, if both have closed in order.
pub(in crate::proxy) async fn join(
    client: &mut Connection,
    mut upstream: Upstream,
    idle_ticks: u64,
    after: &mut After<'_>,
) {
    // What was sent right behind the heads.
    let early = (client.received.len() as u64, upstream.received.len() as u64);
    let sent = write_all(&mut upstream.socket, client.received.bytes()).await;
    let received = client.write(upstream.received.bytes()).await;
    client.received.release();
    upstream.received.release();
    let joined = match sent.and(received) {
        Ok(()) => {
            let state = Rc::clone(&client.state);
            let mut joined = pin!(copy_bidirectional(&mut client.socket, &mut upstream.socket));
            state.tunneling(idle_ticks);
            poll_fn(|cx| {
                // Only the clock wakes us when the deadline has passed; everything else is something on a socket.
                if state.is_overdue() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                state.tunneling(idle_ticks);
                joined.as_mut().poll(cx)
            })
            .await
        }
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
