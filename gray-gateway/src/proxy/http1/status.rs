//! The first line of a response.

/// `HTTP/1.1 200 OK`
pub(crate) fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    let digit = |divisor: u16| b'0' + (status / divisor % 10) as u8;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}
