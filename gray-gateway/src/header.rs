//! Header fields: looked up in a head, and written.

use gray_http1::Fields;
pub use gray_routes::Lookup;
use http::{HeaderName, HeaderValue};

/// Appends a header line.
pub(crate) fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The fields of a head, looked up where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'h, 'b>(pub(crate) Fields<'h, 'b>);

impl Lookup for View<'_, '_> {
    fn values<'f>(&'f self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'f [u8]> {
        self.0.all(name.as_str())
    }
}
