//! Header fields, however they are kept.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Finds header fields by name.
pub trait Lookup {
    /// The values under a name, in order.
    fn values<'f>(&'f self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'f [u8]>;

    /// Whether there is any.
    fn has(&self, name: &HeaderName) -> bool {
        self.values(name).next().is_some()
    }
}

impl Lookup for HeaderMap {
    fn values<'f>(&'f self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// Whether a backend that takes `_` and `.` for `-` takes one name for the other. The case does not matter.
pub(crate) fn is_same(name: &str, other: &str) -> bool {
    let plain = |byte: u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.bytes().map(plain).eq(other.bytes().map(plain))
}
