//! HTTP/1 messages that the engine writes on a pipe, read as frames.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::Frame;

use super::{
    pipe::Pipe,
    translate::{self, Translated},
};
use crate::{
    proxy::http1::{self, Chunked, Decoder, ParseError, Piece},
    scheme::Scheme,
};

/// Room for a head or a small body.
const READ_SMALL: usize = 2 * 1024;
/// Room for a part of a large one: what a frame holds at most, as a rule.
const READ_LARGE: usize = 16 * 1024;

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
    ) -> Poll<io::Result<Translated>> {
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
