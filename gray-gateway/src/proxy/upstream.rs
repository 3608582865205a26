//! Connections to instances.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::{descriptors::Descriptors, pool::Bucket, socket::Socket};
use crate::{scheme::Protocol, tls::UpstreamTls};

/// Whom to dial: the registry's or the configuration's word, never the request's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial<'d> {
    pub(super) address: Option<SocketAddr>,
    pub(super) host: &'d str,
    pub(super) port: u16,
}

/// A new connection, TLS handshake included, within `limit`. With HTTP/2 a pipe over a connection that may be there already.
pub(super) async fn connect(to: Dial<'_>, bucket: &Bucket, limit: Duration) -> io::Result<Socket> {
    let connecting = async {
        match bucket.http2() {
            None => dial(to, bucket.tls(), Protocol::Http1, bucket.descriptors()).await,
            Some(http2) => http2.pipe(to, limit).await,
        }
    };
    // In a box: a request that finds a connection does not carry the room for a handshake.
    match Box::pin(tokio::time::timeout(limit, connecting)).await {
        Ok(connected) => connected,
        Err(_) => {
            let what = if bucket.tls().is_some() { "TLS connection" } else { "connection" };
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {limit:?}")))
        }
    }
}

/// A new connection without a limit in time.
pub(super) async fn dial(
    to: Dial<'_>,
    tls: Option<&UpstreamTls>,
    protocol: Protocol,
    descriptors: &Rc<Descriptors>,
) -> io::Result<Socket> {
    let descriptor = descriptors.take()?;
    let socket = match to.address {
        Some(address) => TcpStream::connect(address).await?,
        None => TcpStream::connect((to.host, to.port)).await?,
    };
    socket.set_nodelay(true)?;
    match tls {
        None => Ok(Socket::Tcp(socket, Some(descriptor))),
        Some(tls) => {
            let stream = TlsStream::Client(tls.connect(to.host, protocol, socket).await?);
            Ok(Socket::Tls(Box::new(stream), Some(descriptor)))
        }
    }
}
