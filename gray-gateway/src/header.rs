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

/// Appends a header line.
pub(crate) fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

impl Lookup for HeaderMap {
    fn values<'f>(&'f self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}
