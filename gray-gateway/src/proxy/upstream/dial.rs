//! Connections to instances.

use std::{future::Future, io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsStream;

use crate::{
    proxy::{
        downstream::socket::Socket,
        worker::{
            buffer::{Buffers, Received},
            descriptors::Descriptors,
        },
    },
    scheme::Protocol,
    tls::UpstreamTls,
};

/// Whom to dial: the registry's or the configuration's word, never the request's.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Dial<'d> {
    pub(in crate::proxy) address: Option<SocketAddr>,
    pub(in crate::proxy) host: &'d str,
    pub(in crate::proxy) port: u16,
}

/// A connection to an instance, in use.
pub(in crate::proxy) struct Upstream {
    pub(in crate::proxy) socket: Socket,
    pub(in crate::proxy) received: Received,
}

impl Upstream {
    /// Over which nothing was received for the request at hand.
    pub(super) fn new(socket: Socket, buffers: &Rc<Buffers>) -> Self {
        Self { socket, received: Received::new(buffers) }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Unconnected {
    /// It was not accepted.
    #[error("{0}")]
    Tcp(io::Error),
    /// It was accepted, but there is no TLS on it that can be trusted.
    #[error("{0}")]
    Tls(io::Error),
}

/// Until when something has to happen, and how long that was at first.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Within {
    until: Instant,
    limit: Duration,
}

impl Within {
    pub(in crate::proxy) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { until: now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400)), limit }
    }

    /// Waits for it; `what` there is none of when it takes too long.
    pub(in crate::proxy) async fn wait<T>(self, what: &str, future: impl Future<Output = T>) -> io::Result<T> {
        tokio::time::timeout_at(self.until, future)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {:?}", self.limit)))
    }
}

/// A new connection.
pub(in crate::proxy) async fn dial(
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
