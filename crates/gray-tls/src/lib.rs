//! Certificates: the PEM files they come from, what can be wrong with those, and who is believed.
//!
//! For whatever speaks TLS: gateway, registry client, services. Reads files and says in plain words what is wrong with them;
//! never opens a connection, and never depends on a runtime.

mod trust;

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::trust::{Complaint, Trust, server_name};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
};

/// Which file cannot be used, by its flag, and why.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {}: {reason}", path.display())]
pub struct TlsError {
    flag: &'static str,
    path: PathBuf,
    reason: String,
    is_missing: bool,
}

impl TlsError {
    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }
}

/// A file that a flag names.
#[derive(Clone, Debug)]
pub struct PemFile {
    flag: &'static str,
    path: PathBuf,
}

impl PemFile {
    /// A file, and the flag that named it.
    pub fn new(flag: &'static str, path: &Path) -> Self {
        Self { flag, path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Something is wrong with it.
    pub fn wrong(&self, reason: impl Into<String>) -> TlsError {
        TlsError { flag: self.flag, path: self.path.clone(), reason: reason.into(), is_missing: false }
    }

    /// What is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, TlsError> {
        fs::read(&self.path).map_err(|error| TlsError {
            is_missing: error.kind() == io::ErrorKind::NotFound,
            ..self.wrong(format!("cannot be read: {error}"))
        })
    }

    /// All certificates; at least one.
    ///
    /// # Errors
    /// If there is none, or something that is not PEM.
    pub fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| self.broken(&error))?;
        if all.is_empty() {
            return Err(self.wrong("no certificate in it (expected a PEM file with BEGIN CERTIFICATE)"));
        }
        Ok(all)
    }

    /// Mozilla's roots, and the certificates in it.
    ///
    /// # Errors
    /// As [`certificates`](Self::certificates), and when one cannot be trusted in.
    pub fn roots(&self, pem: &[u8]) -> Result<RootCertStore, TlsError> {
        let mut roots = mozilla();
        for (index, certificate) in self.certificates(pem)?.into_iter().enumerate() {
            let number = index + 1;
            roots
                .add(certificate)
                .map_err(|error| self.wrong(format!("certificate number {number} in it cannot be read: {error}")))?;
        }
        Ok(roots)
    }

    /// The first private key.
    ///
    /// # Errors
    /// If there is none, or one that cannot be used.
    pub fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            _ if contains(pem, b"ENCRYPTED") => {
                self.wrong("the private key in it has a passphrase; write it without one (openssl pkey -in .. -out ..)")
            }
            PemError::NoItemsFound => {
                self.wrong("no private key in it (expected a PEM file with BEGIN PRIVATE KEY, BEGIN RSA or BEGIN EC)")
            }
            error => self.broken(&error),
        })
    }

    fn broken(&self, error: &PemError) -> TlsError {
        self.wrong(match error {
            PemError::MissingSectionEnd { .. } => "ends in the middle: a BEGIN line without its END line".to_owned(),
            error => format!("is not a valid PEM file: {error}"),
        })
    }
}

/// The roots that browsers trust, as compiled in.
fn mozilla() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Ring, named: a process-wide default would depend on what other crates have installed.
pub fn provider() -> Arc<CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Tells changed contents from unchanged ones. Not the modification time: a file may be written twice within its
/// resolution, or replaced by an older one.
pub fn fingerprint<'p>(contents: impl IntoIterator<Item = &'p [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for content in contents {
        hasher.write_usize(content.len());
        hasher.write(content);
    }
    hasher.finish()
}
