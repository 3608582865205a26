//! Connections to instances.

use std::{future::Future, io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsStream;

use super::{buffer::Received, descriptors::Descriptors, socket::Socket};
use crate::{scheme::Protocol, tls::UpstreamTls};

/// Whom to dial: the registry's or the configuration's word, never the request's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial<'d> {
    pub(super) address: Option<SocketAddr>,
    pub(super) host: &'d str,
    pub(super) port: u16,
}

/// A connection to an instance, in use.
pub(super) struct Upstream {
    pub(super) socket: Socket,
    pub(super) received: Received,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unconnected {
    /// It was not accepted.
    #[error("{0}")]
    Tcp(io::Error),
    /// It was accepted, but there is no TLS on it that can be trusted.
    #[error("{0}")]
    Tls(io::Error),
}

/// Until when something has to happen, and how long that was at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    until: Instant,
    limit: Duration,
}

impl Within {
    pub(super) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { until: now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400)), limit }
    }

    /// Waits for it; `what` there is none of when it takes too long.
    pub(super) async fn wait<T>(self, what: &str, future: impl Future<Output = T>) -> io::Result<T> {
        tokio::time::timeout_at(self.until, future)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {:?}", self.limit)))
    }
}

/// A new connection.
pub(super) async fn dial(
    to: Dial<'_>,
    tls: Option<&UpstreamTls>,
    protocol: Protocol,
    within: Within,
    descriptors: &Rc<Descriptors>,
) -> Result<Socket, Unconnected> {
    let descriptor = descriptors.take().map_err(Unconnected::Tcp)?;
    let connecting = async {
        let socket = match to.address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((to.host, to.port)).await?,
        };
        socket.set_nodelay(true).map(|()| socket)
    };
    let socket = within.wait("connection", connecting).await.flatten().map_err(Unconnected::Tcp)?;
    match tls {
        None => Ok(Socket::Tcp(socket, Some(descriptor))),
        Some(tls) => {
            let shaking = within.wait("TLS connection", tls.connect(to.host, protocol, socket)).await;
            let stream = shaking.flatten().map_err(Unconnected::Tls)?;
            Ok(Socket::Tls(Box::new(TlsStream::Client(stream)), Some(descriptor)))
        }
    }
}
