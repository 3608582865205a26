//! A client's HTTP/2 connection: its streams, each a request of the engine.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use tokio::task::AbortHandle;

use super::{
    downloads::{Verdict, Waiting},
    frames::MAX_STREAMS,
    reader::Reader,
    rewound::Rewound,
    streams::{Active, Streams},
    translate::{self, Translated},
    wire::{Interims, RequestBody, Wire, answer},
    writer::{Unwritten, Writer},
};
use crate::proxy::{Limits, downstream::connection::Connection, response::refusal::Refusal};

/// What a client may send of one body before an instance takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all bodies of a client.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// What may wait of one response for the client.
const MAX_WAITING: usize = 128 * 1024;
/// Mistakes of a client that are answered by resetting a stream.
const MAX_MISTAKES: usize = 100;

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MAX_WAITING)
        .max_local_error_reset_streams(Some(MAX_MISTAKES))
        // The engine refuses what is too long for it; only what is far beyond that is left to h2.
        .max_header_list_size(u32::try_from(limits.max_head_bytes.saturating_mul(2)).unwrap_or(u32::MAX));
    builder
}

/// Serves a connection whose first bytes were the preface of HTTP/2, to its end.
///
/// Without streams it is closed after the idle timeout; when the worker drains, what has begun is finished.
pub(in crate::proxy) async fn serve(client: Connection) {
    let (worker, state) = (Rc::clone(&client.worker), Rc::clone(&client.state));
    let streams = Rc::new(Streams::new(Rc::clone(&worker), Rc::clone(&state), client.forwarded.clone()));
    let mut wire = Wire::new(&builder(&worker.limits), Rewound::new(client, Rc::clone(&streams)));
    // No time to rest before the first request.
    state.secured();
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = wire.poll(cx, |request, respond| serve_stream(&streams, request, respond)) {
                return Poll::Ready(Some(ended));
            }
            if streams.active.get() > 0 && state.is_overdue() {
                match streams.judge() {
                    Verdict::Fine => {}
                    Verdict::GivenUp(count) => worker.stats().refused_many(Refusal::WriteTimeout, count),
                    Verdict::Stuck => {
                        worker.stats().refused(Refusal::WriteTimeout);
                        streams.is_cut.set(true);
                        return Poll::Ready(None);
                    }
                }
                state.streaming();
            }
            match (streams.is_ending.get(), state.is_overdue()) {
                (true, true) => return Poll::Ready(None),
                (true, false) => return Poll::Pending,
                (false, false) if !worker.is_leaving() => return Poll::Pending,
                (false, _) => {
                    wire.end();
                    streams.is_ending.set(true);
                    if streams.active.get() == 0 {
                        state.ending();
                    }
                }
            }
        }
    })
    .await;
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "HTTP/2 connection ended"),
        None => tracing::debug!("HTTP/2 connection cut off: the client did not end it"),
    }
}

/// Serves one stream, in a task of its own.
fn serve_stream(streams: &Rc<Streams>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let active = Active::new(streams);
    tokio::task::spawn_local(async move {
        let ended = match exchange(active, request, &mut respond).await {
            Ok(response) => send(&mut respond, response).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "stream broken off");
            respond.send_reset(match error.kind() {
                io::ErrorKind::InvalidInput => Reason::PROTOCOL_ERROR,
                io::ErrorKind::TimedOut => Reason::CANCEL,
                _ => Reason::INTERNAL_ERROR,
            });
        }
    });
}

/// One request and its response.
async fn exchange(
    active: Active,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> io::Result<Response<Download>> {
    let Active(streams) = &active;
    let (head, body) = request.map(RequestBody::new).into_parts();
    let mut out = Vec::with_capacity(1024);
    let framing = translate::write_request(&head, !body.is_end_stream(), &mut out);
    let framing = framing.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no request of HTTP/1"))?;
    let is_head = head.method == Method::HEAD;
    drop(head);
    let pipe = streams.pipe();
    let mut reader = Reader::new(pipe.clone());
    let mut writer = Some(Writer::new(pipe, out, framing, body, true));
    let (mut is_cut, mut interims) = (false, Interims::default());
    let Translated { response, keep_alive, .. } = poll_fn(|cx| {
        if let Some(Poll::Ready(written)) = writer.as_mut().map(|writer| writer.poll(cx)) {
            writer = None;
            match written {
                Ok(()) => {}
                Err(Unwritten::Source(error)) => return Poll::Ready(Err(io::Error::other(error))),
                // The response may say why.
                Err(Unwritten::Sink(_)) => is_cut = true,
            }
        }
        let polled = reader.poll_answer(cx, is_head, |interim, length| interims.send(respond, interim, length));
        if polled.is_pending()
            && let Poll::Ready(reset) = respond.poll_reset(cx)
        {
            let reason = reset.map_or_else(io::Error::other, |reason| io::Error::other(h2::Error::from(reason)));
            return Poll::Ready(Err(reason));
        }
        polled
    })
    .await?;
    // The response has begun before the end of the request: from now on they go their own ways.
    let upload = writer.map(|writer| tokio::task::spawn_local(upload(writer)).abort_handle());
    let reusable = keep_alive && !is_cut && upload.is_none();
    let waiting = streams.downloads.begin(streams.worker.now());
    Ok(response.map(|()| Download { reader: Some(reader), reusable, upload, waiting, active }))
}

/// Sends an answer to its end, unless the client takes nothing of it.
async fn send(respond: &mut SendResponse<Bytes>, response: Response<Download>) -> io::Result<()> {
    let Download { waiting, active: Active(streams), .. } = response.body();
    let (waiting, streams) = (Rc::clone(waiting), Rc::clone(streams));
    let mut answering = pin!(answer(respond, response));
    poll_fn(|cx| {
        if waiting.is_given_up(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of the answer")));
        }
        answering.as_mut().poll(cx).map_err(io::Error::other)
    })
    .await?;
    streams.downloads.moved(streams.worker.now());
    Ok(())
}

async fn upload(mut writer: Writer<RequestBody>) {
    if let Err(error) = poll_fn(|cx| writer.poll(cx)).await {
        tracing::debug!(%error, "request not sent to its end");
        writer.break_off();
    }
}

/// A response on its way to the client; dropped with it, however it ends.
struct Download {
    reader: Option<Reader>,
    reusable: bool,
    /// The rest of the request.
    upload: Option<AbortHandle>,
    waiting: Rc<Waiting>,
    active: Active,
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.waiting.asked() {
            let Active(streams) = &self.active;
            streams.downloads.moved(streams.worker.now());
        }
        let polled = self.reader.as_mut().map_or(Poll::Ready(None), |reader| reader.poll_frame(cx));
        if polled.is_ready() {
            let Active(streams) = &self.active;
            self.waiting.given(streams.worker.now());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.reader.as_ref().is_none_or(Reader::is_done)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            // Its outcome is not waited for.
            upload.abort();
        }
        let Active(streams) = &self.active;
        streams.downloads.end(&self.waiting);
        if self.reader.as_ref().is_none_or(Reader::is_done) {
            streams.frames.borrow_mut().answered();
        }
        if let Some(pipe) = self.reader.take().and_then(Reader::into_pipe).filter(|_| self.reusable) {
            streams.keep(pipe);
        }
    }
}
