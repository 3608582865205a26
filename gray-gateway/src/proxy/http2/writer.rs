//! HTTP/1 messages that the engine reads from a pipe, written from frames.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;

use super::{
    pipe::Pipe,
    translate::{self, Framing},
};
use crate::proxy::http1::write_chunk_size;

/// So much is gathered before it is written.
const ENOUGH: usize = 16 * 1024;
/// Data up to this length is copied behind what goes before it; more is written from where it is.
const SMALL: usize = 4 * 1024;

/// Why a message was not written to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// The sender has broken off.
    #[error("broken off: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// The engine takes no more of it.
    #[error("the pipe is closed: {0}")]
    Sink(io::Error),
}

/// Writes what the engine reads.
#[derive(Debug)]
pub(super) struct Writer<B> {
    pipe: Pipe,
    /// What waits to be written: the head, chunk sizes, small data.
    out: Vec<u8>,
    written: usize,
    /// Goes behind that.
    data: Bytes,
    /// Goes behind that.
    tail: Vec<u8>,
    framing: Framing,
    /// Until its end.
    body: Option<B>,
    /// Whether a body without a clear end is none.
    is_strict: bool,
}

impl<B> Writer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A message whose head is in `out`.
    ///
    /// A reset without an error ends an instance's response (RFC 9113, 8.1), but not a client's request.
    pub(super) fn new(pipe: Pipe, out: Vec<u8>, framing: Framing, body: B, is_strict: bool) -> Self {
        let body = (!body.is_end_stream() || framing != Framing::EMPTY).then_some(body);
        Self { pipe, out, written: 0, data: Bytes::new(), tail: Vec::new(), framing, body, is_strict }
    }

    /// A message that ends with its head, whatever the sender says.
    pub(super) fn bodiless(pipe: Pipe, out: Vec<u8>) -> Self {
        let (data, tail, framing) = (Bytes::new(), Vec::new(), Framing::EMPTY);
        Self { pipe, out, written: 0, data, tail, framing, body: None, is_strict: false }
    }

    /// Goes on as far as possible. Cancel safe: the next call goes on from there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unwritten>> {
        loop {
            let mut waiting = false;
            while !waiting && self.body.is_some() && self.data.is_empty() && self.out.len() < ENOUGH {
                waiting = match self.poll_body(cx) {
                    Poll::Ready(gathered) => gathered.map(|()| false)?,
                    Poll::Pending => true,
                };
            }
            while self.written < self.out.len() {
                let count = ready!(self.pipe.poll_write(cx, &self.out[self.written..])).map_err(Unwritten::Sink)?;
                self.written += count;
            }
            self.out.clear();
            self.written = 0;
            while !self.data.is_empty() {
                let count = ready!(self.pipe.poll_write(cx, &self.data)).map_err(Unwritten::Sink)?;
                self.data.advance(count);
            }
            if !self.tail.is_empty() {
                std::mem::swap(&mut self.out, &mut self.tail);
                continue;
            }
            match (&self.body, waiting) {
                (None, _) => return Poll::Ready(Ok(())),
                (Some(_), true) => return Poll::Pending,
                (Some(_), false) => {}
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unwritten>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        let outcome = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let is_last = body.is_end_stream();
                    self.push(data).and_then(|()| if is_last { self.end(None) } else { Ok(()) })
                }
                Err(frame) => self.end(frame.into_trailers().ok()),
            },
            Some(Err(error)) => Err(Unwritten::Source(error.into())),
            None if self.is_strict && !body.is_end_stream() => Err(Unwritten::Source("reset".into())),
            None => self.end(None),
        };
        Poll::Ready(outcome)
    }

    fn push(&mut self, data: Bytes) -> Result<(), Unwritten> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                // More would be taken for the next message.
                *left = left.checked_sub(data.len() as u64).ok_or_else(|| misfit("longer"))?;
            }
            Framing::Chunked => write_chunk_size(data.len(), &mut self.out),
        }
        let end: &[u8] = if self.framing == Framing::Chunked { b"\r\n" } else { b"" };
        if data.len() > SMALL {
            self.data = data;
            self.tail.extend_from_slice(end);
        } else {
            self.out.extend_from_slice(&data);
            self.out.extend_from_slice(end);
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Unwritten> {
        self.body = None;
        match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(misfit("shorter")),
            Framing::Chunked => {
                let out = if self.data.is_empty() { &mut self.out } else { &mut self.tail };
                translate::write_end(trailers.as_ref(), out);
                Ok(())
            }
        }
    }

    /// Ends the pipe: what was written is not a complete message.
    pub(super) fn break_off(&self) {
        self.pipe.close();
    }
}

fn misfit(how: &str) -> Unwritten {
    Unwritten::Source(format!("the body is {how} than its head says").into())
}
