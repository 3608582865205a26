//! Answers of our own to gRPC: a status that its clients show, in place of a body that they do not.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{content::Content, error::Failure};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The status in terms of HTTP of an answer that says it in terms of gRPC: what is counted and logged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant(pub(super) StatusCode);

/// Whether a value of `Content-Type` is that of gRPC: `application/grpc`, `application/grpc+proto`. What calls itself gRPC-Web is
/// HTTP, and reads HTTP's status.
pub(in crate::proxy) fn is_grpc(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let name = content_type.get(..NAME.len()).filter(|name| name.eq_ignore_ascii_case(NAME));
    name.is_some() && matches!(content_type.get(NAME.len()), None | Some(b'+' | b';' | b' ' | b'\t'))
}

/// The answer that says the same to a client of gRPC: a head alone, with status and message.
pub(in crate::proxy) fn response(failure: &Failure<'_>) -> Response<Content> {
    let mut response = failure.response();
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    *response.body_mut() = Content::Fixed(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    response.extensions_mut().insert(Meant(status));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(encoded(&failure.message())) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// What gRPC clients make of an answer that is not gRPC (grpc/doc/http-grpc-status-mapping.md), so that nothing changes for those
/// who go by the code.
fn code(status: StatusCode) -> u16 {
    const UNKNOWN: u16 = 2;
    const PERMISSION_DENIED: u16 = 7;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// As `grpc-message` has it: percent-encoded but for printable ASCII.
fn encoded(message: &str) -> String {
    message.bytes().fold(String::with_capacity(message.len()), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proxy::upstream::fault::Fault, rates::Rated};

    #[test]
    fn what_is_grpc() {
        for (value, expect) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), expect, "{value}");
        }
    }

    #[test]
    fn failures_are_statuses() {
        let instance = |fault| Failure::Instance { service: "orders", fault, reason: "" };
        for (failure, code, message) in [
            (Failure::NoRoute, "12", "no route matches this request"),
            (Failure::Unauthenticated, "16", "a valid token is needed"),
            (Failure::CrossOrigin, "7", "pages of this origin may not send this request"),
            (Failure::TooMany(Rated::SPENT), "14", "too many requests"),
            (Failure::NoInstance { service: "100%", hidden: false }, "14", "no instance of 100%25 is available"),
            (instance(Fault::Timeout), "14", "orders did not answer in time"),
            (Failure::BadRequest("线"), "13", "bad request: %E7%BA%BF"),
            (Failure::BodyTooLarge, "2", "the request body is longer than it may be"),
        ] {
            let response = response(&failure);
            assert_eq!(response.status(), StatusCode::OK, "{failure:?}");
            assert_eq!(response.headers()["grpc-status"], code, "{failure:?}");
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-message"], message);
            assert_eq!(response.extensions().get::<Meant>().map(|meant| meant.0), Some(failure.status()));
            assert!(matches!(response.body(), Content::Fixed(bytes) if bytes.is_empty()));
        }
        assert!(!response(&Failure::Preflight).headers().contains_key("grpc-status"));
    }
}
