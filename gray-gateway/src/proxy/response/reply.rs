//! Answers of our own on their way to the client.

use std::{
    future::poll_fn,
    io::{self, Write as _},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::{Response, header};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::{content::Content, grpc::Meant, head::connection_line};
use crate::{
    header::write_line,
    proxy::{
        access_log,
        after::After,
        downstream::{
            connection::{Connection, End},
            socket::Socket,
        },
        http1::{Decoded, Decoder, is_bodiless, status_line},
        request::envelope::Envelope,
        worker::buffer::Lent,
    },
};

impl Connection {
    /// Sends an answer of our own; what of the request's body is not there yet ends the connection.
    pub(in crate::proxy) async fn reply(
        &mut self,
        envelope: &Envelope,
        response: Response<Content>,
        after: &mut After<'_>,
    ) -> End {
        let (head, content) = response.into_parts();
        // What an answer of gRPC means in terms of HTTP, which says 200 for all of them.
        let status = head.extensions.get::<Meant>().map_or(head.status, |meant| meant.0);
        self.worker.stats().responded(status);
        let complete = self.skip_body(envelope.body);
        let is_last = head.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
        let mut keep_alive = envelope.keep_alive && complete && !is_last && !self.worker.is_leaving();

        let worker = Rc::clone(&self.worker);
        let mut out = worker.buffers.lend_out();
        status_line(&mut out, head.status.as_u16(), head.status.canonical_reason().unwrap_or_default());
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONNECTION) {
            write_line(&mut out, name, value);
        }
        let length = content.len(&head.headers);
        let bodiless = head.status.is_informational() || is_bodiless(head.status.as_u16());
        if !bodiless && !head.headers.contains_key(header::CONTENT_LENGTH) {
            match length {
                // Writing to a vector does not fail.
                Some(length) => drop(write!(out, "content-length: {length}\r\n")),
                None => keep_alive = false,
            }
        }
        self.worker.write_date(&mut out);
        connection_line(&mut out, envelope, keep_alive);
        out.extend_from_slice(b"\r\n");

        let content = (!bodiless && !envelope.is_head).then_some(content);
        after.note(|log| log.status = Some(status.as_u16()));
        let length_sent = if content.is_some() { length } else { None };
        let sent = self.send(out, content, length).await;
        if sent.is_ok() {
            after.note(|log| (log.sent, log.end) = (length_sent.unwrap_or(0), access_log::End::Complete));
        }
        match sent {
            Err(error) => {
                tracing::debug!(%error, "answer broken off");
                End::Gone
            }
            Ok(()) if keep_alive => End::Keep,
            Ok(()) if complete && self.received.is_empty() => End::Close,
            Ok(()) => End::Linger,
        }
    }

    /// Sends a head and what belongs behind it, of which there are so many bytes.
    async fn send(&mut self, mut out: Lent<'_>, content: Option<Content>, length: Option<u64>) -> io::Result<()> {
        let mut file = None;
        match content {
            None => {}
            Some(Content::Fixed(bytes)) => out.extend_from_slice(&bytes),
            Some(Content::File(body)) => file = Some(body),
        }
        self.write(&out).await?;
        let head = out.len() as u64;
        drop(out);
        let Some(mut file) = file else { return Ok(()) };
        let mut sent = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut file).poll_frame(cx)).await {
            let frame = frame.inspect_err(|error| tracing::warn!(%error, "file broken off"))?;
            if let Ok(bytes) = frame.into_data() {
                self.write_on(head + sent, &bytes).await?;
                sent += bytes.len() as u64;
            }
        }
        if length.is_some_and(|length| length != sent) {
            tracing::warn!("a file became shorter while it was sent");
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Writes everything to the client, if it takes it in time.
    pub(in crate::proxy) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_on(0, bytes).await
    }

    /// The same behind so many bytes of one answer.
    async fn write_on(&mut self, before: u64, bytes: &[u8]) -> io::Result<()> {
        let Self { socket, state, worker, .. } = self;
        let mut rest = bytes;
        poll_fn(|cx| {
            let written = poll_write_all(cx, socket, &mut rest);
            let sent = before + (bytes.len() - rest.len()) as u64;
            if state.writing(sent, written.is_pending()) {
                socket.forget();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if let Some(limit) = state.resting(sent) {
                socket.let_rest(limit);
            }
            if written.is_pending() {
                state.holds(bytes.len() + socket.piped());
            }
            written
        })
        .await
        .inspect_err(|error| worker.stats().written(error))
    }

    /// Passes over a body that is there already; false when it is not all there.
    fn skip_body(&mut self, mut body: Decoder) -> bool {
        let mut ignored = Vec::new();
        while !body.is_done() {
            match body.decode(self.received.bytes(), &mut ignored, false, usize::MAX, |_| false) {
                Ok(Decoded { taken, .. }) if taken > 0 && body != Decoder::UntilClose => self.received.consume(taken),
                _ => return false,
            }
        }
        true
    }
}

/// Writes everything, however long it takes.
pub(in crate::proxy) async fn write_all(socket: &mut Socket, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| poll_write_all(cx, socket, &mut bytes)).await
}

fn poll_write_all(cx: &mut Context<'_>, socket: &mut Socket, bytes: &mut &[u8]) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        match ready!(Pin::new(&mut *socket).poll_write(cx, bytes))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *bytes = &bytes[count..],
        }
    }
    Pin::new(socket).poll_flush(cx)
}
