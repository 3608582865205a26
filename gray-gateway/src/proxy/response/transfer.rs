//! One direction of an exchange: what is written first (a head), then a body, as it arrives.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::{
    name::Name,
    proxy::{
        downstream::socket::Socket,
        http1::{Decoded, Decoder, FramingError},
        worker::buffer::{Filled, Lent, Received},
    },
};

/// So much of a body is gathered before it is written.
const ENOUGH: usize = 32 * 1024;
/// Bodies beyond this are read into large buffers.
const LONG: u64 = 16 * 1024;
/// What may wait in a buffer for bytes.
const MAX_WAITING: usize = 64 * 1024;
/// A body that is kept to be sent again is not longer.
const MAX_KEPT: u64 = 64 * 1024;

/// Why a transfer cannot go on.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Broken {
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

/// As many times the limit the framing may be long: that of a chunk of one byte is five.
const FRAMING: u64 = 8;
/// And so many bytes besides: the last chunk, trailers.
const FRAMING_BESIDES: u64 = 16 * 1024;

/// A length of what is far shorter than that.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A message on its way.
#[derive(Debug)]
pub(in crate::proxy) struct Transfer<'w> {
    /// What waits to be written: the head, and what of the body had to be framed anew or came together with the head.
    pub(in crate::proxy) out: Lent<'w>,
    written: usize,
    decoder: Decoder,
    /// Whether the body is framed in chunks on the other side.
    in_chunks: bool,
    /// Bytes written so far.
    pub(in crate::proxy) sent: u64,
    /// Bytes of the body taken so far, framing included.
    pub(in crate::proxy) taken: u64,
    /// Of these, framing; no more is counted than fits.
    framing: u32,
    head_len: u32,
    /// How long the body itself may be, in bytes.
    limit: u64,
    /// What is there of the body is not a whole piece: more has to arrive.
    starved: bool,
    /// Everything was handed over.
    flushed: bool,
    /// `out` is all that there ever was to write.
    is_whole: bool,
    /// As long as that is possible, everything stays in `out`.
    keeps: bool,
}

impl<'w> Transfer<'w> {
    /// A message whose head is in `out`.
    pub(in crate::proxy) fn new(out: Lent<'w>, decoder: Decoder, in_chunks: bool) -> Self {
        let head_len = short(out.len());
        Self {
            out,
            written: 0,
            decoder,
            in_chunks,
            sent: 0,
            taken: 0,
            framing: 0,
            head_len,
            limit: u64::MAX,
            starved: false,
            flushed: false,
            is_whole: true,
            keeps: false,
        }
    }

    /// The same, kept as long as it is short so that it can be sent again.
    pub(in crate::proxy) fn kept(self, keeps: bool) -> Self {
        Self { keeps, ..self }
    }

    /// With a body of so many bytes at most.
    pub(in crate::proxy) fn limited(self, limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), ..self }
    }

    /// Puts the body behind another head, with another limit, to be sent from the beginning; only while it is whole.
    pub(in crate::proxy) fn put_behind(&mut self, mut head: Lent<'w>, limit: Option<u64>) -> Result<(), Broken> {
        let body = self.out.get(self.head_len as usize..).unwrap_or_default();
        self.head_len = short(head.len());
        head.extend_from_slice(body);
        self.out = head;
        self.limit = limit.unwrap_or(u64::MAX);
        self.restart(None);
        self.within_limit()
    }

    /// Puts what there is of the body behind the head, so that they go together.
    pub(in crate::proxy) fn gather(&mut self, received: &mut Received) -> Result<(), Broken> {
        if received.is_empty() || self.decoder.is_done() {
            return Ok(());
        }
        let Decoded { taken, data, starved } =
            self.decoder.decode(received.bytes(), &mut self.out, self.in_chunks, ENOUGH, Name::passes_as_trailer)?;
        self.starved = starved;
        self.taken += taken as u64;
        self.framing = self.framing.saturating_add(short(taken - data));
        received.consume(taken);
        self.within_limit()
    }

    /// The framing may be long as well, byte by byte in chunks, but not for ever: each chunk may have a line of extensions.
    fn within_limit(&self) -> Result<(), Broken> {
        let framing = u64::from(self.framing);
        let is_long = self.taken - framing > self.limit;
        let is_framing = framing > self.limit.saturating_mul(FRAMING).saturating_add(FRAMING_BESIDES);
        if is_long || is_framing { Err(Broken::TooLong) } else { Ok(()) }
    }

    /// Length of the head.
    pub(in crate::proxy) fn head_len(&self) -> u64 {
        u64::from(self.head_len)
    }

    /// Whether everything was read and written.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Whether it is the receiver that holds it up, after a [`poll`](Self::poll) that did not end.
    pub(in crate::proxy) fn waits_for_receiver(&self, received: &Received) -> bool {
        self.written < self.out.len() || self.decoder.is_done() || !(received.is_empty() || self.starved)
    }

    /// Whether the body was read to its end.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// What of the body was not read yet.
    pub(in crate::proxy) fn rest(&self) -> Decoder {
        self.decoder
    }

    /// Whether nothing of it is gone, so that it can start over.
    pub(in crate::proxy) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The same message, for another instance as well; only while it is whole and the body read.
    pub(in crate::proxy) fn copy(&self) -> Self {
        Self { out: self.out.copy(), ..*self }
    }

    /// Starts over, to another instance whose name stands at this place of the head; only while it is whole.
    pub(in crate::proxy) fn restart(&mut self, name: Option<(&mut Range<usize>, &str)>) {
        (self.written, self.sent, self.flushed) = (0, 0, false);
        if let Some((place, name)) = name {
            self.head_len = self.head_len - short(place.len()) + short(name.len());
            self.out.splice(place.clone(), name.bytes());
            place.end = place.start + name.len();
        }
    }

    /// Goes on as far as possible. Cancel safe: the next call goes on from there.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        received: &mut Received,
        to: &mut Socket,
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
            if !self.keeps || self.out.len() as u64 >= self.head_len() + MAX_KEPT {
                self.out.clear();
                self.written = 0;
                (self.is_whole, self.keeps) = (false, false);
            }
            if received.is_empty() || self.starved {
                // What TLS holds back goes out while we wait.
                if let Poll::Ready(flushed) = Pin::new(&mut *to).poll_flush(cx) {
                    flushed.map_err(Broken::Sink)?;
                }
                let long = self.decoder.is_long(LONG);
                match ready!(received.poll_fill(cx, from, MAX_WAITING, long)).map_err(Broken::Source)? {
                    Filled::Bytes(_) => self.starved = false,
                    Filled::End => {
                        let end = self.decoder.end(&mut self.out, self.in_chunks);
                        end.map_err(|_| Broken::Source(io::ErrorKind::UnexpectedEof.into()))?;
                        continue;
                    }
                    // Lines of a chunked body are limited to far less.
                    Filled::Full => return Poll::Ready(Err(FramingError("a piece of the body is too long").into())),
                }
            }
            match self.decoder {
                // As it is, from one buffer.
                Decoder::Length(left) if !self.in_chunks && !self.keeps => {
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
