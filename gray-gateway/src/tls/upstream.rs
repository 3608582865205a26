//! Whose certificates the gateway believes when it calls an instance.

use std::{io, path::Path};

use gray_tls::{TlsError, Trust, server_name};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::scheme::Protocol;

/// The trusted roots: Mozilla's, as compiled in, and those of a file.
#[derive(Debug)]
pub struct UpstreamTls(Trust);

/// What names more CAs.
const FLAG: &str = "--upstream-ca";

impl Default for UpstreamTls {
    fn default() -> Self {
        Self(Trust::mozilla(FLAG))
    }
}

impl UpstreamTls {
    /// Trusts Mozilla's roots, and the certificates of this file (`--upstream-ca`).
    ///
    /// # Errors
    /// When the file cannot be read, or has anything but certificates that may be trusted.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        Trust::new(FLAG, ca).map(Self)
    }

    /// Reads the file again, if there is one. True when it has changed, which counts for new connections.
    ///
    /// # Errors
    /// As [`new`](Self::new); then the roots in use stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.0.reload()
    }

    /// The file that is followed.
    pub fn path(&self) -> Option<&Path> {
        self.0.path()
    }

    /// Shakes hands with `host`, a name or an address, whose certificate must be for exactly that.
    ///
    /// # Errors
    /// In words for the log.
    pub(crate) async fn connect(
        &self,
        host: &str,
        protocol: Protocol,
        socket: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.shake(host, vec![protocol.alpn().to_vec()], socket).await?;
        // To say nothing means HTTP/1.1.
        if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(protocol.alpn()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, NO_HTTP2));
        }
        Ok(stream)
    }

    /// The same without an agreement on what is spoken (ALPN): for what is not HTTP.
    ///
    /// # Errors
    /// In words for the log.
    pub(crate) async fn connect_bare(&self, host: &str, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.shake(host, Vec::new(), socket).await
    }

    async fn shake(&self, host: &str, spoken: Vec<Vec<u8>>, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.0.config()?);
        let shaken = connector.with_alpn(spoken).connect(server_name(host)?, socket).await;
        shaken.map_err(|error| self.0.explain(&error, host))
    }
}

const NO_HTTP2: &str = "it does not speak HTTP/2 over TLS (ALPN h2), as the route's metadata.protocol wants";
