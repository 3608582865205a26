//! A connection from its first moment: counted and served, or turned away.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::admission::Guest;
use crate::{
    proxy::{
        downstream::{
            connection::{self, Connection},
            socket::{Socket, let_rest},
            state::{State, Watch},
        },
        http2,
        request::forwarded::Forwarded,
        response::refusal::Refusal,
        worker::local::Worker,
    },
    scheme::Scheme,
};

/// Idle connections that are closed at once when there is no room: to look for them costs a look at all.
const EVICTED_AT_ONCE: usize = 32;
/// How long a client may take to hear one.
const SAY: Duration = Duration::from_secs(1);
/// What the kernel takes of an answer beyond what the client's window has room for. It would take megabytes, at the expense of
/// memory, and show nothing while a client reads them.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 64 * 1024;

/// Goes on with a connection that is HTTP/2, if it is.
async fn go_on(handed_back: Option<(Connection, Watch)>) {
    if let Some((client, _watch)) = handed_back {
        // In a box: a connection over HTTP/1 does not carry the room for it.
        Box::pin(http2::serve(client)).await;
    }
}

impl Worker {
    /// Serves an accepted connection on this thread.
    pub(in crate::proxy) fn accept(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr) {
        let Some((socket, state, open)) = self.welcome(socket, peer, true) else { return };
        let (socket, forwarded) = (Socket::Tcp(socket, None), Forwarded::new(peer, Scheme::Http));
        let connection = Connection::new(Rc::clone(self), state, forwarded, socket);
        tokio::task::spawn_local(async move {
            go_on(connection.run().await).await;
            drop(open);
        });
    }

    /// The same after a TLS handshake.
    pub(super) fn accept_tls(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr, tls: &TlsAcceptor) {
        let Some((socket, state, open)) = self.welcome(socket, peer, false) else { return };
        let (worker, handshake) = (Rc::clone(self), tls.accept(socket));
        tokio::task::spawn_local(async move {
            match connection::secure(handshake, &state, &worker).await {
                Some(Ok(stream)) => {
                    let socket = Socket::Tls(Box::new(TlsStream::Server(stream)), None);
                    let connection = Connection::new(worker, state, Forwarded::new(peer, Scheme::Https), socket);
                    go_on(connection.run().await).await;
                }
                Some(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                None => tracing::debug!(%peer, "TLS handshake took too long"),
            }
            drop(open);
        });
    }

    /// The same for what HTTP/2 makes of its streams; its connection is counted already.
    pub(in crate::proxy) fn accept_pipe(self: &Rc<Self>, socket: Socket, forwarded: Forwarded) {
        let connection = Connection::new(Rc::clone(self), self.state(true), forwarded, socket);
        // Not HTTP/2, which it comes of.
        tokio::task::spawn_local(connection.run());
    }

    /// From here on the connection is counted, unless it is turned away.
    fn welcome(
        self: &Rc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        is_plain: bool,
    ) -> Option<(TcpStream, Rc<State>, Open)> {
        let guest = match self.admit(peer.ip()) {
            Ok(guest) => guest,
            Err(why) => {
                self.turn_away(socket, why, is_plain);
                return None;
            }
        };
        if let Err(error) = socket.set_nodelay(true) {
            // The client is gone already.
            tracing::debug!(%error, "connection dropped");
            return None;
        }
        self.limit_silence(&socket);
        if self.open() == 0 {
            self.clock.catch_up();
        }
        Some((socket, self.state(false), Open::new(Rc::clone(self), guest)))
    }

    /// Whether one more connection may come, and what counts it.
    fn admit(&self, peer: IpAddr) -> Result<Option<Guest>, Refusal> {
        let limits = &self.limits;
        self.pool.make_room();
        let are_too_many = limits.max_connections > 0 && self.connections_of_all() >= limits.max_connections as u64;
        if (are_too_many || self.descriptors.is_full()) && !self.make_room() {
            return Err(Refusal::Connections);
        }
        if limits.max_connections_per_client == 0 || self.snapshot().trusted_hops.contains(peer) {
            return Ok(None);
        }
        let guest = self.admission.enter(peer, limits.max_connections_per_client);
        guest.map(Some).ok_or(Refusal::ClientConnections)
    }

    /// Closes the connections that have been idle for longest.
    fn make_room(&self) -> bool {
        self.admission.make_room(self.now(), || {
            let evicted = self.connections.evict(EVICTED_AT_ONCE);
            self.stats().refused_many(Refusal::Evicted, evicted);
            evicted
        })
    }

    /// Turns a connection away; says why if that is not too much to ask.
    fn turn_away(&self, mut socket: TcpStream, why: Refusal, is_plain: bool) {
        self.stats().refused(why);
        if !is_plain {
            return;
        }
        let Some(saying) = self.admission.say() else { return };
        tokio::task::spawn_local(async move {
            let say = async {
                socket.write_all(answer(why).as_bytes()).await?;
                socket.shutdown().await?;
                // Closing while the request is unread would take the answer back.
                let mut ignored = [0; 1024];
                while socket.read(&mut ignored).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            // Whether it was heard makes no difference.
            let _heard = timeout(SAY, say).await;
            drop(saying);
        });
    }

    /// Has the kernel cut off a client whose window stays shut, and show when one reads slowly.
    fn limit_silence(&self, socket: &TcpStream) {
        let limited = let_rest(socket, self.limits.write_timeout);
        #[cfg(target_os = "linux")]
        let limited = limited.and_then(|()| SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT));
        if let Err(error) = limited {
            tracing::debug!(%error, "slow readers may be noticed late");
        }
    }
}

fn answer(why: Refusal) -> String {
    let (code, reason, msg) = match why {
        Refusal::ClientConnections => (429, "Too Many Requests", "too many connections from this address"),
        _ => (503, "Service Unavailable", "the gateway has too many connections"),
    };
    let body = format!(r#"{{"code":{code},"msg":"{msg}","data":null,"success":false,"fail":true}}"#);
    format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A connection or tunnel that is open; a drain waits for it.
pub(in crate::proxy) struct Open {
    worker: Rc<Worker>,
    /// Counts it for its client.
    _guest: Option<Guest>,
}

impl Open {
    pub(in crate::proxy) fn new(worker: Rc<Worker>, guest: Option<Guest>) -> Self {
        worker.opened();
        Self { worker, _guest: guest }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.ended();
    }
}
