//! The gateway's own certificate.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use gray_tls::{PemFile, TlsError, fingerprint, provider};
use rustls::{
    Error, ServerConfig,
    crypto::ring::Ticketer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::scheme::Protocol;

/// A certificate, its key, and the files they come from.
#[derive(Debug)]
pub struct ServerTls {
    files: Files,
    /// Of the contents in use.
    seen: AtomicU64,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Files {
    certificate: PemFile,
    key: PemFile,
}

/// What the next handshake shows.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Reads both files: the certificate with its chain, and its key.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: PemFile::new("--tls-cert", certificate), key: PemFile::new("--tls-key", key) };
        let (seen, pair) = files.read()?;
        let current = Arc::new(Current(ArcSwap::from_pointee(files.certified(&pair)?)));
        let unusable = |error: Error| files.certificate.wrong(error.to_string());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        // A client that offers HTTP/1.0 alone is served as without ALPN, not turned away.
        config.alpn_protocols =
            [Protocol::Http2.alpn(), Protocol::Http1.alpn(), b"http/1.0"].map(<[u8]>::to_vec).into();
        // Sessions live in the clients' tickets: a table of ours would be full after 256 of them.
        config.ticketer = Ticketer::new().map_err(unusable)?;
        Ok(Self { files, seen: AtomicU64::new(seen), current, config: Arc::new(config) })
    }

    /// Reads the files again. True when there is a new certificate, which counts from now on.
    ///
    /// # Errors
    /// As [`load`](Self::load); then the certificate in use stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let (seen, pair) = self.files.read()?;
        if seen == self.seen.load(Relaxed) {
            return Ok(false);
        }
        self.current.0.store(Arc::new(self.files.certified(&pair)?));
        self.seen.store(seen, Relaxed);
        Ok(true)
    }

    /// Where the certificate comes from.
    pub fn path(&self) -> &Path {
        self.files.certificate.path()
    }

    /// Accepts handshakes with whatever certificate is current.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }
}

/// Contents of certificate and key.
type Pair = (Vec<u8>, Vec<u8>);

impl Files {
    fn read(&self) -> Result<(u64, Pair), TlsError> {
        let pair = (self.certificate.read()?, self.key.read()?);
        Ok((fingerprint([&*pair.0, &*pair.1]), pair))
    }

    fn certified(&self, (certificate, key): &Pair) -> Result<CertifiedKey, TlsError> {
        let chain = self.certificate.certificates(certificate)?;
        let key = self.key.private_key(key)?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                let certificate = self.certificate.path().display();
                self.key.wrong(format!("is not the key of the first certificate in {certificate}"))
            }
            Error::InvalidCertificate(error) => {
                self.certificate.wrong(format!("the first certificate in it cannot be read: {error}"))
            }
            error => self.key.wrong(format!("the private key in it cannot be used: {error}")),
        })
    }
}
