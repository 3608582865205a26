//! Connections to the admin side: so many at most, none that is silent for long. Its own limits, so that nothing but its own
//! clients uses them up.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::{Listener, ListenerExt as _, TapIo};
use metrics::counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

use super::gate::REFUSED_TOTAL;

/// Connections at most; more are closed at once.
const MAX_CONNECTIONS: usize = 256;
/// Time from the first moment of a connection, or the last byte of an answer, to the next byte of an answer: for the head,
/// the body and the work. As long as `grayctl` waits.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// A listener with these limits.
pub(crate) type Listening = TapIo<Bounded, fn(&mut Timed<TcpStream>)>;

/// The listener with these limits.
pub(crate) fn bounded(listener: TcpListener) -> Listening {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    Bounded { listener, permits }.tap_io(|timed| {
        if let Err(error) = timed.stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
    })
}

#[derive(Debug)]
pub(crate) struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Timed<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => return (Timed::new(stream, permit), peer),
                Err(_) => counter!(REFUSED_TOTAL, "reason" => "connections").increment(1),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing was written for too long.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    silence: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl<S> Timed<S> {
    fn new(stream: S, permit: OwnedSemaphorePermit) -> Self {
        Self { stream, silence: Box::pin(sleep(MAX_SILENCE)), _permit: permit }
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
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        // A client that sends a byte now and then is no further for it.
        let read = if self.silence.is_elapsed() { Poll::Pending } else { read };
        self.within_time(cx, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.silence.as_mut().reset(Instant::now() + MAX_SILENCE);
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

    #[tokio::test(start_paused = true)]
    async fn who_only_trickles_is_cut_off_in_time() {
        let (mut client, server) = duplex(64);
        let mut server = timed(server);
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
                time::sleep(MAX_SILENCE / 10).await;
            }
        };
        let kind = tokio::select! {
            kind = reading => kind,
            () = trickling => panic!("the reader ends first"),
        };
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= MAX_SILENCE && began.elapsed() < MAX_SILENCE * 3 / 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_gives_time_for_the_next_question_and_has_to_be_taken() {
        let (mut client, server) = duplex(4);
        let mut server = timed(server);
        for _ in 0..3 {
            time::sleep(MAX_SILENCE * 3 / 4).await;
            client.write_all(b"ask").await.expect("taken");
            let mut asked = [0; 3];
            server.read_exact(&mut asked).await.expect("in time");
            server.write_all(b"tell").await.expect("taken");
            client.read_exact(&mut [0; 4]).await.expect("told");
        }
        let began = Instant::now();
        let error = server.write_all(b"more than the client takes").await.expect_err("not taken");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= MAX_SILENCE);
    }

    #[tokio::test]
    async fn no_more_than_so_many() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut bounded = Bounded { listener, permits: Arc::new(Semaphore::new(1)) };
        let _first = TcpStream::connect(address).await.expect("connects");
        let (held, _) = bounded.accept().await;
        let mut second = TcpStream::connect(address).await.expect("connects");
        // The second is let go of; the third is accepted once the first has ended.
        let mut closed = Vec::new();
        tokio::select! {
            _ = bounded.accept() => panic!("one too many"),
            read = second.read_to_end(&mut closed) => assert_eq!(read.expect("closed"), 0),
        }
        drop(held);
        let _third = TcpStream::connect(address).await.expect("connects");
        let (_held, _) = time::timeout(Duration::from_secs(20), bounded.accept()).await.expect("in time");
    }
}
