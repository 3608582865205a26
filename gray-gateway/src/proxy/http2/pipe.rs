//! The end of a pipe within the worker that speaks HTTP/2 on its other side.

use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, DuplexStream, duplex},
    sync::oneshot,
};

use crate::proxy::downstream::socket::{PipeFault, PipeSocket, Rest, Socket, is_quiet};

/// What a pipe holds in each direction: a sender that is faster waits.
const CAPACITY: usize = 64 * 1024;

const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Tells when the engine has let go of its end.
pub(super) type Gone = oneshot::Receiver<Infallible>;

/// The end of a pipe that speaks HTTP/2 on its other side.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    stream: Rc<RefCell<DuplexStream>>,
    fault: PipeFault,
}

impl Pipe {
    /// A pipe, and the engine's end of it, which says in `rest` how long the other end may be left alone.
    pub(super) fn new(rest: Rest) -> (Self, Gone, Socket) {
        let (ours, theirs) = duplex(CAPACITY);
        let ((alive, gone), fault) = (oneshot::channel(), PipeFault::default());
        let socket = PipeSocket::new(theirs, rest, Rc::clone(&fault), alive);
        (Self { stream: Rc::new(RefCell::new(ours)), fault }, gone, Socket::Pipe(Box::new(socket)))
    }

    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        // Keeps nothing from one call to the next.
        pin!(stream.read_buf(bytes)).as_mut().poll(cx)
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    /// Whether it can be used again: nothing has arrived, not even its end.
    pub(super) fn is_quiet(&self) -> bool {
        is_quiet(&mut *self.stream.borrow_mut())
    }

    /// Answers what cannot be translated.
    pub(super) fn refuse(&self) {
        // There is room: nothing else was said.
        let _written = self.poll_write(&mut Context::from_waker(Waker::noop()), REFUSAL);
    }

    /// Ends like [`close`](Self::close); the engine is told why.
    pub(super) fn fail(&self, error: io::Error) {
        *self.fault.borrow_mut() = Some(error);
        self.close();
    }

    /// Says nothing more, whatever was begun: the engine sees the end.
    pub(super) fn close(&self) {
        let mut stream = self.stream.borrow_mut();
        // Never has to wait.
        let _closed = Pin::new(&mut *stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
