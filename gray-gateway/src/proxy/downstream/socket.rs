//! One connection's byte stream: plain, TLS, or one that HTTP/2 is made of.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

#[cfg(target_os = "linux")]
use socket2::SockRef;

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    task::unconstrained,
};
use tokio_rustls::TlsStream;

use crate::proxy::worker::descriptors::Descriptor;

/// A connection to a client, or to an instance, which is counted as long as it is there.
#[derive(Debug)]
pub(in crate::proxy) enum Socket {
    /// Plain.
    Tcp(TcpStream, #[expect(dead_code, reason = "it counts until it is dropped")] Option<Descriptor>),
    /// After a handshake.
    Tls(Box<TlsStream<TcpStream>>, #[expect(dead_code, reason = "it counts until it is dropped")] Option<Descriptor>),
    /// To one HTTP/2 stream at a time, by way of `http2`.
    Pipe(Box<PipeSocket>),
}

/// Why a pipe has ended, if it did not end in order.
pub(in crate::proxy) type PipeFault = Rc<RefCell<Option<io::Error>>>;

/// An answer that cannot be passed on, as the cause of an [`io::Error`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::proxy) struct Unusable(pub(in crate::proxy) &'static str);
/// How long a client may leave what it was sent where that is, as said on the pipes of its streams: the longest one.
pub(in crate::proxy) type Rest = Rc<Cell<Duration>>;

/// What the kernel takes is a number of milliseconds in 31 bits.
#[cfg(target_os = "linux")]
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A full pipe, and what HTTP/2 takes of one stream.
const PIPED: usize = 192 * 1024;

/// How long the kernel lets a client's window stay shut, where it can be told. For what we cannot see: that a short answer,
/// which it has whole, is not taken.
pub(in crate::proxy) fn let_rest(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(limit.min(LONGEST)))?;
    #[cfg(not(target_os = "linux"))]
    let _unlimited = (stream, limit);
    Ok(())
}

/// One end of a pipe within the worker.
#[derive(Debug)]
pub(in crate::proxy) struct PipeSocket {
    stream: DuplexStream,
    rest: Rest,
    /// What the other end says of its end.
    fault: PipeFault,
    /// Dropped with it, for the other end to see at once, whatever it waits for.
    _alive: oneshot::Sender<Infallible>,
}

impl PipeSocket {
    pub(in crate::proxy) fn new(
        stream: DuplexStream,
        rest: Rest,
        fault: PipeFault,
        alive: oneshot::Sender<Infallible>,
    ) -> Self {
        Self { stream, rest, fault, _alive: alive }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let is_over = buffer.filled().len() == before && buffer.remaining() > 0;
        match if is_over { self.fault.borrow_mut().take() } else { None } {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(read),
        }
    }
}

impl Socket {
    /// Whether a connection that waits for work can still be used: nothing has arrived on it, not even its end.
    /// Does not ask the kernel unless there is news.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Tcp(stream, _) => {
                stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(..) | Self::Pipe(_) => is_quiet(self),
        }
    }
}

/// Whether nothing has arrived on a stream, not even its end.
pub(in crate::proxy) fn is_quiet(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    // A task that has done much would be told to wait, which says nothing about the stream.
    let read = unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)));
    pin!(read).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl Socket {
    /// How long a client may leave what it was sent where that is: with the kernel, or within HTTP/2.
    pub(in crate::proxy) fn let_rest(&self, limit: Duration) {
        let stream = match self {
            Self::Tcp(stream, _) => stream,
            Self::Tls(stream, _) => stream.get_ref().0,
            Self::Pipe(pipe) => return pipe.rest.set(pipe.rest.get().max(limit)),
        };
        if let Err(error) = let_rest(stream, limit) {
            tracing::debug!(%error, "slow readers may be noticed late");
        }
    }

    /// Bytes that lie between the engine and the client's socket when it takes no more.
    pub(in crate::proxy) fn piped(&self) -> usize {
        if matches!(self, Self::Pipe(_)) { PIPED } else { 0 }
    }

    /// Has the kernel forget what it has not sent when this is dropped: the client does not take it.
    pub(in crate::proxy) fn forget(&self) {
        let stream = match self {
            Self::Tcp(stream, _) => stream,
            Self::Tls(stream, _) => stream.get_ref().0,
            // Its other end sees the end of it.
            Self::Pipe(_) => return,
        };
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buffer),
            Self::Pipe(pipe) => pipe.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, bytes),
            Self::Pipe(pipe) => Pin::new(&mut pipe.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Pipe(pipe) => Pin::new(&mut pipe.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
            Self::Pipe(pipe) => pipe.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
            Self::Pipe(pipe) => Pin::new(&mut pipe.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Self::Pipe(pipe) => Pin::new(&mut pipe.stream).poll_shutdown(cx),
        }
    }
}
