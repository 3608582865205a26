//! One client connection: where it stands, how long it may stand there, and the future that drives it.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1::UpgradeableConnection,
    service::HttpService,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{body::ProxyBody, clock::Clock, worker::Worker};

/// How long a connection that was accepted as we began to drain may take to send its request.
const LATE_TICKS: u64 = 5;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The end of a TLS handshake, then the first byte of the first request.
    Fresh,
    /// The rest of a request's head.
    Head,
    /// The next part of a request's body.
    Upload,
    /// The head of the response.
    Response,
    /// Nothing that has a limit: connecting (limited elsewhere), or passing on the response.
    Busy,
    /// The next request.
    Idle,
}

/// Phase and deadline of a connection. Written by its own worker only; atomic because hyper wants the socket, which
/// shares it, to be `Send`.
#[derive(Debug)]
pub(super) struct State {
    clock: Arc<Clock>,
    phase: AtomicU8,
    deadline: AtomicU64,
    response_ticks: AtomicU64,
    expired: AtomicBool,
    head_ticks: u64,
    idle_ticks: u64,
}

impl State {
    pub(super) fn new(clock: Arc<Clock>, head_ticks: u64, idle_ticks: u64) -> Self {
        let deadline = clock.deadline(idle_ticks.min(head_ticks)).into();
        Self {
            clock,
            phase: AtomicU8::new(Phase::Fresh as u8),
            deadline,
            response_ticks: AtomicU64::new(0),
            expired: AtomicBool::new(false),
            head_ticks,
            idle_ticks,
        }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn enter(&self, phase: Phase, deadline: u64) {
        self.phase.store(phase as u8, Relaxed);
        self.deadline.store(deadline, Relaxed);
        self.expired.store(false, Relaxed);
    }

    /// Bytes arrived.
    fn received(&self) {
        if self.is(Phase::Idle) || self.is(Phase::Fresh) {
            self.enter(Phase::Head, self.clock.deadline(self.head_ticks));
        }
    }

    /// The TLS handshake is done.
    fn secured(&self) {
        self.enter(Phase::Fresh, self.clock.deadline(self.head_ticks.min(self.idle_ticks)));
    }

    /// A request is being served.
    pub(super) fn busy(&self) {
        self.enter(Phase::Busy, u64::MAX);
    }

    /// A request is being sent; from its end, or the last part of its body, the response may take so long.
    pub(super) fn sending(&self, response_ticks: u64, has_body: bool) {
        self.response_ticks.store(response_ticks, Relaxed);
        let phase = if has_body { Phase::Upload } else { Phase::Response };
        self.enter(phase, self.clock.deadline(response_ticks));
    }

    /// A part of the request's body was passed on.
    pub(super) fn uploaded(&self, last: bool) {
        if self.is(Phase::Upload) {
            let phase = if last { Phase::Response } else { Phase::Upload };
            self.enter(phase, self.clock.deadline(self.response_ticks.load(Relaxed)));
        }
    }

    /// The response's last byte was handed over.
    pub(super) fn responded(&self) {
        self.enter(Phase::Idle, self.clock.deadline(self.idle_ticks));
    }

    /// Why the wait for a response is over, if it is.
    pub(super) fn gave_up(&self) -> Option<GaveUp> {
        if !self.expired.load(Relaxed) {
            None
        } else if self.is(Phase::Upload) {
            Some(GaveUp::Upload)
        } else {
            Some(GaveUp::Response)
        }
    }

    /// Marks the connection when its deadline has passed; true when its task should look.
    pub(super) fn sweep(&self, now: u64) -> bool {
        let due = now >= self.deadline.load(Relaxed);
        if due {
            self.expired.store(true, Relaxed);
        }
        due
    }

    /// Lets what was accepted as we began to drain have a last short while.
    fn hurry(&self) {
        let late = self.clock.deadline(LATE_TICKS);
        if self.deadline.load(Relaxed) > late {
            self.enter(Phase::Fresh, late);
        }
    }

    fn is_overdue_between_requests(&self) -> bool {
        self.expired.load(Relaxed) && (self.is(Phase::Fresh) || self.is(Phase::Head) || self.is(Phase::Idle))
    }
}

/// Which wait has been too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// For the client's body.
    Upload,
    /// For the upstream's response.
    Response,
}

/// The client's stream, telling [`State`] when bytes arrive.
pub(super) struct ClientIo<T> {
    inner: TokioIo<T>,
    state: Arc<State>,
}

impl<T> ClientIo<T> {
    pub(super) fn new(stream: T, state: Arc<State>) -> Self {
        Self { inner: TokioIo::new(stream), state }
    }
}

impl<T: AsyncRead + Unpin> Read for ClientIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.state.received();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for ClientIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

pin_project! {
    /// Drives one connection: HTTP, then the worker's wishes (drain), then the time limits.
    pub(super) struct Drive<T, S>
    where
        S: HttpService<Incoming>,
    {
        #[pin]
        http: UpgradeableConnection<ClientIo<T>, S>,
        state: Arc<State>,
        watch: Watch,
        closing: bool,
    }
}

impl<T, S> Drive<T, S>
where
    S: HttpService<Incoming>,
{
    pub(super) fn new(http: UpgradeableConnection<ClientIo<T>, S>, state: Arc<State>, worker: Rc<Worker>) -> Self {
        Self { http, state, watch: Watch { worker, id: None }, closing: false }
    }
}

impl<T, S> Future for Drive<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = ProxyBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.watch.register(this.state, cx);
        if let Poll::Ready(result) = this.http.as_mut().poll(cx) {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
            return Poll::Ready(());
        }
        if this.state.is_overdue_between_requests() {
            return Poll::Ready(());
        }
        if this.watch.worker.is_draining() && !*this.closing {
            if this.state.is(Phase::Fresh) {
                // Accepted on our behalf, perhaps with the request in its buffer: let it be read.
                this.state.hurry();
                return Poll::Pending;
            }
            *this.closing = true;
            this.http.as_mut().graceful_shutdown();
            return this.http.poll(cx).map(|_ended| ());
        }
        Poll::Pending
    }
}

/// A TLS handshake, under the limits of a first request; `None` when it took too long.
pub(super) async fn secure<F: Future>(handshake: F, state: &Arc<State>, worker: &Rc<Worker>) -> Option<F::Output> {
    let mut watch = Watch { worker: Rc::clone(worker), id: None };
    let mut handshake = pin!(handshake);
    let outcome = poll_fn(|cx| {
        watch.register(state, cx);
        if let Poll::Ready(outcome) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if state.is_overdue_between_requests() {
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

/// The worker's entry for a connection, for as long as it lives.
struct Watch {
    worker: Rc<Worker>,
    id: Option<u64>,
}

impl Watch {
    fn register(&mut self, state: &Arc<State>, cx: &Context<'_>) {
        // A spawned task's waker stays the same for its life.
        if self.id.is_none() {
            self.id = Some(self.worker.register(Arc::clone(state), cx.waker().clone()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.worker.deregister(id);
        }
    }
}
