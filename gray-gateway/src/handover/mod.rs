//! A restart in which no connection is refused: the new gateway takes the listening sockets over from the old one.
//!
//! Sockets are passed whole, over a unix socket (`--handover PATH`), so connections that wait in them to be accepted wait on
//! for the process that accepts next. A second set of sockets on the same port would lose those of the set that is closed.
//!
//! ```text
//! new                                        old
//!  ├─ Ask ─────────────────────────────────▶  serves on
//!  ◀───────────────── Sockets (or Refused) ─┤
//!  reads settings, hears of instances
//!  accepts, registers
//!  ├─ Ready ───────────────────────────────▶  accepts no more
//!  ◀──────────────────────────────── Closed ─┤ finishes what it has, exits
//!  takes PATH
//! ```
//!
//! Until `Ready` the old one does nothing different, so a new one that fails costs nothing; should the old one end in the
//! meantime, the new one accepts at once. Either side talks only to processes of its own user, or of root.

mod error;
mod offer;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use error::HandoverError;
pub use offer::{Offer, Successor};

use std::{
    future::Future,
    io,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use tokio::{net::UnixStream, time::timeout};

use self::wire::{MAX_SOCKETS, Message, PROTOCOL, Role, Speaker};
use crate::proxy::Sockets;

/// How long one side waits for the other to say what it says at once.
const LIMIT: Duration = Duration::from_secs(5);

/// The listening sockets of a gateway.
#[derive(Debug, Default)]
pub struct Listening {
    /// Of the proxy.
    pub proxy: Sockets,
    /// Of the admin side.
    pub admin: Vec<TcpListener>,
}

impl Listening {
    fn each(&self) -> Vec<(Role, BorrowedFd<'_>)> {
        let kinds = [(Role::Plain, &self.proxy.plain), (Role::Tls, &self.proxy.tls), (Role::Admin, &self.admin)];
        kinds.into_iter().flat_map(|(role, listeners)| listeners.iter().map(move |one| (role, one.as_fd()))).collect()
    }

    fn add(&mut self, role: Role, socket: OwnedFd) -> io::Result<()> {
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a socket that does not listen"));
        }
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        match role {
            Role::Plain => self.proxy.plain.push(listener),
            Role::Tls => self.proxy.tls.push(listener),
            Role::Admin => self.admin.push(listener),
        }
        Ok(())
    }
}

/// The gateway whose sockets we have, and which serves on until it is told.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    /// Version of the program.
    pub version: String,
    /// Process ID.
    pub process: u32,
}

impl Predecessor {
    /// Asks the gateway at this path for its sockets; `None` when there is none.
    ///
    /// # Errors
    /// When there is one that does not pass them on, or something else.
    pub async fn ask(path: &Path) -> Result<Option<(Self, Listening)>, HandoverError> {
        let Some(stream) = socket::connect(path).await? else { return Ok(None) };
        let talk = async {
            socket::check_peer(&stream)?;
            wire::send(&stream, &Message::Ask(Speaker::own()), &[]).await?;
            collect(&stream).await
        };
        let refused = |reason: String| HandoverError::Refused { path: path.into(), reason };
        match in_time(talk).await {
            Ok(Ok((listening, Speaker { version, process, .. }))) => {
                Ok(Some((Self { stream, version, process }, listening)))
            }
            Ok(Err(reason)) => Err(refused(reason)),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// Returns when it has ended without having been told anything.
    pub async fn gone(&self) {
        // It has nothing to say before we have.
        while let Ok(Some(_)) = wire::receive(&self.stream).await {}
    }

    /// Tells it that we accept, and are known to callers by `address`; returns when it accepts no more.
    ///
    /// # Errors
    /// When it has ended, or does not answer.
    pub async fn ready(&self, address: &str) -> io::Result<()> {
        let talk = async {
            wire::send(&self.stream, &Message::Ready { address: address.to_owned() }, &[]).await?;
            match wire::receive(&self.stream).await? {
                Some((Message::Closed, _)) => Ok(()),
                Some((other, _)) => Err(io::Error::other(format!("it says {other:?}"))),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        in_time(talk).await
    }
}

/// The sockets of however many messages, or why there are none.
async fn collect(stream: &UnixStream) -> io::Result<Result<(Listening, Speaker), String>> {
    let mut listening = Listening::default();
    loop {
        let (roles, more, from, sockets) = match wire::receive(stream).await? {
            Some((Message::Sockets { roles, more, from }, sockets)) => (roles, more, from, sockets),
            Some((Message::Refused(reason), _)) => return Ok(Err(reason)),
            Some((other, _)) => return Err(io::Error::other(format!("it says {other:?}"))),
            None => return Err(io::Error::other("it closed the connection")),
        };
        if roles.len() != sockets.len() {
            return Err(io::Error::other(format!("{} sockets instead of {}", sockets.len(), roles.len())));
        }
        for (role, socket) in roles.into_iter().zip(sockets) {
            listening.add(role, socket)?;
        }
        if !more {
            return Ok(Ok((listening, from)));
        }
    }
}

async fn in_time<T>(talk: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {LIMIT:?}"));
    timeout(LIMIT, talk).await.unwrap_or_else(|_| Err(silent()))
}

/// Why a gateway of this protocol cannot have our sockets.
fn stranger(asking: &Speaker) -> Option<String> {
    (asking.protocol != PROTOCOL).then(|| {
        format!(
            "it is version {} and speaks handover protocol {PROTOCOL}, the new one is version {} and speaks {}; stop it and \
             then start the new one",
            env!("CARGO_PKG_VERSION"),
            asking.version,
            asking.protocol
        )
    })
}
