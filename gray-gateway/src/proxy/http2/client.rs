//! HTTP/2 connections to an instance, shared by the worker's requests: each request has a pipe, whose other end makes a
//! stream of it.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gray_common::with_causes;
use http::{Method, Request};
use http_body::{Body, Frame};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, watch};

use super::{
    pipe::{Gone, Pipe},
    reader::Reader,
    translate,
    writer::Writer,
};
use crate::{
    egress::KeptBounds,
    proxy::{
        downstream::socket::{Rest, Socket, Unusable},
        http1::is_bodiless,
        upstream::dial::{Dial, Unconnected, Within, dial},
        worker::descriptors::Descriptors,
    },
    scheme::{Protocol, Scheme},
    tls::UpstreamTls,
};

/// What an instance may send of one body before the client takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a connection: no stream that waits may stop the others.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// What may wait of one request for the instance.
const MAX_WAITING: usize = 128 * 1024;
/// Header lines of a response, in bytes, as in HTTP/1.
const MAX_HEADERS: u32 = 64 * 1024;
/// While requests wait, an instance is asked so often whether it is still there,
const PING_EVERY: Duration = Duration::from_secs(5);
/// and may take so long to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs what hyper starts on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The HTTP/2 connections to one authority: one, unless the instance takes fewer streams than there are requests.
pub(in crate::proxy) struct Http2 {
    tls: Option<Arc<UpstreamTls>>,
    descriptors: Rc<Descriptors>,
    links: RefCell<Vec<Rc<Link>>>,
    /// Held by who connects; others wait for the outcome.
    connecting: Mutex<()>,
}

/// Whom a pipe leads to.
struct Peer {
    address: Option<SocketAddr>,
    host: Box<str>,
    port: u16,
    limit: Duration,
    bounds: KeptBounds,
}

type Driven = Connection<TokioIo<Socket>, Upload, Local>;

/// One connection.
struct Link {
    sender: RefCell<SendRequest<Upload>>,
    /// Until its end: what is left of it would keep requests that are not sent any more.
    connection: Rc<RefCell<Option<Driven>>>,
    /// Ends with the connection.
    open: watch::Receiver<()>,
    /// The instance takes no more streams on it.
    is_retired: Cell<bool>,
    pipes: Cell<usize>,
    /// When it is closed for want of pipes.
    until: Cell<u64>,
}

impl Link {
    fn is_usable(&self) -> bool {
        !self.is_retired.get() && !self.sender.borrow().is_closed()
    }

    fn has_room(&self) -> bool {
        let connection = self.connection.borrow();
        connection.as_ref().is_some_and(|driven| self.pipes.get() < driven.current_max_send_streams().max(1))
    }
}

/// A pipe's hold on a connection.
struct Hold(Rc<Link>);

impl Hold {
    fn new(link: Rc<Link>) -> Self {
        link.pipes.set(link.pipes.get() + 1);
        Self(link)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.pipes.set(self.0.pipes.get() - 1);
    }
}

impl Http2 {
    pub(in crate::proxy) fn new(tls: Option<Arc<UpstreamTls>>, descriptors: Rc<Descriptors>) -> Self {
        Self { tls, descriptors, links: RefCell::default(), connecting: Mutex::default() }
    }

    /// A pipe to an instance, over a connection that is there or a new one; `limit` is for connecting anew later.
    pub(in crate::proxy) async fn pipe(
        self: &Rc<Self>,
        to: Dial<'_>,
        limit: Duration,
        within: Within,
    ) -> Result<Socket, Unconnected> {
        let bounds = to.bounds.kept();
        let peer = Peer { address: to.address, host: to.host.into(), port: to.port, limit, bounds };
        let hold = self.link(&peer, within).await?;
        let (pipe, gone, socket) = Pipe::new(Rest::default());
        let stream = Stream { http2: Rc::clone(self), peer, hold };
        tokio::task::spawn_local(async move {
            match stream.serve(&pipe, gone).await {
                Ok(()) => pipe.close(),
                Err(error) => pipe.fail(error),
            }
        });
        Ok(socket)
    }

    async fn link(&self, peer: &Peer, within: Within) -> Result<Hold, Unconnected> {
        if let Some(hold) = self.open() {
            return Ok(hold);
        }
        let _turn = within.wait("connection", self.connecting.lock()).await.map_err(Unconnected::Tcp)?;
        match self.open() {
            Some(hold) => Ok(hold),
            None => self.connect(peer, within).await,
        }
    }

    /// A connection that takes another stream.
    fn open(&self) -> Option<Hold> {
        let mut links = self.links.borrow_mut();
        links.retain(|link| link.is_usable());
        links.iter().find(|link| link.has_room()).map(|link| Hold::new(Rc::clone(link)))
    }

    /// Closes connections that were not used for long, which those without pipes from now on are at `deadline`. True when
    /// there are none.
    pub(in crate::proxy) fn sweep(&self, now: u64, deadline: u64) -> bool {
        let mut links = self.links.borrow_mut();
        links.retain(|link| {
            if link.pipes.get() > 0 || link.until.get() == u64::MAX {
                link.until.set(deadline);
            }
            link.is_usable() && now < link.until.get()
        });
        links.is_empty()
    }

    /// Closes connections without pipes that [`sweep`](Self::sweep) would close before `earliest`.
    pub(in crate::proxy) fn trim(&self, earliest: u64) {
        self.links.borrow_mut().retain(|link| link.pipes.get() > 0 || link.until.get() >= earliest);
    }

    async fn connect(&self, peer: &Peer, within: Within) -> Result<Hold, Unconnected> {
        let bounds = peer.bounds.bounds();
        let to = Dial { address: peer.address, host: &peer.host, port: peer.port, bounds };
        let socket = dial(to, self.tls.as_deref(), Protocol::Http2, within, &self.descriptors).await?;
        let shaking = Builder::new(Local)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_WAITING)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(socket));
        let shaken = within.wait("HTTP/2 connection", shaking).await.map_err(Unconnected::Tcp)?;
        let (sender, connection) = shaken.map_err(|error| Unconnected::Tcp(io::Error::other(error)))?;
        let connection = Rc::new(RefCell::new(Some(connection)));
        let (alive, open) = watch::channel(());
        let (driven, host, port) = (Rc::clone(&connection), peer.host.clone(), peer.port);
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|cx| {
                let mut driven = driven.borrow_mut();
                let ended = driven.as_mut().map_or(Poll::Ready(Ok(())), |connection| Pin::new(connection).poll(cx));
                if ended.is_ready() {
                    *driven = None;
                }
                ended
            })
            .await;
            drop(alive);
            if let Err(error) = ended {
                tracing::debug!(%host, port, %error, "HTTP/2 connection to an instance ended");
            }
        });
        let (sender, is_retired, pipes, until) = (sender.into(), Cell::default(), Cell::default(), u64::MAX.into());
        let link = Rc::new(Link { sender, connection, open, is_retired, pipes, until });
        self.links.borrow_mut().push(Rc::clone(&link));
        Ok(Hold::new(link))
    }
}

/// What serves a pipe.
struct Stream {
    http2: Rc<Http2>,
    peer: Peer,
    hold: Hold,
}

impl Stream {
    /// Serves one request after the other, as long as both ends are there; the error says why an answer has no end.
    async fn serve(mut self, pipe: &Pipe, mut gone: Gone) -> io::Result<()> {
        let scheme = if self.http2.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let reader = Rc::new(RefCell::new(Reader::new(pipe.clone())));
        loop {
            let mut open = self.hold.0.open.clone();
            let request = tokio::select! {
                biased;
                request = poll_fn(|cx| reader.borrow_mut().poll_request(cx, scheme)) => request,
                // The next request goes to a reachable instance.
                _ = open.changed() => return Ok(()),
            };
            let request = match request {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::debug!(host = %self.peer.host, %error, "request that cannot be sent as HTTP/2");
                    pipe.refuse();
                    return Ok(());
                }
            };
            let turn = reader.borrow().turn;
            let request = request.map(|()| Upload { reader: Rc::clone(&reader), turn });
            let done = tokio::select! {
                biased;
                done = self.exchange(pipe, request) => done,
                _ = &mut gone => return Ok(()),
            };
            match done {
                Ok(()) if reader.borrow().is_done() => {}
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(host = %self.peer.host, port = self.peer.port, %error, "stream broken off");
                    return Err(error);
                }
            }
        }
    }

    async fn exchange(&mut self, pipe: &Pipe, mut request: Request<Upload>) -> io::Result<()> {
        let is_head = request.method() == Method::HEAD;
        let mut is_first = true;
        let response = loop {
            let sent = self.hold.0.sender.borrow_mut().try_send_request(request);
            let mut error = match sent.await {
                Ok(response) => break response,
                Err(error) => error,
            };
            let Some(unsent) = error.take_message().filter(|_| is_first) else {
                return Err(whole(&error.into_error()));
            };
            // Not a byte of it has left: the instance has said that it will close the connection.
            (request, is_first) = (unsent, false);
            self.hold.0.is_retired.set(true);
            let within = Within::new(self.peer.limit);
            self.hold = self.http2.link(&self.peer, within).await.map_err(io::Error::other)?;
        };
        let (head, body) = response.into_parts();
        let mut out = Vec::with_capacity(512);
        let keep_alive = !self.hold.0.is_retired.get();
        let framing = translate::write_response(&head, is_head, !body.is_end_stream(), keep_alive, &mut out);
        let framing = framing.ok_or_else(|| io::Error::other(Unusable("its Content-Length is not clear")))?;
        let mut writer = if is_head || is_bodiless(head.status.as_u16()) {
            Writer::bodiless(pipe.clone(), out)
        } else {
            Writer::new(pipe.clone(), out, framing, body, false)
        };
        drop(head);
        poll_fn(|cx| writer.poll(cx)).await.map_err(io::Error::other)
    }
}

/// With its causes: hyper's errors say what has failed, and their sources why.
fn whole(error: &hyper::Error) -> io::Error {
    io::Error::other(with_causes(error))
}

/// A request's body on its way to the instance.
pub(super) struct Upload {
    reader: Rc<RefCell<Reader>>,
    /// Which of the pipe's requests it belongs to.
    turn: u64,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut reader = self.reader.borrow_mut();
        if reader.turn == self.turn { reader.poll_frame(cx) } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        let reader = self.reader.borrow();
        reader.turn != self.turn || reader.is_done()
    }
}
