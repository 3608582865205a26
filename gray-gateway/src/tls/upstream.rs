//! Whose certificates the gateway believes when it calls an instance.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use gray_tls::{PemFile, TlsError, fingerprint, mozilla, provider, refusal};
use rustls::{AlertDescription, ClientConfig, Error, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::scheme::Protocol;

/// The trusted roots: Mozilla's, as compiled in, and those of a file.
#[derive(Debug, Default)]
pub struct UpstreamTls {
    file: Option<PemFile>,
    /// Of the contents in use.
    seen: AtomicU64,
    /// Built when it is first needed, unless there is a file to be checked.
    config: ArcSwapOption<Configs>,
}

/// For each protocol.
#[derive(Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Trusts the certificates of this file besides Mozilla's roots.
    ///
    /// # Errors
    /// When the file cannot be read, or has anything but certificates that may be trusted.
    pub fn with_ca(ca: &Path) -> Result<Self, TlsError> {
        let tls = Self { file: Some(PemFile::new("--upstream-ca", ca)), ..Self::default() };
        tls.reload()?;
        Ok(tls)
    }

    /// Reads the file again, if there is one. True when it has changed, which counts for new connections.
    ///
    /// # Errors
    /// As [`with_ca`](Self::with_ca); then the roots in use stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(file) = &self.file else { return Ok(false) };
        let pem = file.read()?;
        let seen = fingerprint([&*pem]);
        if self.config.load().is_some() && seen == self.seen.load(Relaxed) {
            return Ok(false);
        }
        let configs = Configs::new(file.roots(&pem)?).map_err(|error| file.wrong(error.to_string()))?;
        self.config.store(Some(Arc::new(configs)));
        self.seen.store(seen, Relaxed);
        Ok(true)
    }

    /// The file that is followed.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(PemFile::path)
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
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "no certificate can be for a host of this name")
        })?;
        let configs = self.configs().map_err(io::Error::other)?;
        let connector = TlsConnector::from(match protocol {
            Protocol::Http1 => Arc::clone(&configs.http1),
            Protocol::Http2 => Arc::clone(&configs.http2),
        });
        let stream = connector.connect(name, socket).await.map_err(|error| explain(&error, host))?;
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
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "no certificate can be for a host of this name")
        })?;
        let mut config = ClientConfig::clone(&self.configs().map_err(io::Error::other)?.http1);
        config.alpn_protocols.clear();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await.map_err(|error| explain(&error, host))
    }

    fn configs(&self) -> Result<Arc<Configs>, Error> {
        if let Some(configs) = self.config.load_full() {
            return Ok(configs);
        }
        let configs = Arc::new(Configs::new(mozilla())?);
        self.config.store(Some(Arc::clone(&configs)));
        Ok(configs)
    }
}

const NO_HTTP2: &str = "it does not speak HTTP/2 over TLS (ALPN h2), as the route's metadata.protocol wants";

impl Configs {
    fn new(roots: RootCertStore) -> Result<Self, Error> {
        let mut http1 = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![Protocol::Http1.alpn().to_vec()];
        http2.alpn_protocols = vec![Protocol::Http2.alpn().to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2) })
    }
}

/// Says in plain words why there was no handshake.
fn explain(error: &io::Error, host: &str) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let text = match cause {
        Some(Error::InvalidCertificate(certificate)) => refusal(certificate, host, "--upstream-ca"),
        Some(Error::InvalidMessage(_)) => "it does not speak TLS; is the route meant for http:// or lb://?".to_owned(),
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it speaks another HTTP over TLS (ALPN) than the route's metadata.protocol".to_owned()
        }
        Some(cause) => format!("no TLS handshake: {cause}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it hung up during the TLS handshake".to_owned(),
        None => format!("no TLS handshake: {error}"),
    };
    io::Error::new(error.kind(), text)
}
