//! PEM files, and what can be wrong with them.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject},
};

/// Which file cannot be used, by its flag, and why.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {}: {reason}", path.display())]
pub struct TlsError {
    flag: &'static str,
    path: PathBuf,
    reason: String,
}

/// A file that a flag names.
#[derive(Clone, Debug)]
pub(super) struct PemFile {
    flag: &'static str,
    path: PathBuf,
}

impl PemFile {
    pub(super) fn new(flag: &'static str, path: &Path) -> Self {
        Self { flag, path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> TlsError {
        TlsError { flag: self.flag, path: self.path.clone(), reason: reason.into() }
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, TlsError> {
        fs::read(&self.path).map_err(|error| self.wrong(format!("cannot be read: {error}")))
    }

    /// All certificates; at least one.
    pub(super) fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| self.broken(&error))?;
        if all.is_empty() {
            return Err(self.wrong("no certificate in it (expected a PEM file with BEGIN CERTIFICATE)"));
        }
        Ok(all)
    }

    /// The first private key.
    pub(super) fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
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
            error => format!("is no proper PEM file: {error}"),
        })
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Tells changed contents from unchanged ones. Not the modification time: a file may be written twice within its
/// resolution, or replaced by an older one.
pub(super) fn fingerprint<'p>(contents: impl IntoIterator<Item = &'p [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for content in contents {
        hasher.write_usize(content.len());
        hasher.write(content);
    }
    hasher.finish()
}
