//! A connection from its first moment: counted and served, or turned away.

use std::{net::SocketAddr, rc::Rc};

use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{admission::Guest, connection, forwarded::Forwarded, socket::Socket, state::State, worker::Worker};
use crate::scheme::Scheme;

impl Worker {
    /// Serves an accepted connection on this thread.
    pub(super) fn accept(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr) {
        let Some((socket, state, open)) = self.welcome(socket, peer, true) else { return };
        let connection = self.connection(Socket::Tcp(socket), Forwarded::new(peer, Scheme::Http), state);
        tokio::task::spawn_local(async move {
            connection.run().await;
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
                    let socket = Socket::Tls(Box::new(TlsStream::Server(stream)));
                    worker.connection(socket, Forwarded::new(peer, Scheme::Https), state).run().await;
                }
                Some(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                None => tracing::debug!(%peer, "TLS handshake took too long"),
            }
            drop(open);
        });
    }

    /// The same for what HTTP/2 makes of its streams; its connection is counted already.
    pub(super) fn accept_pipe(self: &Rc<Self>, socket: Socket, forwarded: Forwarded) {
        let connection = self.connection(socket, forwarded, self.state(true));
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
}

/// A connection or tunnel that is open; a drain waits for it.
pub(super) struct Open {
    worker: Rc<Worker>,
    /// Counts it for its client.
    _guest: Option<Guest>,
}

impl Open {
    pub(super) fn new(worker: Rc<Worker>, guest: Option<Guest>) -> Self {
        worker.opened();
        Self { worker, _guest: guest }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.ended();
    }
}
