//! Connections to instances.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::socket::Socket;
use crate::tls::UpstreamTls;

/// Whom to dial: the registry's or the configuration's word, never the request's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial<'d> {
    pub(super) address: Option<SocketAddr>,
    pub(super) host: &'d str,
    pub(super) port: u16,
}

/// A new connection, TLS handshake included, within `limit`.
pub(super) async fn connect(dial: Dial<'_>, tls: Option<&UpstreamTls>, limit: Duration) -> io::Result<Socket> {
    let connecting = async {
        let socket = match dial.address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((dial.host, dial.port)).await?,
        };
        socket.set_nodelay(true)?;
        match tls {
            None => Ok(Socket::Tcp(socket)),
            Some(tls) => Ok(Socket::Tls(Box::new(TlsStream::Client(tls.connect(dial.host, socket).await?)))),
        }
    };
    // In a box: a request that finds a connection does not carry the room for a handshake.
    match Box::pin(tokio::time::timeout(limit, connecting)).await {
        Ok(connected) => connected,
        Err(_) => {
            let what = if tls.is_some() { "TLS connection" } else { "connection" };
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {limit:?}")))
        }
    }
}
