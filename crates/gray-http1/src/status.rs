//! The first line of a response, and what follows from its status.

/// `HTTP/1.1 200 OK`
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    let digit = |divisor: u16| b'0' + (status / divisor % 10) as u8;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether an answer of this status ends with its head, whatever that says (RFC 9112, 6.3).
pub fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// Whether an answer of this status has no body and says nothing of one, whatever was asked (RFC 9110, 8.6; RFC 9112, 6.1).
pub fn is_always_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204)
}
