//! Header fields, written.

use http::{HeaderName, HeaderValue};

/// Appends a header line.
pub(crate) fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    write_field(out, name.as_str(), value.as_bytes());
}

/// The same of a name and a value that are known to be such.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}
