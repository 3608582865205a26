//! Connections to the admin side: so many at most, none that is silent for long, and none that keeps newcomers out while it
//! only waits. Its own limits, so that nothing but its own clients uses them up. Not `gray_common::server`, whose limits are for
//! callers that are known: here half a request makes room for a probe, and a request has a time in all.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener, ListenerExt as _, TapIo},
};
use metrics::counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, timeout},
};

use super::answer::REFUSED_TOTAL;

/// Connections at most, which the descriptors kept free (`gray_common::descriptors::RESERVED`) have room for; for one more, the
/// one that has waited longest is closed.
const MAX_CONNECTIONS: usize = 32;
/// Time from the first moment of a connection to the end of its first head. Clients send it at once.
const MAX_HEAD: Duration = Duration::from_secs(10);
/// Time from the end of the first head, or the last byte of an answer, to the next byte of an answer: for the next head, the
/// body (which has less, see `gate`) and the work. As long as `grayctl` waits.
const MAX_SILENCE: Duration = Duration::from_secs(60);
/// Time for an evicted connection to end before the next one is evicted as well.
const TIME_TO_END: Duration = Duration::from_millis(500);

/// A listener with these limits.
pub(crate) type Listening = TapIo<Bounded, fn(&mut Timed<TcpStream>)>;

/// The listener with these limits.
pub(crate) fn bounded(listener: TcpListener) -> Listening {
    Bounded::new(listener, MAX_CONNECTIONS).tap_io(|timed| {
        if let Err(error) = timed.stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
    })
}

#[derive(Debug)]
pub(crate) struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    /// Of the open connections; those of ended ones go with the next newcomer.
    seats: Vec<Arc<Seat>>,
}

impl Bounded {
    fn new(listener: TcpListener, connections: usize) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(connections)), seats: Vec::new() }
    }

    fn longest_waiting(&self) -> Option<&Seat> {
        let waiting = self.seats.iter().filter_map(|seat| Some((seat.waiting_since()?, seat)));
        waiting.min_by_key(|(since, _)| *since).map(|(_, seat)| &**seat)
    }

    /// A place for a newcomer, unless all connections are being answered.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return Some(permit);
            }
            if self.longest_waiting()?.evict() {
                counter!(REFUSED_TOTAL, "reason" => "evicted").increment(1);
            }
            // Only now is its descriptor closed. One that does not notice (a second request is worked on) does not hold up
            // the newcomer.
            if let Ok(Ok(permit)) = timeout(TIME_TO_END, Arc::clone(&self.permits).acquire_owned()).await {
                return Some(permit);
            }
        }
    }
}

impl Listener for Bounded {
    type Io = Timed<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            self.seats.retain(|seat| Arc::strong_count(seat) > 1);
            if let Some(permit) = self.place().await {
                let timed = Timed::new(stream, permit);
                self.seats.push(Arc::clone(&timed.seat));
                return (timed, peer);
            }
            counter!(REFUSED_TOTAL, "reason" => "connections").increment(1);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The client of a connection, as the requests on it know it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    seat: Arc<Seat>,
}

impl Connected<IncomingStream<'_, Listening>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listening>) -> Self {
        Self { address: *stream.remote_addr(), seat: Arc::clone(&stream.io().seat) }
    }
}

impl Peer {
    /// Its address.
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Its head is there, its body may not be: the connection waits for it and can be evicted.
    pub(super) fn is_to_send_a_body(&self) {
        self.seat.lock().waiting_since = Some(Instant::now());
    }

    /// The whole request has come in: the connection is not evicted before the answer.
    pub(super) fn has_asked(&self) {
        self.seat.lock().waiting_since = None;
    }
}

/// What the listener knows of a connection.
#[derive(Debug)]
struct Seat(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since when it waits for its client; `None` from the end of a request to the answer.
    waiting_since: Option<Instant>,
    is_evicted: bool,
    waker: Option<Waker>,
}

impl Seat {
    fn new() -> Self {
        Self(Mutex::new(State { waiting_since: Some(Instant::now()), is_evicted: false, waker: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.waiting_since.filter(|_| !state.is_evicted)
    }

    /// Has the connection end, unless a head came in meanwhile.
    fn evict(&self) -> bool {
        let mut state = self.lock();
        state.is_evicted = state.waiting_since.is_some();
        let (is_evicted, waker) = (state.is_evicted, state.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_evicted
    }
}

/// How far a head has come in. Lines end as the parser of hyper has it: the carriage return may be missing, and empty lines
/// before the head do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Ahead,
    InLine,
    AfterLine,
    Complete,
}

impl Head {
    fn after(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |head, byte| match (head, byte) {
            (Self::Complete, _) | (Self::AfterLine, b'\n') => Self::Complete,
            (Self::Ahead | Self::AfterLine, b'\r') | (Self::Ahead, b'\n') => head,
            (Self::InLine, b'\n') => Self::AfterLine,
            _ => Self::InLine,
        })
    }
}

/// A connection that ends when nothing was written for too long, or when a newcomer needs its place.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    silence: Pin<Box<Sleep>>,
    head: Head,
    /// The first head has come in.
    has_asked: bool,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl<S> Timed<S> {
    fn new(stream: S, permit: OwnedSemaphorePermit) -> Self {
        let (silence, seat) = (Box::pin(sleep(MAX_HEAD)), Arc::new(Seat::new()));
        Self { stream, silence, head: Head::Ahead, has_asked: false, seat, _permit: permit }
    }

    /// To be asked before anything is read or written; a later eviction wakes it.
    fn check_place(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut state = self.seat.lock();
        if state.is_evicted {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.waker = Some(cx.waker().clone());
        Ok(())
    }

    fn has_read(&mut self, bytes: &[u8]) {
        if self.head == Head::Complete {
            return;
        }
        self.head = self.head.after(bytes);
        if self.head == Head::Complete {
            self.seat.lock().waiting_since = None;
            if !self.has_asked {
                self.has_asked = true;
                self.silence.as_mut().reset(Instant::now() + MAX_SILENCE);
            }
        }
    }

    fn has_written(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        // Before the first head there are only answers to what is none.
        self.has_asked = true;
        self.silence.as_mut().reset(now + MAX_SILENCE);
        // What asks for the body is not the answer.
        if bytes != b"HTTP/1.1 100 Continue\r\n\r\n" {
            self.head = Head::Ahead;
            self.seat.lock().waiting_since = Some(now);
        }
    }

    fn within_time<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            ready!(self.silence.as_mut().poll(cx));
            counter!(REFUSED_TOTAL, "reason" => "timeout").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check_place(cx)?;
        // A client that sends a byte now and then gains nothing by it.
        if self.silence.is_elapsed() {
            return self.within_time(cx, Poll::Pending);
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.has_read(buf.filled().get(before..).unwrap_or_default());
        self.within_time(cx, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_place(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.has_written(bytes);
        }
        self.within_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time,
    };

    use super::*;

    fn timed<S>(stream: S) -> Timed<S> {
        Timed::new(stream, Arc::new(Semaphore::new(1)).try_acquire_owned().expect("one"))
    }

    async fn cut_off_after(before: &[u8], limit: Duration) {
        let (mut client, server) = duplex(64);
        let mut server = timed(server);
        client.write_all(before).await.expect("taken");
        let began = Instant::now();
        let reading = async {
            let mut byte = [0];
            loop {
                if let Err(error) = server.read_exact(&mut byte).await {
                    return error.kind();
                }
            }
        };
        let trickling = async {
            while client.write_all(b"x").await.is_ok() {
                time::sleep(limit / 10).await;
            }
        };
        let kind = tokio::select! {
            kind = reading => kind,
            () = trickling => panic!("the reader ends first"),
        };
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 3 / 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_trickles_is_cut_off_in_time() {
        cut_off_after(b"", MAX_HEAD).await;
        cut_off_after(b"\r\n\r\nGET / HTTP/1.1\r\nX: ", MAX_HEAD).await;
        cut_off_after(b"POST / HTTP/1.1\r\n\r\n", MAX_SILENCE).await;
        cut_off_after(b"POST / HTTP/1.1\n\n", MAX_SILENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_gives_time_for_the_next_question_and_has_to_be_taken() {
        let (mut client, server) = duplex(8);
        let mut server = timed(server);
        for waits in [MAX_HEAD, MAX_SILENCE, MAX_SILENCE] {
            time::sleep(waits * 3 / 4).await;
            client.write_all(b"ask\r\n\r\n").await.expect("taken");
            let mut asked = [0; 7];
            server.read_exact(&mut asked).await.expect("in time");
            assert_eq!(server.seat.waiting_since(), None, "asked");
            server.write_all(b"tell").await.expect("taken");
            assert_eq!(server.seat.waiting_since(), Some(Instant::now()), "answered");
            client.read_exact(&mut [0; 4]).await.expect("told");
        }
        let began = Instant::now();
        let error = server.write_all(b"more than the client takes").await.expect_err("not taken");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= MAX_SILENCE);
    }

    #[tokio::test]
    async fn who_only_waits_makes_room_and_who_is_answered_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut bounded = Bounded::new(listener, 1);
        let _first = TcpStream::connect(address).await.expect("connects");
        let (mut idle, _) = bounded.accept().await;
        let ends = gray_common::spawn(async move { idle.read_u8().await.expect_err("evicted").kind() });
        let mut second = TcpStream::connect(address).await.expect("connects");
        let (mut held, _) = bounded.accept().await;
        assert_eq!(ends.await.expect("ends"), io::ErrorKind::ConnectionAborted);
        second.write_all(b"ask\r\n\r\n").await.expect("taken");
        held.read_exact(&mut [0; 7]).await.expect("asked");
        let mut third = TcpStream::connect(address).await.expect("connects");
        // The third is let go of; the fourth is accepted once the second has ended.
        let mut closed = Vec::new();
        tokio::select! {
            _ = bounded.accept() => panic!("one too many"),
            read = third.read_to_end(&mut closed) => assert_eq!(read.expect("closed"), 0),
        }
        drop(held);
        let _fourth = TcpStream::connect(address).await.expect("connects");
        let (_held, _) = time::timeout(Duration::from_secs(20), bounded.accept()).await.expect("in time");
    }
}
