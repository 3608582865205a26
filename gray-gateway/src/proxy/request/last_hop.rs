//! What must not be passed on any further: TRACE and OPTIONS with `Max-Forwards: 0` (RFC 9110, 7.6.2), and what they get.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::proxy::{http1::RequestHead, response::content::Content};

/// Counts down what may be passed on.
pub(super) const MAX_FORWARDS: &str = "max-forwards";
/// What is passed on. A route may take fewer, or others.
pub(in crate::proxy) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// What of a TRACE its last hop shows: what tells its way, and nothing that may be a secret.
const SHOWN: [&str; 3] = ["host", "via", MAX_FORWARDS];

/// What of a TRACE is shown.
pub(in crate::proxy) fn seen(request: &RequestHead<'_, '_>) -> Bytes {
    let version = if request.head.is_11 { "HTTP/1.1" } else { "HTTP/1.0" };
    let mut seen = format!("TRACE {} {version}\r\n", request.target).into_bytes();
    for field in
        request.head.fields.iter().filter(|field| SHOWN.iter().any(|name| field.name.eq_ignore_ascii_case(name)))
    {
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            seen.extend_from_slice(part);
        }
    }
    seen.extend_from_slice(b"\r\n");
    seen.into()
}

/// The answer to OPTIONS.
pub(in crate::proxy) fn options() -> Response<Content> {
    with(header::ALLOW, METHODS, Bytes::new())
}

/// The answer to TRACE, which has [`seen`] this.
pub(in crate::proxy) fn trace(seen: Bytes) -> Response<Content> {
    with(header::CONTENT_TYPE, "message/http", seen)
}

fn with(name: header::HeaderName, value: &'static str, body: Bytes) -> Response<Content> {
    let mut response = Response::new(Content::Fixed(body));
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
