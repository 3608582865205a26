//! What h2 does for a client's connection: it frames requests and answers, and what comes before an answer.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, Handshake, SendResponse},
};
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of interim responses that a client gets before one answer: h2 keeps them until they are taken, however long
/// that is.
const MAX_INTERIM_BYTES: usize = 16 * 1024;

/// A connection with a client.
pub(super) struct Wire<T> {
    progress: Progress<T>,
    is_ending: bool,
}

enum Progress<T> {
    Shaking(Handshake<T, Bytes>),
    Open(Connection<T, Bytes>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(super) fn new(builder: &Builder, stream: T) -> Self {
        Self { progress: Progress::Shaking(builder.handshake(stream)), is_ending: false }
    }

    /// Goes on as far as possible; ready when the connection is over.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut serve: impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.progress {
                Progress::Shaking(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    if self.is_ending {
                        connection.graceful_shutdown();
                    }
                    self.progress = Progress::Open(connection);
                }
                Progress::Open(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(accepted) => {
                        let (request, respond) = accepted?;
                        serve(request, respond);
                    }
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }

    /// Takes no more streams than those the client has begun.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        if let Progress::Open(connection) = &mut self.progress {
            connection.graceful_shutdown();
        }
    }
}

/// A request's body.
#[derive(Debug)]
pub(super) struct RequestBody {
    stream: RecvStream,
    /// Only trailers are to come.
    is_read: bool,
}

impl RequestBody {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, is_read: false }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_read {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // What is asked for is taken: the client may send as much again.
                    let _released = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.is_read = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// What a client was told before the answer.
#[derive(Debug, Default)]
pub(super) struct Interims {
    bytes: usize,
}

impl Interims {
    /// Passes one on, whose head as HTTP/1 has this length.
    pub(super) fn send(&mut self, respond: &mut SendResponse<Bytes>, interim: Response<()>, length: usize) {
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > MAX_INTERIM_BYTES {
            return;
        }
        if let Err(error) = respond.send_informational(interim) {
            // The client goes on without; whether it is still there shows with the answer.
            tracing::debug!(%error, "interim response not sent");
        }
    }
}

/// Sends an answer as the client's windows open, to its end or until the client resets the stream.
pub(super) async fn answer<B>(respond: &mut SendResponse<Bytes>, response: Response<B>) -> Result<(), h2::Error>
where
    B: Body<Data = Bytes, Error = io::Error> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let is_bodiless = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_bodiless)?;
    if is_bodiless {
        return Ok(());
    }
    // A part waits here for room in the client's windows. Room is asked for only when there is something to send:
    // it would be taken from the connection's other streams.
    let mut part: Option<Bytes> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(reason) = stream.poll_reset(cx)? {
                return Poll::Ready(Err(reason.into()));
            }
            if let Some(data) = &part {
                while !data.is_empty() && stream.capacity() == 0 {
                    ready!(stream.poll_capacity(cx)).ok_or(Reason::CANCEL)??;
                }
                let is_last = body.is_end_stream();
                stream.send_data(part.take().unwrap_or_default(), is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(Pin::new(&mut body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        stream.reserve_capacity(usize::from(!data.is_empty()));
                        part = Some(data);
                    }
                    Err(frame) => {
                        stream.reserve_capacity(0);
                        return Poll::Ready(stream.send_trailers(frame.into_trailers().unwrap_or_default()));
                    }
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "answer broken off");
                    return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
                }
                None => return Poll::Ready(stream.send_data(Bytes::new(), true)),
            }
        }
    })
    .await
}
