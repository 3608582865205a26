//! Whose certificates are believed.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, pki_types::ServerName};

use crate::{PemFile, TlsError, fingerprint, mozilla, provider};

/// The trusted roots: Mozilla's, as compiled in, and those of a file, which may be read again.
#[derive(Debug)]
pub struct Trust {
    flag: &'static str,
    file: Option<PemFile>,
    /// Of the contents in use.
    seen: AtomicU64,
    /// Built when it is first needed, unless there is a file to be checked.
    config: ArcSwapOption<ClientConfig>,
}

impl Trust {
    /// Mozilla's roots, and the certificates of this file; `flag` is what names it, or would.
    ///
    /// # Errors
    /// When the file cannot be read, or has anything but certificates that may be trusted.
    pub fn new(flag: &'static str, file: Option<&Path>) -> Result<Self, TlsError> {
        let trust = Self { file: file.map(|path| PemFile::new(flag, path)), ..Self::mozilla(flag) };
        trust.reload()?;
        Ok(trust)
    }

    /// Mozilla's roots alone; `flag` would name more.
    pub fn mozilla(flag: &'static str) -> Self {
        Self { flag, file: None, seen: AtomicU64::default(), config: ArcSwapOption::empty() }
    }

    /// Reads the file again, if there is one. True when it has changed, which counts for new connections.
    ///
    /// # Errors
    /// As [`new`](Self::new); then the roots in use stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(file) = &self.file else { return Ok(false) };
        let pem = file.read()?;
        let seen = fingerprint([&*pem]);
        if self.config.load().is_some() && seen == self.seen.load(Relaxed) {
            return Ok(false);
        }
        let config = client_config(file.roots(&pem)?).map_err(|error| file.wrong(error.to_string()))?;
        self.config.store(Some(Arc::new(config)));
        self.seen.store(seen, Relaxed);
        Ok(true)
    }

    /// The file that may be read again.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(PemFile::path)
    }

    /// What a handshake goes by.
    ///
    /// # Errors
    /// When the cryptography is not what it should be.
    pub fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.load_full() {
            return Ok(config);
        }
        let config = Arc::new(client_config(mozilla()).map_err(io::Error::other)?);
        self.config.store(Some(Arc::clone(&config)));
        Ok(config)
    }

    /// Says in plain words why there was no handshake with `host`.
    pub fn explain(&self, error: &io::Error, host: &str) -> io::Error {
        let text = match error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(certificate)) => refusal(certificate, host, self.flag),
            Some(Error::InvalidMessage(_)) => "it does not speak TLS; is it plain http?".to_owned(),
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                "it speaks another HTTP over TLS (ALPN) than it is asked for".to_owned()
            }
            Some(cause) => format!("no TLS handshake: {cause}"),
            None if error.kind() == io::ErrorKind::UnexpectedEof => "it hung up during the TLS handshake".to_owned(),
            None => format!("no TLS handshake: {error}"),
        };
        io::Error::new(error.kind(), text)
    }
}

/// The name, or the address, that a certificate has to be for.
///
/// # Errors
/// When no certificate can be for it.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "no certificate can be for a host of this name");
    ServerName::try_from(host.to_owned()).map_err(invalid)
}

/// TLS 1.2 and 1.3, no certificate of our own.
fn client_config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Says in plain words why a certificate of `host` is not accepted. `ca` is the flag that names more to believe.
fn refusal(error: &CertificateError, host: &str, ca: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            format!("its certificate is not signed by a CA that is trusted here; {ca} names a file with more CAs")
        }
        CertificateError::NotValidForName => format!("its certificate is not for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is not for {host} but for {}", presented.join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate is out of date: {error}")
        }
        error => format!("its certificate is not accepted: {error}"),
    }
}

/// Complains once about each problem of a file that is read again and again, and only when it is there twice in a row: while an
/// operator replaces certificate and key one after the other, they do not fit for a moment.
#[derive(Debug, Default)]
pub struct Complaint {
    problem: String,
    seen: u32,
}

impl Complaint {
    /// Whether this is to be said now.
    pub fn is_due(&mut self, outcome: &Result<bool, TlsError>) -> bool {
        let problem = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if problem.is_empty() {
            *self = Self::default();
            return false;
        }
        if problem != self.problem {
            *self = Self { problem, seen: 0 };
        }
        self.seen = self.seen.saturating_add(1);
        self.seen == 2
    }

    /// Whether the problem has been there twice in a row.
    pub fn is_settled(&self) -> bool {
        self.seen >= 2
    }
}
