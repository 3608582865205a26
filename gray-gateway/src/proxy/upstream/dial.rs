//! Connections to instances.

use std::{future::Future, io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsStream;

use crate::{
    egress::{Bounds, Denial},
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

/// Whom to dial: the registry's or the configuration's word, or what an egress was asked for within its bounds.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Dial<'d> {
    pub(in crate::proxy) address: Option<SocketAddr>,
    pub(in crate::proxy) host: &'d str,
    pub(in crate::proxy) port: u16,
    /// Of an egress: what may be connected to at all.
    pub(in crate::proxy) bounds: Bounds<'d>,
}

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

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
    /// It may not be connected to.
    #[error("{0}")]
    Denied(Denial),
}

impl Unconnected {
    fn tcp(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Denial>()) {
            Some(why) => Self::Denied(*why),
            None => Self::Tcp(error),
        }
    }
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
        let socket = match (to.bounds, to.address) {
            (Bounds::None, Some(address)) => TcpStream::connect(address).await?,
            (Bounds::None, None) => TcpStream::connect((to.host, to.port)).await?,
            // Rare, and too large for the task of every connection.
            (bounds, _) => Box::pin(connect_within(bounds, to)).await?,
        };
        socket.set_nodelay(true).map(|()| socket)
    };
    let socket = within.wait("connection", connecting).await.flatten().map_err(Unconnected::tcp)?;
    match tls {
        None => Ok(Socket::Tcp(socket, Some(descriptor))),
        Some(tls) => {
            let shaking = within.wait("TLS connection", tls.connect(to.host, protocol, socket)).await;
            let stream = shaking.flatten().map_err(Unconnected::Tls)?;
            Ok(Socket::Tls(Box::new(TlsStream::Client(stream)), Some(descriptor)))
        }
    }
}

/// A connection to the first address that is allowed and accepts. What was judged is what is connected to.
async fn connect_within(bounds: Bounds<'_>, to: Dial<'_>) -> io::Result<TcpStream> {
    let denied = |why: Denial| io::Error::other(why);
    let addresses: Vec<SocketAddr> = match to.address {
        Some(address) => vec![address],
        None => tokio::net::lookup_host((to.host, to.port)).await?.take(MAX_ADDRESSES).collect(),
    };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        if let Err(why) = bounds.judge(to.host, address) {
            failed = denied(why);
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // Whatever the address was called: it is this machine if both ends have the same one.
                let (here, there) = (socket.local_addr()?, socket.peer_addr()?);
                if here.ip().to_canonical() == there.ip().to_canonical() {
                    bounds.judge_own(there.port()).map_err(denied)?;
                }
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
