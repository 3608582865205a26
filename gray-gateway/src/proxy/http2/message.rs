//! HTTP/1 messages on a pipe: read as frames, written from frames.

use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, DuplexStream, duplex},
    sync::oneshot,
};

use super::{
    super::{
        http1::{self, Chunked, Decoder, ParseError, Piece},
        socket::{PipeFault, PipeSocket, Rest, Socket},
    },
    translate::{self, Answer, Framing},
};
use crate::scheme::Scheme;

/// What a pipe holds in each direction: a sender that is faster waits.
const CAPACITY: usize = 64 * 1024;
/// So much is gathered before it is written.
const ENOUGH: usize = 16 * 1024;
/// Data up to this length is copied behind what goes before it; more is written from where it is.
const SMALL: usize = 4 * 1024;
/// Room for a head or a small body.
const READ_SMALL: usize = 2 * 1024;
/// Room for a part of a large one: what a frame holds at most, as a rule.
const READ_LARGE: usize = 16 * 1024;

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

    fn poll_fill(&self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        // Keeps nothing from one call to the next.
        pin!(stream.read_buf(bytes)).as_mut().poll(cx)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    /// Whether it can be used again: nothing has arrived, not even its end.
    pub(super) fn is_quiet(&self) -> bool {
        self.poll_fill(&mut Context::from_waker(Waker::noop()), &mut BytesMut::with_capacity(1)).is_pending()
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

/// Reads what the engine writes.
#[derive(Debug)]
pub(super) struct Reader {
    pipe: Pipe,
    bytes: BytesMut,
    decoder: Decoder,
    trailers: Option<HeaderMap>,
    /// Messages begun.
    pub(super) turn: u64,
}

impl Reader {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self { pipe, bytes: BytesMut::new(), decoder: Decoder::EMPTY, trailers: None, turn: 0 }
    }

    /// Waits for a request's head; `None` at the end of the pipe.
    pub(super) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        scheme: Scheme,
    ) -> Poll<io::Result<Option<Request<()>>>> {
        loop {
            let mut room = http1::room();
            match http1::read_request(&self.bytes, &mut room, usize::MAX) {
                Ok(request) => {
                    let (end, translated) = (request.end, translate::read_request(&request, scheme));
                    let (request, decoder) = translated.map_err(io::Error::other)?;
                    self.begin(end, decoder);
                    return Poll::Ready(Ok(Some(request)));
                }
                Err(ParseError::Partial) => {}
                Err(error) => return Poll::Ready(Err(io::Error::other(format!("{error:?}")))),
            }
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(if self.bytes.is_empty() { Ok(None) } else { Err(eof()) });
            }
        }
    }

    /// Waits for a response's head. Interim ones are handed over as they come, with the length of theirs.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        is_head: bool,
        mut interim: impl FnMut(Response<()>, usize),
    ) -> Poll<io::Result<Answer>> {
        loop {
            let mut room = http1::room();
            match http1::read_response(&self.bytes, &mut room) {
                Ok(response) if response.status < 200 => {
                    let (end, translated) = (response.head.bytes.len(), translate::read_interim(&response));
                    self.bytes.advance(end);
                    if let Some(translated) = translated {
                        interim(translated, end);
                    }
                    continue;
                }
                Ok(response) => {
                    let (end, translated) = (response.head.bytes.len(), translate::read_response(&response, is_head));
                    let answer = translated.map_err(io::Error::other)?;
                    self.begin(end, answer.decoder);
                    return Poll::Ready(Ok(answer));
                }
                Err(ParseError::Partial) => {}
                Err(error) => return Poll::Ready(Err(io::Error::other(format!("{error:?}")))),
            }
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Err(eof()));
            }
        }
    }

    fn begin(&mut self, head_len: usize, decoder: Decoder) {
        self.bytes.advance(head_len);
        self.decoder = decoder;
        self.turn += 1;
        self.settle();
    }

    /// Waits for the next part of the body.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.decoder.is_done() {
                return Poll::Ready(None);
            }
            let here = match &mut self.decoder {
                Decoder::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.bytes.len());
                    *left -= here as u64;
                    here
                }
                Decoder::UntilClose => self.bytes.len(),
                Decoder::Chunked(chunked) => match chunked.next(&self.bytes) {
                    Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                    Ok(Piece::Partial) => 0,
                    Ok(Piece::Data(data)) => data.len(),
                    Ok(Piece::Skip(count)) => {
                        self.bytes.advance(count);
                        continue;
                    }
                    Ok(Piece::End(count, lines)) => {
                        self.trailers = translate::read_trailers(lines);
                        self.bytes.advance(count);
                        continue;
                    }
                },
            };
            if here > 0 {
                let data = self.bytes.split_to(here).freeze();
                self.settle();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match ready!(self.poll_more(cx)) {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(0) if self.decoder == Decoder::UntilClose => self.decoder = Decoder::EMPTY,
                Ok(0) => return Poll::Ready(Some(Err(eof()))),
                Ok(_) => {}
            }
        }
    }

    /// Takes the end of the body in with its last part, if it is there, so that one frame says both.
    fn settle(&mut self) {
        while let Decoder::Chunked(chunked @ (Chunked::Size | Chunked::DataEnd | Chunked::Trailers)) = &mut self.decoder
        {
            match chunked.next(&self.bytes) {
                Ok(Piece::Skip(count)) => self.bytes.advance(count),
                Ok(Piece::End(count, lines)) => {
                    self.trailers = translate::read_trailers(lines);
                    self.bytes.advance(count);
                }
                // What is wrong is found again by who waits for it.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Whether the message was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done() && self.trailers.is_none()
    }

    /// The pipe, if there is nothing more on it.
    pub(super) fn into_pipe(self) -> Option<Pipe> {
        (self.is_done() && self.bytes.is_empty()).then_some(self.pipe)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let large = self.decoder.is_long(READ_SMALL as u64);
        self.bytes.reserve(if large { READ_LARGE } else { READ_SMALL });
        self.pipe.poll_fill(cx, &mut self.bytes)
    }
}

fn eof() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

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
            Framing::Chunked => translate::write_chunk_size(data.len(), &mut self.out),
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

    /// Ends the pipe: what was written is no whole message.
    pub(super) fn break_off(&self) {
        self.pipe.close();
    }
}

fn misfit(how: &str) -> Unwritten {
    Unwritten::Source(format!("the body is {how} than its head says").into())
}

#[cfg(test)]
mod tests;
