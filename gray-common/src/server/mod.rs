//! An HTTP/1 server with limits: what serves every service.
//!
//! Each connection has time limits of its own, and there are only so many connections. When there is no room for one more,
//! the longest idle ones are closed; when none is idle, the new one is answered 503.
//!
//! | a connection that | is |
//! |---|---|
//! | has sent the beginning of a request and not the end of its head, for [`head_timeout`](Limits::head_timeout) | closed |
//! | has no request, for [`idle_timeout`](Limits::idle_timeout) | closed |
//! | sends nothing of a body that the handler waits for, for [`body_timeout`](Limits::body_timeout) | the handler gets an error; then closed |
//! | takes nothing of an answer that waits for it, for as long | closed |
//!
//! Nothing else is limited: an answer that has nothing to say for hours (server-sent events) lives on, so does a handler
//! that takes its time, and what becomes of a connection after an upgrade (websockets) is the handler's business.

mod activity;
mod connection;
mod room;
mod socket;

use std::{convert::Infallible, future::Future, io, pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use hyper::server::conn::http1;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};
use tower_service::Service;

use self::{activity::Activity, room::Room, socket::Socket};

/// Rest after a failed accept: out of file descriptors, most likely.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often a failing accept is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What a connection, and all of them, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// From a request's first byte to the end of its head; then the connection is closed.
    pub head_timeout: Duration,
    /// Without a request; then the connection is closed.
    pub idle_timeout: Duration,
    /// Without progress of a body that is waited for, in either direction. Longer than the minute for which our
    /// gateway lets a client pause: it would be us who breaks the transfer off.
    pub body_timeout: Duration,
    /// Bytes of request line and headers, at least 8 KiB; more is answered 431.
    pub max_head_bytes: usize,
    /// Open connections; beyond it the longest idle ones are closed, then new ones are answered 503. 0: no limit.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(75),
            max_head_bytes: 64 * 1024,
            max_connections: 0,
        }
    }
}

/// Serves one service on any number of listeners, all within the same limits.
#[derive(Clone, Debug)]
pub struct Server {
    limits: Arc<Limits>,
    http: http1::Builder,
    room: Arc<Room>,
}

impl Server {
    /// A server that allows so much.
    pub fn new(limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        // We time heads ourselves: hyper's clock would run while a connection is idle, too.
        http.header_read_timeout(None);
        let max_head = limits.max_head_bytes.max(8 * 1024);
        http.max_header_size(max_head).max_buf_size(max_head);
        let room = Room::new(limits.max_connections);
        Self { limits: Arc::new(limits), http, room }
    }

    /// Open connections, with those that were upgraded.
    pub fn connections(&self) -> usize {
        self.room.taken()
    }

    /// Connections turned away because there was no room.
    pub fn refused(&self) -> u64 {
        self.room.refused()
    }

    /// Connections closed, before their time, to make room.
    pub fn evicted(&self) -> u64 {
        self.room.evicted()
    }

    /// Serves until `stop`, then accepts nothing more, closes what is idle, and ends when what is in flight is finished.
    /// Dropping it cuts everything off. Handlers find the peer as [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
    pub async fn serve<S>(&self, listener: TcpListener, service: S, stop: impl Future<Output = ()>)
    where
        S: Service<Request, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let mut stop = pin!(stop);
        let (stopping, is_stopping) = watch::channel(false);
        // A set, because it ends the connections when this future is dropped.
        let mut tasks = JoinSet::new();
        let mut complained = None;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_ended) = tasks.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        if let Some(socket) = self.admit(socket, &mut tasks) {
                            let http = self.http.clone();
                            tasks.spawn(connection::serve(http, socket, peer, service.clone(), is_stopping.clone()));
                        }
                    }
                    // The client's doing, and over.
                    Err(error) if is_of_client(&error) => {}
                    Err(error) => {
                        if complained.is_none_or(|at: time::Instant| at.elapsed() >= LOG_EVERY) {
                            tracing::warn!(%error, "cannot accept connections; trying on");
                            complained = Some(time::Instant::now());
                        }
                        time::sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        while tasks.join_next().await.is_some() {}
    }

    /// The connection with its limits, or a refusal that is said beside.
    fn admit(&self, socket: TcpStream, tasks: &mut JoinSet<()>) -> Option<Socket> {
        let activity = Activity::new(Arc::clone(&self.limits));
        if let Some(place) = self.room.enter(&activity) {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY not set");
            }
            return Some(Socket::new(socket, activity, place));
        }
        if let Some(refusal) = self.room.turn_away(socket) {
            tasks.spawn(refusal);
        }
        None
    }
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;
