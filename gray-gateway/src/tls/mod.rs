//! TLS on both sides: the gateway's own certificate, and whose certificates it believes.
//!
//! Both are read from PEM files and read again when those change. A file that cannot be used changes nothing: the last
//! good one stays. Connections that exist go on as they are; new handshakes see the new certificate.

mod follow;
mod server;
mod upstream;

pub use self::{
    follow::{Refused, follow},
    server::ServerTls,
    upstream::UpstreamTls,
};

#[cfg(test)]
pub(crate) mod tests;
