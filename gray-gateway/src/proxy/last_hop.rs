//! What must not be passed on any further: TRACE and OPTIONS with `Max-Forwards: 0` (RFC 9110, 7.6.2).

use http::Method;

use super::{check, error::Failure, http1::RequestHead};

/// What of a TRACE its last hop shows: what tells its way, and nothing that may be a secret.
const SHOWN: [&str; 3] = ["host", "via", check::MAX_FORWARDS];

/// The answer.
pub(super) fn answer(request: &RequestHead<'_, '_>) -> Failure<'static> {
    if request.method == Method::OPTIONS {
        return Failure::Options;
    }
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
    Failure::Trace(seen.into())
}
