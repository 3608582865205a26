//! A request, as routes see it.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// What predicates may look at.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r, H = HeaderMap> {
    /// The method.
    pub method: &'r Method,
    /// The path as sent, checked by the caller (no dot segments, no broken percent-encoding).
    pub path: &'r str,
    /// The query as sent, without `?`.
    pub query: Option<&'r str>,
    /// All header fields.
    pub headers: &'r H,
    /// The host that was asked for, without port.
    pub host: Option<&'r str>,
    /// Address of the peer's socket.
    pub remote: IpAddr,
    /// A random number, the same for one request throughout. Decides `Weight`.
    pub random: u64,
}
