//! One client connection over HTTP/1: its requests, one after the other. What turns out to be HTTP/2 is handed back.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use tokio::io::AsyncWrite;

use super::{
    socket::Socket,
    state::{Phase, State, Watch},
};
use crate::{
    proxy::{
        after::{After, LogDraft},
        http2::Preface,
        request::{envelope::Envelope, forwarded::Forwarded},
        response::error::Failure,
        worker::{
            buffer::{Filled, Received},
            local::Worker,
        },
    },
    scheme::Protocol,
};

/// What a client may still send before we stop listening to what we will not answer: many read an answer only when
/// they have sent their body whole.
const MAX_IGNORED: usize = 128 * 1024 * 1024;
/// So much of it is worth to wait for more.
const WORTH_WAITING: usize = 4 * 1024;

/// A client connection.
pub(in crate::proxy) struct Connection {
    pub(in crate::proxy) worker: Rc<Worker>,
    pub(in crate::proxy) state: Rc<State>,
    pub(in crate::proxy) forwarded: Forwarded,
    pub(in crate::proxy) socket: Socket,
    /// What the client has sent and is not used yet.
    pub(in crate::proxy) received: Received,
    /// Length of what was found to be the beginning of a head.
    pub(super) partial: usize,
    /// Whether the client may still turn out to speak HTTP/2.
    may_be_http2: bool,
    /// Whether it has promised to (ALPN).
    must_be_http2: bool,
}

/// How a request ended for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum End {
    /// Its head is not complete.
    Partial,
    /// The next one may come.
    Keep,
    /// The response was the last one, and the client has nothing more to say.
    Close,
    /// The response was the last one, and the client may be saying something still.
    Linger,
    /// The client is gone.
    Gone,
}

impl Connection {
    pub(in crate::proxy) fn new(worker: Rc<Worker>, state: Rc<State>, forwarded: Forwarded, socket: Socket) -> Self {
        let must_be_http2 = matches!(&socket, Socket::Tls(stream, _) if stream.get_ref().1.alpn_protocol() == Some(Protocol::Http2.alpn()));
        // Over TLS it is agreed on in the handshake (RFC 9113, 3.2); what was not is not HTTP/2.
        let may_be_http2 = must_be_http2 || matches!(socket, Socket::Tcp(..));
        let received = Received::new(&worker.buffers);
        Self { worker, state, forwarded, socket, received, partial: 0, may_be_http2, must_be_http2 }
    }

    /// Serves the connection to its end, or until it turns out to be HTTP/2.
    pub(in crate::proxy) async fn run(mut self) -> Option<(Self, Watch)> {
        let watch = poll_fn(|cx| Poll::Ready(self.worker.connections.watch(&self.state, cx))).await;
        loop {
            if self.received.len() <= self.partial && !self.receive().await {
                if !self.is_slow() || self.refuse(Failure::HeadTimeout).await != End::Linger {
                    return None;
                }
                self.close().await;
                self.linger().await;
                return None;
            }
            self.state.received();
            if self.may_be_http2 {
                match Preface::of(self.received.bytes()) {
                    Preface::Whole => return Some((self, watch)),
                    Preface::Begun => {
                        self.partial = self.received.len();
                        continue;
                    }
                    Preface::Absent if self.must_be_http2 => return None,
                    Preface::Absent => self.may_be_http2 = false,
                }
            }
            if self.is_hopeless() {
                self.partial = self.received.len();
                continue;
            }
            match self.request().await {
                End::Partial => self.partial = self.received.len(),
                End::Keep => self.partial = 0,
                End::Close => {
                    self.close().await;
                    return None;
                }
                End::Linger => {
                    self.close().await;
                    self.linger().await;
                    return None;
                }
                End::Gone => return None,
            }
        }
    }

    /// Whether the client has begun a request and not gone on with it.
    fn is_slow(&self) -> bool {
        self.state.is(Phase::Head) && self.state.is_overdue() && !self.received.is_empty() && !self.may_be_http2
    }

    /// Answers what is no whole request.
    async fn refuse(&mut self, failure: Failure<'static>) -> End {
        let worker = Rc::clone(&self.worker);
        let log = worker.access_log.is_some().then(|| LogDraft::new(self.forwarded.peer(), worker.buffers.lend_out()));
        let mut after = After::new(&worker, &self.state, log);
        if let Some(why) = failure.refusal() {
            worker.stats().refused(why);
        }
        self.reply(&Envelope::UNREADABLE, failure.response(), &mut after).await
    }

    /// Whether what has arrived since cannot have completed the head: no line has ended. So a head that comes byte by
    /// byte is not read from its beginning for each of them.
    fn is_hopeless(&self) -> bool {
        let bytes = self.received.bytes();
        let new = bytes.get(self.partial..).unwrap_or_default();
        self.partial > 0 && bytes.len() < self.worker.limits.max_head_bytes && memchr::memchr(b'\n', new).is_none()
    }

    /// Waits for bytes of a request; false when there will be none.
    async fn receive(&mut self) -> bool {
        let Self { worker, state, socket, received, .. } = self;
        let limit = worker.limits.max_head_bytes;
        poll_fn(|cx| {
            match received.poll_fill(cx, socket, limit, false) {
                // What fills all the room is looked at again: it is a whole request, or refused as too long.
                Poll::Ready(Ok(Filled::Bytes(_) | Filled::Full)) => return Poll::Ready(true),
                Poll::Ready(Ok(Filled::End)) => return Poll::Ready(false),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "connection ended");
                    return Poll::Ready(false);
                }
                Poll::Pending => {}
            }
            state.holds(received.capacity());
            if state.is_overdue() {
                return Poll::Ready(false);
            }
            if worker.is_draining() {
                if state.is(Phase::Idle) {
                    return Poll::Ready(false);
                }
                if state.is(Phase::Fresh) {
                    // Accepted on our behalf, perhaps with a request on its way: let it be read.
                    state.hurry();
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Closes our side.
    async fn close(&mut self) {
        self.state.closing();
        let (socket, state) = (&mut self.socket, &self.state);
        poll_fn(|cx| match Pin::new(&mut *socket).poll_shutdown(cx) {
            Poll::Pending if !state.is_overdue() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Lets the client read our last words: closing while received bytes are unread would take them back.
    async fn linger(&mut self) {
        let Self { worker, state, socket, received, .. } = self;
        let (mut ignored, mut fresh) = (0, received.len());
        let until = state.lingering();
        poll_fn(|cx| {
            loop {
                if fresh >= WORTH_WAITING && !worker.is_draining() {
                    fresh = 0;
                    state.linger(until);
                }
                received.release();
                match received.poll_fill(cx, socket, usize::MAX, false) {
                    Poll::Ready(Ok(Filled::Bytes(count))) if ignored < MAX_IGNORED => {
                        ignored += count;
                        fresh += count;
                    }
                    Poll::Pending if !state.is_overdue() => return Poll::Pending,
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

/// A TLS handshake, under the limits of a first request; `None` when it took too long.
pub(in crate::proxy) async fn secure<F: Future>(
    handshake: F,
    state: &Rc<State>,
    worker: &Rc<Worker>,
) -> Option<F::Output> {
    let _watch = poll_fn(|cx| Poll::Ready(worker.connections.watch(state, cx))).await;
    let mut handshake = pin!(handshake);
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(outcome) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if state.is_overdue() {
            return Poll::Ready(None);
        }
        if worker.is_draining() {
            state.hurry();
        }
        Poll::Pending
    })
    .await;
    state.secured();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the future takes that a function makes of a connection.
    fn size<F>(_: impl FnOnce(Connection) -> F) -> usize {
        size_of::<F>()
    }

    /// Each connection has one, with all that its request needs: thousands of them wait.
    #[test]
    fn the_task_of_a_connection_stays_small() {
        let bytes = size(Connection::run);
        assert!(bytes <= 3700, "{bytes} bytes");
    }
}
