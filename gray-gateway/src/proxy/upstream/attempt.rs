//! One attempt at one instance: over a pooled connection or a new one, until it answers.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    dial::{Dial, Unconnected, Upstream},
    pool::Bucket,
    send_error::SendError,
};
use crate::proxy::{
    downstream::{connection::Connection, state::GaveUp},
    exchange::Exchange,
    response::transfer::Broken,
    worker::buffer::Filled,
};

/// What may wait of an instance's response, and of a client's next requests.
pub(in crate::proxy) const MAX_WAITING: usize = 64 * 1024;
const HEAD_TOO_LONG: &str = "its head is longer than 64 KiB";

/// How long things may take, and what may be done about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) response_ticks: u64,
    /// After which another instance is asked as well, if that is to be.
    pub(super) hedge_ticks: Option<u64>,
    /// Whether the client may rest between parts of the body.
    pub(super) is_stream: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(super) expects_continue: bool,
}

/// Which connections are taken.
#[derive(Default)]
pub(super) struct Reuse {
    /// Only a new one will do.
    pub(super) wants_new: bool,
    /// The last one that was used had been used before.
    pub(super) was_pooled: bool,
    /// The first connection, kept for the race when another instance is asked as well.
    pub(super) silent: Option<Upstream>,
}

impl Exchange<'_, '_> {
    /// Sends the request and waits for the first bytes of the response. A pooled connection that turns out to be
    /// closed is replaced as long as nothing was sent; `reuse` says how.
    pub(super) async fn attempt(
        &mut self,
        bucket: &Rc<Bucket>,
        dial: Dial<'_>,
        patience: Patience,
        reuse: &mut Reuse,
    ) -> Result<Upstream, SendError> {
        loop {
            let pooled = if reuse.wants_new { None } else { bucket.checkout() };
            reuse.was_pooled = pooled.is_some();
            let socket = match pooled {
                Some(socket) => socket,
                None => {
                    self.worker.pool.make_room();
                    bucket.connect(dial, patience.connect).await.map_err(SendError::Unsent)?
                }
            };
            let mut upstream = Upstream::new(socket, &self.worker.buffers);
            if patience.expects_continue
                && self.upload.sent == 0
                && !self.upload.is_read()
                && self.client.received.is_empty()
            {
                let go_on = self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                go_on.map_err(|_| SendError::ClientGone)?;
            }
            let response_ticks = patience.hedge_ticks.unwrap_or(u64::MAX).min(patience.response_ticks);
            self.client.state.sending(
                response_ticks,
                (!self.upload.is_read()).then_some(self.upload.taken),
                patience.is_stream,
            );
            let error = match self.await_bytes(&mut upstream).await {
                Err(SendError::Broken(error)) if upstream.received.is_empty() => error,
                Ok(()) => return Ok(upstream),
                Err(error) => {
                    let is_silent = matches!(error, SendError::GaveUp(GaveUp::Response)) && self.upload.is_done();
                    reuse.silent = Some(upstream).filter(|_| is_silent && patience.hedge_ticks.is_some());
                    return Err(error);
                }
            };
            if self.upload.sent > 0 {
                return Err(SendError::Broken(error));
            }
            if !reuse.was_pooled {
                return Err(SendError::Unsent(Unconnected::Tcp(error)));
            }
        }
    }

    /// Waits until more of the response is there, while the request goes out.
    pub(in crate::proxy) async fn await_bytes(&mut self, upstream: &mut Upstream) -> Result<(), SendError> {
        poll_fn(|cx| {
            let uploaded = self.poll_upload(cx, upstream);
            let Upstream { socket, received } = upstream;
            // Also when the upload has failed: the instance may have answered first.
            match received.poll_fill(cx, socket, MAX_WAITING, false) {
                Poll::Ready(Ok(Filled::Bytes(_))) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Filled::Full)) => return Poll::Ready(Err(SendError::Unusable(HEAD_TOO_LONG))),
                Poll::Ready(Ok(Filled::End)) => {
                    let end = if received.is_empty() { "closed without a response" } else { "no end of the head" };
                    return Poll::Ready(Err(uploaded.err().unwrap_or(SendError::Broken(io::Error::other(end)))));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(uploaded.err().unwrap_or_else(|| SendError::broken(error))));
                }
                Poll::Pending => {}
            }
            match (uploaded, self.client.state.gave_up()) {
                (Err(error), _) => Poll::Ready(Err(error)),
                (_, Some(gave_up)) => Poll::Ready(Err(SendError::GaveUp(gave_up))),
                _ => {
                    self.holds(upstream, 0);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Notes what is held while something is waited for, `more` besides.
    pub(in crate::proxy) fn holds(&self, upstream: &Upstream, more: usize) {
        let (client, upload) = (&self.client, &self.upload);
        client.state.holds(client.received.capacity() + upload.out.capacity() + upstream.received.capacity() + more);
    }

    /// Passes on what there is of the request, then watches whether the client stays.
    pub(in crate::proxy) fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Result<(), SendError> {
        let Self { client, upload, guard, .. } = self;
        let Connection { state, socket, received, .. } = &mut **client;
        if !upload.is_done() {
            let before = upload.taken;
            match upload.poll(cx, socket, received, &mut upstream.socket) {
                Poll::Ready(Ok(())) => {
                    state.uploaded();
                    if let Some(guard) = guard {
                        guard.has_body();
                    }
                }
                Poll::Pending => {
                    state.uploading(upload.taken - before, upload.waits_for_receiver(received));
                    return Ok(());
                }
                // The instance takes no more of it. It may have said why; its end of the connection tells.
                Poll::Ready(Err(Broken::Sink(_))) => return Ok(()),
                Poll::Ready(Err(Broken::Source(_))) => return Err(SendError::ClientGone),
                Poll::Ready(Err(error)) => return Err(SendError::Client(error)),
            }
        }
        client.poll_gone(cx)
    }

    /// Waits without an instance; an error when the client has gone meanwhile.
    pub(super) async fn pause(&mut self, wait: Duration) -> Result<(), SendError> {
        self.client.state.busy();
        let mut waiting = pin!(tokio::time::sleep(wait));
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.client.poll_gone(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
        })
        .await
    }
}

impl Connection {
    /// An error when the client has gone; what it sends is kept.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        let Self { worker, socket, received, .. } = self;
        loop {
            match received.poll_fill(cx, socket, MAX_WAITING, false) {
                Poll::Ready(Ok(Filled::Bytes(_))) => {}
                Poll::Ready(Ok(Filled::Full)) | Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Filled::End)) => return Err(SendError::ClientGone),
                Poll::Ready(Err(error)) => {
                    worker.stats().written(&error);
                    return Err(SendError::ClientGone);
                }
            }
        }
    }
}
