//! A request, as routes look at it.

use std::net::IpAddr;

use gray_rules::{Facts, RequestFacts};

/// What predicates and filters may look at: the facts that rules decide by, so that both see the same values, and what only
/// routes ask for. The path is checked by the caller (no dot segments, no broken percent-encoding).
pub trait Lookup: Facts {
    /// Address of the peer's socket: the client itself, or the last hop that the request came through.
    fn peer(&self) -> Option<IpAddr> {
        self.client_ip()
    }

    /// The host that is asked, as sent: with its port, if it has one.
    fn authority(&self) -> Option<&str> {
        self.host()
    }
}

impl Lookup for RequestFacts<'_> {}

/// Whether a backend that takes `_` and `.` for `-` takes one name for the other. The case does not matter.
pub(crate) fn is_same(name: &str, other: &str) -> bool {
    let plain = |byte: u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.bytes().map(plain).eq(other.bytes().map(plain))
}
