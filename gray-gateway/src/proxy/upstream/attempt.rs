//! One attempt at one instance: over a pooled connection or a new one, and what passes between the two sides then.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    callee::Callee,
    dial::{Dial, Unconnected, Upstream},
    fault::Fault,
    pool::Bucket,
    send_error::SendError,
};
use crate::proxy::{
    access_log,
    after::After,
    downstream::{
        connection::{Connection, End},
        state::GaveUp,
    },
    response::{
        head::Framing,
        transfer::{Broken, Transfer},
        tunnel,
    },
    worker::buffer::{Filled, Received},
};

/// What may wait of an instance's response, and of a client's next requests.
pub(in crate::proxy) const MAX_WAITING: usize = 64 * 1024;
const HEAD_TOO_LONG: &str = "its head is longer than 64 KiB";

/// How long things may take, and what may be done about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(in crate::proxy) connect: Duration,
    pub(in crate::proxy) response_ticks: u64,
    /// After which another instance is asked as well, if that is to be.
    pub(super) hedge_ticks: Option<u64>,
    /// Whether the client may rest between parts of the body.
    pub(in crate::proxy) is_stream: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(in crate::proxy) expects_continue: bool,
}

/// Which connections are taken.
#[derive(Default)]
pub(super) struct Reuse {
    /// Only a new one will do.
    pub(super) wants_new: bool,
    /// The last one that was used had been used before.
    pub(super) was_pooled: bool,
    /// One on which nobody has answered until another was to be asked as well.
    pub(super) silent: Option<Upstream>,
}

impl Connection {
    /// Sends the request and waits for the first bytes of the response. A pooled connection that turns out to be
    /// closed is replaced as long as nothing was sent; `reuse` says how.
    pub(super) async fn attempt(
        &mut self,
        bucket: &Rc<Bucket>,
        dial: Dial<'_>,
        patience: Patience,
        reuse: &mut Reuse,
        upload: &mut Transfer,
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
            let mut upstream = Upstream { socket, received: Received::default() };
            if patience.expects_continue && upload.sent == 0 && !upload.is_read() && self.received.is_empty() {
                let go_on = self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                go_on.map_err(|_| SendError::ClientGone)?;
            }
            let response_ticks = patience.hedge_ticks.unwrap_or(u64::MAX).min(patience.response_ticks);
            self.state.sending(response_ticks, (!upload.is_read()).then_some(upload.taken), patience.is_stream);
            let error = match self.await_bytes(&mut upstream, upload).await {
                Err(SendError::Broken(error)) if upstream.received.is_empty() => error,
                Ok(()) => return Ok(upstream),
                Err(error) => {
                    let is_silent = matches!(error, SendError::GaveUp(GaveUp::Response)) && upload.is_done();
                    reuse.silent = Some(upstream).filter(|_| is_silent && patience.hedge_ticks.is_some());
                    return Err(error);
                }
            };
            if upload.sent > 0 {
                return Err(SendError::Broken(error));
            }
            if !reuse.was_pooled {
                return Err(SendError::Unsent(Unconnected::Tcp(error)));
            }
        }
    }

    /// Waits until more of the response is there, while the request goes out.
    pub(in crate::proxy) async fn await_bytes(
        &mut self,
        upstream: &mut Upstream,
        upload: &mut Transfer,
    ) -> Result<(), SendError> {
        poll_fn(|cx| {
            let uploaded = self.poll_upload(cx, upstream, upload);
            let Upstream { socket, received } = upstream;
            // Also when the upload has failed: the instance may have answered first.
            match received.poll_fill(cx, socket, &self.worker.buffers, MAX_WAITING, false) {
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
            match (uploaded, self.state.gave_up()) {
                (Err(error), _) => Poll::Ready(Err(error)),
                (_, Some(gave_up)) => Poll::Ready(Err(SendError::GaveUp(gave_up))),
                _ => {
                    self.holds(upload, upstream, 0);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Notes what is held while something is waited for, `more` besides.
    fn holds(&self, upload: &Transfer, upstream: &Upstream, more: usize) {
        self.state.holds(self.received.capacity() + upload.out.capacity() + upstream.received.capacity() + more);
    }

    /// Passes on what there is of the request, then watches whether the client stays.
    pub(super) fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
        upload: &mut Transfer,
    ) -> Result<(), SendError> {
        let Self { worker, state, socket, received, .. } = self;
        if !upload.is_done() {
            let before = upload.taken;
            match upload.poll(cx, socket, received, &mut upstream.socket, &worker.buffers) {
                Poll::Ready(Ok(())) => state.uploaded(),
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
        loop {
            match received.poll_fill(cx, socket, &worker.buffers, MAX_WAITING, false) {
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

    /// Passes the response on, and the rest of the request; then gives the instance's connection back.
    pub(super) async fn relay(
        &mut self,
        mut upstream: Upstream,
        upload: &mut Transfer,
        mut download: Transfer,
        (framing, idle_ticks): (Framing, u64),
        callee: &Callee<'_>,
        after: &mut After<'_>,
    ) -> End {
        let head = download.head_len();
        let relayed = poll_fn(|cx| {
            let uploaded = self.poll_upload(cx, &mut upstream, upload);
            if uploaded.is_err() {
                return Poll::Ready(Err(None));
            }
            let Upstream { socket, received } = &mut upstream;
            let polled = download.poll(cx, socket, received, &mut self.socket, &self.worker.buffers);
            let waits = polled.is_pending() && download.waits_for_receiver(received);
            if self.state.writing(download.sent, waits) {
                self.socket.forget();
                return Poll::Ready(Err(Some(Broken::Sink(io::ErrorKind::TimedOut.into()))));
            }
            if let Some(limit) = self.state.resting(download.sent) {
                self.socket.let_rest(limit);
            }
            if polled.is_pending() {
                let piped = if waits { self.socket.piped() } else { 0 };
                self.holds(upload, &upstream, download.out.capacity() + piped);
            }
            if polled.is_pending() && self.state.relaying(download.sent, !waits, idle_ticks) {
                return Poll::Ready(Err(Some(Broken::Source(io::ErrorKind::TimedOut.into()))));
            }
            polled.map_err(Some)
        })
        .await;
        let buffers = &self.worker.buffers;
        after.note(|log| {
            (log.sent, log.received) = (download.sent.saturating_sub(head), upload.taken);
            log.end = match relayed {
                Ok(()) => access_log::End::Complete,
                Err(None | Some(Broken::Sink(_))) => access_log::End::ClientGone,
                Err(Some(_)) => access_log::End::UpstreamBroken,
            };
        });
        if let Err(error) = relayed {
            self.report_broken(error, callee.authority, after);
            upstream.received.release(buffers);
            return End::Gone;
        }
        if framing.switched {
            tunnel::join(self, upstream, idle_ticks, after).await;
            return End::Gone;
        }
        let (uploaded, is_quiet) = (upload.is_done(), upstream.received.is_empty());
        upstream.received.release(buffers);
        buffers.take_back_out(std::mem::take(&mut upload.out));
        buffers.take_back_out(download.out);
        if uploaded && is_quiet && framing.reusable {
            callee.bucket.checkin(upstream.socket);
        }
        match (uploaded, framing.keep_alive) {
            (true, true) => End::Keep,
            (true, false) if self.received.is_empty() => End::Close,
            _ => End::Linger,
        }
    }
    /// Counts and logs a response that broke off; no error: the client went before that.
    fn report_broken(&self, error: Option<Broken>, instance: &str, after: &mut After<'_>) {
        match error {
            Some(Broken::Sink(error)) => {
                self.worker.stats().written(&error);
                tracing::debug!(%error, "client gone");
            }
            // The head is out: only the end of the connection can tell the client.
            Some(error) => {
                self.worker.stats().failed(Fault::Truncated);
                after.note(|log| log.fault = Some(Fault::Truncated));
                if self.worker.may_warn(instance) {
                    let reason = Fault::Truncated.as_str();
                    tracing::warn!(instance, reason, %error, "the answer broke off");
                }
            }
            None => tracing::debug!("client gone"),
        }
    }
}
