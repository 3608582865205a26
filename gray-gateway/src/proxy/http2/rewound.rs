//! A client's connection as HTTP/2 reads and writes it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::Streams;
use crate::proxy::{downstream::connection::Connection, response::refusal::Refusal};

/// A client's bytes from the beginning, with those that were looked at already. What its frames are is counted.
pub(super) struct Rewound {
    client: Connection,
    streams: Rc<Streams>,
    /// What the kernel was told last.
    rest: Duration,
}

impl Rewound {
    pub(super) fn new(client: Connection, streams: Rc<Streams>) -> Self {
        let rest = streams.rest.get();
        Self { client, streams, rest }
    }

    /// Tells the kernel what the streams have said, when that is news.
    fn let_rest(&mut self) {
        let rest = self.streams.rest.get();
        if self.rest != rest {
            self.rest = rest;
            self.client.socket.let_rest(rest);
        }
    }

    fn read(&self, bytes: &[u8]) -> io::Result<()> {
        let Streams { worker, frames, active, .. } = &*self.streams;
        if bytes.is_empty() || frames.borrow_mut().received(bytes, worker.now(), active.get()) {
            return Ok(());
        }
        worker.stats().refused(Refusal::Http2Abuse);
        self.streams.is_cut.set(true);
        Err(io::Error::other("too many frames that carry nothing"))
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.streams.frames.borrow_mut().wrote(count);
        }
        written
    }
}

impl Drop for Rewound {
    fn drop(&mut self) {
        if self.streams.is_cut.get() {
            self.client.socket.forget();
        }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let Connection { socket, received, .. } = &mut this.client;
        if received.is_empty() {
            ready!(Pin::new(socket).poll_read(cx, buffer))?;
        } else {
            let count = received.len().min(buffer.remaining());
            buffer.put_slice(&received.bytes()[..count]);
            received.consume(count);
            if received.is_empty() {
                received.release();
            }
        }
        Poll::Ready(this.read(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.let_rest();
        let written = Pin::new(&mut this.client.socket).poll_write(cx, bytes);
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.let_rest();
        let written = Pin::new(&mut this.client.socket).poll_write_vectored(cx, slices);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.client.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client.socket).poll_shutdown(cx)
    }
}
