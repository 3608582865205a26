//! A client's HTTP/2 connection: its streams, each a request of the engine.

use std::{
    cell::{Cell, RefCell},
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
    super::{
        Limits, clock::ticks, connection::Connection, forwarded::Forwarded, refusal::Refusal, socket::Rest,
        state::State, worker::Worker,
    },
    downloads::{Downloads, Verdict, Waiting},
    frames::Meter,
    pipe::Pipe,
    reader::Reader,
    rewound::Rewound,
    translate::{self, Answer},
    wire::{Content, Interims, Wire, answer},
    writer::{Unwritten, Writer},
};

/// Requests of one client at the same time.
pub(super) const MAX_STREAMS: u32 = 128;
/// What a client may send of one body before an instance takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all bodies of a client.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// What may wait of one response for the client.
const MAX_WAITING: usize = 128 * 1024;
/// Mistakes of a client that are answered by resetting a stream.
const MAX_MISTAKES: usize = 100;
/// Pipes kept for the next streams of a connection.
const MAX_IDLE: usize = 32;

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
    let streams = Rc::new(Streams {
        worker: Rc::clone(&worker),
        state: Rc::clone(&state),
        forwarded: client.forwarded.clone(),
        active: Cell::new(0),
        frames: RefCell::new(Meter::new(worker.now())),
        downloads: Downloads::default(),
        rest: Rc::new(Cell::new(worker.times.rest())),
        is_cut: Cell::new(false),
        is_ending: Cell::new(false),
        idle: RefCell::default(),
    });
    let mut wire = Wire::new(&builder(&worker.limits), Rewound::new(client, Rc::clone(&streams)));
    // No time to rest before the first request.
    state.secured();
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = wire.poll(cx, |request, respond| streams.serve(request, respond)) {
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

/// What the streams of a connection share.
pub(super) struct Streams {
    pub(super) worker: Rc<Worker>,
    state: Rc<State>,
    forwarded: Forwarded,
    pub(super) active: Cell<usize>,
    /// What the client may still send that is no request.
    pub(super) frames: RefCell<Meter>,
    /// What the client may still leave where it is.
    downloads: Downloads,
    /// How long: the longest that was said of one of its answers.
    pub(super) rest: Rest,
    /// What the kernel still has for the client is of no use.
    pub(super) is_cut: Cell<bool>,
    /// No more streams are taken.
    is_ending: Cell<bool>,
    /// Pipes that wait for the next stream: kept-alive connections to the engine.
    idle: RefCell<Vec<Pipe>>,
}

/// A stream that is being served.
struct Active(Rc<Streams>);

impl Active {
    fn new(streams: &Rc<Streams>) -> Self {
        // Others do not put off the look at those that are there.
        if streams.active.replace(streams.active.get() + 1) == 0 {
            streams.state.streaming();
        }
        Self(Rc::clone(streams))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Self(streams) = self;
        streams.active.set(streams.active.get() - 1);
        if streams.active.get() == 0 {
            streams.rest.set(streams.worker.times.rest());
            streams.state.responded();
            if streams.is_ending.get() {
                streams.state.ending();
            }
        }
    }
}

impl Streams {
    fn serve(self: &Rc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let active = Active::new(self);
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

    /// Whether the client leaves its answers where they are for longer than it may.
    fn judge(&self) -> Verdict {
        let times = &self.worker.times;
        let rest = if times.is_pressed() { 0 } else { ticks(self.rest.get()) };
        self.downloads.judge(self.worker.now(), self.active.get(), times.write(), rest)
    }

    /// A pipe to the engine.
    fn pipe(&self) -> Pipe {
        while let Some(pipe) = self.idle.borrow_mut().pop() {
            if pipe.is_quiet() {
                return pipe;
            }
        }
        let (pipe, _gone, socket) = Pipe::new(Rc::clone(&self.rest));
        self.worker.accept_pipe(socket, self.forwarded.clone());
        pipe
    }
}

/// One request and its response.
async fn exchange(
    active: Active,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> io::Result<Response<Download>> {
    let Active(streams) = &active;
    let (head, body) = request.map(Content::new).into_parts();
    let mut out = Vec::with_capacity(1024);
    let framing = translate::write_request(&head, !body.is_end_stream(), &mut out);
    let framing = framing.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no request of HTTP/1"))?;
    let is_head = head.method == Method::HEAD;
    drop(head);
    let pipe = streams.pipe();
    let mut reader = Reader::new(pipe.clone());
    let mut writer = Some(Writer::new(pipe, out, framing, body, true));
    let (mut is_cut, mut interims) = (false, Interims::default());
    let Answer { response, keep_alive, .. } = poll_fn(|cx| {
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

async fn upload(mut writer: Writer<Content>) {
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
            // Nobody waits for what becomes of it.
            upload.abort();
        }
        let Active(streams) = &self.active;
        streams.downloads.end(&self.waiting);
        if self.reader.as_ref().is_none_or(Reader::is_done) {
            streams.frames.borrow_mut().answered();
        }
        let pipe = self.reader.take().and_then(Reader::into_pipe).filter(|_| self.reusable);
        let mut idle = streams.idle.borrow_mut();
        if let Some(pipe) = pipe
            && idle.len() < MAX_IDLE
        {
            idle.push(pipe);
        }
    }
}
