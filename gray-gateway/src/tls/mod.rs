//! TLS on both sides: the gateway's own certificate, and whose certificates it believes.
//!
//! Both are read from PEM files and read again when those change. A file that cannot be used changes nothing: the last
//! good one stays. Connections that exist go on as they are; new handshakes see the new certificate.

mod file;
mod follow;
mod server;
mod upstream;

pub use self::{file::TlsError, follow::follow, server::ServerTls, upstream::UpstreamTls};

/// Ring, named: a process-wide default would depend on what other crates have installed.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

#[cfg(test)]
mod tests;
