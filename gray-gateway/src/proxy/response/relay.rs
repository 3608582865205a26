//! The response on its way to the client, while the rest of the request goes out.

use std::{future::poll_fn, io, task::Poll, time::Duration};

use super::{head::Framing, read_head::Answer, transfer::Broken, tunnel};
use crate::proxy::{
    access_log,
    downstream::connection::End,
    exchange::Exchange,
    upstream::{callee::Callee, dial::Upstream, fault::Fault},
    worker::clock::ticks,
};

impl Exchange<'_, '_> {
    /// Passes the response on, and the rest of the request; then gives the instance's connection back.
    pub(in crate::proxy) async fn relay(
        &mut self,
        mut upstream: Upstream,
        answer: Answer<'_>,
        callee: &Callee<'_>,
    ) -> End {
        let Answer { framing, mut download, .. } = answer;
        let idle_ticks = self.idle_ticks(framing);
        let head = download.head_len();
        let relayed = poll_fn(|cx| {
            let uploaded = self.poll_upload(cx, &mut upstream);
            if uploaded.is_err() {
                return Poll::Ready(Err(None));
            }
            let Upstream { socket, received } = &mut upstream;
            let polled = download.poll(cx, socket, received, &mut self.client.socket);
            let waits = polled.is_pending() && download.waits_for_receiver(received);
            if self.client.state.writing(download.sent, waits) {
                self.client.socket.forget();
                return Poll::Ready(Err(Some(Broken::Sink(io::ErrorKind::TimedOut.into()))));
            }
            if let Some(limit) = self.client.state.resting(download.sent) {
                self.client.socket.let_rest(limit);
            }
            if polled.is_pending() {
                let piped = if waits { self.client.socket.piped() } else { 0 };
                self.holds(&upstream, download.out.capacity() + piped);
            }
            if polled.is_pending() && self.client.state.relaying(download.sent, !waits, idle_ticks) {
                return Poll::Ready(Err(Some(Broken::Source(io::ErrorKind::TimedOut.into()))));
            }
            polled.map_err(Some)
        })
        .await;
        let taken = self.upload.taken;
        self.after.note(|log| {
            (log.sent, log.received) = (download.sent.saturating_sub(head), taken);
            log.end = match relayed {
                Ok(()) => access_log::End::Complete,
                Err(None | Some(Broken::Sink(_))) => access_log::End::ClientGone,
                Err(Some(_)) => access_log::End::UpstreamBroken,
            };
        });
        if let Err(error) = relayed {
            self.report_broken(error, callee.authority);
            return End::Gone;
        }
        if framing.switched {
            tunnel::join(self.client, upstream, idle_ticks, self.after).await;
            return End::Gone;
        }
        let (uploaded, is_quiet) = (self.upload.is_done(), upstream.received.is_empty());
        if uploaded && is_quiet && framing.reusable {
            callee.bucket.checkin(upstream.socket);
        }
        match (uploaded, framing.keep_alive) {
            (true, true) => End::Keep,
            (true, false) if self.client.received.is_empty() => End::Close,
            _ => End::Linger,
        }
    }

    /// Counts and logs a response that broke off; no error: the client went before that.
    fn report_broken(&mut self, error: Option<Broken>, instance: &str) {
        match error {
            Some(Broken::Sink(error)) => {
                self.worker.stats().written(&error);
                tracing::debug!(%error, "client gone");
            }
            // The head is out: only the end of the connection can tell the client.
            Some(error) => {
                self.worker.stats().failed(Fault::Truncated);
                self.after.note(|log| log.fault = Some(Fault::Truncated));
                if self.worker.may_warn(instance) {
                    let reason = Fault::Truncated.as_str();
                    tracing::warn!(instance, reason, %error, "the answer broke off");
                }
            }
            None => tracing::debug!("client gone"),
        }
    }

    /// How long the instance may fall silent within its response, and both sides of a websocket.
    fn idle_ticks(&self, framing: Framing) -> u64 {
        let (limits, request) = (&self.worker.limits, &self.request);
        let limit = match framing {
            Framing { switched: true, .. } => limits.tunnel_idle_timeout.unwrap_or(Duration::MAX),
            _ if request.route.is_stream() => Duration::MAX,
            _ => limits.stream_idle_timeout,
        };
        ticks(request.route.metadata.idle_timeout.unwrap_or(limit))
    }
}
