//! What an answer of our own consists of.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body;
use tower_http::services::fs::ServeFileSystemResponseBody as FileBody;

/// The body of an answer of our own.
pub(in crate::proxy) enum Content {
    /// All of it.
    Fixed(Bytes),
    /// A file, read as the client takes it.
    File(FileBody),
}

impl Content {
    /// How many bytes it has, by what its head says or by what it is.
    pub(in crate::proxy) fn len(&self, headers: &HeaderMap) -> Option<u64> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        announced.or_else(|| match self {
            Self::Fixed(bytes) => Some(bytes.len() as u64),
            Self::File(file) => file.size_hint().exact(),
        })
    }
}
