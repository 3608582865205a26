//! One direction of an exchange: what is written first (a head), then a body, as it arrives.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use super::{
    buffer::{Buffers, Received},
    http1::{Decoder, FramingError},
    socket::Socket,
};

/// So much is gathered before it is written.
const ENOUGH: usize = 32 * 1024;
/// Bodies beyond this are read into large buffers.
const LONG: u64 = 16 * 1024;
/// What may wait in a buffer for bytes.
const MAX_WAITING: usize = 64 * 1024;

/// Why a transfer cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The side that sends has gone.
    #[error("the sender is gone: {0}")]
    Source(io::Error),
    /// It sends more than it may.
    #[error("the body is too long")]
    TooLong,
    /// What it sends is not framed well.
    #[error("{0}")]
    Framing(#[from] FramingError),
    /// The side that receives has gone.
    #[error("the receiver is gone: {0}")]
    Sink(io::Error),
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// What waits to be written: the head, and what of the body had to be framed anew or came together with the head.
    pub(super) out: Vec<u8>,
    written: usize,
    decoder: Decoder,
    /// Whether the body is framed in chunks on the other side.
    in_chunks: bool,
    /// Bytes written so far.
    pub(super) sent: u64,
    /// Bytes of the body taken so far, framing included.
    pub(super) taken: u64,
    head_len: u64,
    /// Bytes of the body that may be taken.
    limit: u64,
    /// What is there of the body is no whole piece.
    starved: bool,
    /// Everything was handed over.
    flushed: bool,
    /// `out` is all that there ever was to write.
    is_whole: bool,
}

impl Transfer {
    /// A message whose head is in `out`.
    pub(super) fn new(out: Vec<u8>, decoder: Decoder, in_chunks: bool) -> Self {
        let head_len = out.len() as u64;
        Self {
            out,
            written: 0,
            decoder,
            in_chunks,
            sent: 0,
            taken: 0,
            head_len,
            limit: u64::MAX,
            starved: false,
            flushed: false,
            is_whole: true,
        }
    }

    /// With a body of so many bytes at most, framing included.
    pub(super) fn limited(self, limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), ..self }
    }

    /// Puts what there is of the body behind the head, so that they go together.
    pub(super) fn gather(&mut self, received: &mut Received) -> Result<(), Broken> {
        if received.is_empty() || self.decoder.is_done() {
            return Ok(());
        }
        let taken = self.decoder.decode(received.bytes(), &mut self.out, self.in_chunks, ENOUGH)?;
        self.starved = taken < received.len();
        self.taken += taken as u64;
        received.consume(taken);
        if self.taken > self.limit { Err(Broken::TooLong) } else { Ok(()) }
    }

    /// Length of the head.
    pub(super) fn head_len(&self) -> u64 {
        self.head_len
    }

    /// Whether everything was read and written.
    pub(super) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Whether it is the receiver that holds it up, after a [`poll`](Self::poll) that did not end.
    pub(super) fn waits_for_receiver(&self, received: &Received) -> bool {
        self.written < self.out.len() || self.decoder.is_done() || !(received.is_empty() || self.starved)
    }

    /// Whether the body was read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Starts over, to somebody else; false when a part of it is gone already.
    pub(super) fn rewind(&mut self) -> bool {
        let can = self.is_whole && self.decoder.is_done();
        if can {
            (self.written, self.sent, self.flushed) = (0, 0, false);
        }
        can
    }

    /// Goes on as far as possible. Cancel safe: the next call goes on from there.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        received: &mut Received,
        to: &mut Socket,
        buffers: &Buffers,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while self.written < self.out.len() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.out[self.written..]));
                self.wrote(count)?;
            }
            if self.decoder.is_done() {
                ready!(Pin::new(to).poll_flush(cx)).map_err(Broken::Sink)?;
                self.flushed = true;
                return Poll::Ready(Ok(()));
            }
            self.out.clear();
            self.written = 0;
            self.is_whole = false;
            if received.is_empty() || self.starved {
                // What TLS holds back goes out while we wait.
                if let Poll::Ready(flushed) = Pin::new(&mut *to).poll_flush(cx) {
                    flushed.map_err(Broken::Sink)?;
                }
                let long = self.decoder.is_long(LONG);
                let count = ready!(received.poll_fill(cx, from, buffers, MAX_WAITING, long)).map_err(Broken::Source)?;
                if count == 0 {
                    let end = self.decoder.end(&mut self.out, self.in_chunks);
                    end.map_err(|_| Broken::Source(io::ErrorKind::UnexpectedEof.into()))?;
                    continue;
                }
                self.starved = false;
            }
            match self.decoder {
                // As it is, from one buffer.
                Decoder::Length(left) if !self.in_chunks => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(received.len());
                    let count = ready!(Pin::new(&mut *to).poll_write(cx, &received.bytes()[..here]));
                    let count = self.wrote(count)?;
                    self.written = 0;
                    received.consume(count);
                    self.taken += count as u64;
                    self.decoder = Decoder::Length(left - count as u64);
                }
                _ => self.gather(received)?,
            }
        }
    }

    fn wrote(&mut self, count: io::Result<usize>) -> Result<usize, Broken> {
        match count {
            Ok(0) => Err(Broken::Sink(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                self.written += count;
                self.sent += count as u64;
                Ok(count)
            }
            Err(error) => Err(Broken::Sink(error)),
        }
    }
}
