//! Heads of messages: read in place, and nothing let pass that could be read in two ways.

use std::mem::MaybeUninit;

use http::Method;
use httparse::{Header, ParserConfig, Status};

use crate::decimal;

/// Header lines that a head can have at most, whatever the limits say.
const MAX_FIELDS: usize = 128;

/// Digits of a `Content-Length`: what fits a signed number as well, which others read it into.
const MAX_DIGITS: usize = 19;

/// Room for the lines of one head, on the stack.
pub type Room<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Room that nothing was written to: it costs nothing.
pub const fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Why bytes are not a head. All cases are listed for good: what is answered depends on each, so a new one is to be decided
/// where it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// There may be more to come.
    Partial,
    /// More header lines than allowed.
    TooMany,
    /// Another version of HTTP, or none.
    Version,
    /// No HTTP, or HTTP that is not clear; the text says in which way.
    Malformed(&'static str),
}

/// Header fields, in their order and spelling.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b>(&'h [Header<'b>]);

impl<'h, 'b> Fields<'h, 'b> {
    /// All of them.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'h Header<'b>> + ExactSizeIterator {
        self.0.iter()
    }

    /// The values under a name.
    pub fn all(self, name: &str) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// What every head has.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h, 'b> {
    /// The fields.
    pub fields: Fields<'h, 'b>,
    /// The bytes of the whole head, with the empty line.
    pub bytes: &'b [u8],
    /// Whether it is HTTP/1.1, not 1.0.
    pub is_11: bool,
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct RequestHead<'h, 'b> {
    /// What all heads have.
    pub head: Head<'h, 'b>,
    /// The method.
    pub method: Method,
    /// The target, as sent.
    pub target: &'b str,
    /// Where in the bytes it ends: behind the empty line, with what was passed over before it.
    pub end: usize,
}

/// A response's head.
#[derive(Clone, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// What all heads have.
    pub head: Head<'h, 'b>,
    /// Three digits.
    pub status: u16,
    /// The reason, as sent.
    pub reason: &'b str,
}

/// Some of the fields of a head, by their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places([u64; MAX_FIELDS.div_ceil(64)]);

impl Places {
    /// Adds a field.
    pub fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    /// These, without those.
    #[must_use]
    pub fn without(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(these, those)| *these &= !those);
        self
    }

    /// Whether a field is one of them.
    pub fn has(self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }
}

impl<'b> Head<'_, 'b> {
    /// Appends the lines that are not skipped, byte by byte as they came.
    pub fn copy_lines(&self, skipped: Places, out: &mut Vec<u8>) {
        let mut run: Option<usize> = None;
        for (place, field) in self.fields.iter().enumerate() {
            if skipped.has(place) {
                if let Some(from) = run.take() {
                    out.extend_from_slice(&self.bytes[from..offset(self.bytes, field.name.as_bytes())]);
                }
            } else if run.is_none() {
                run = Some(offset(self.bytes, field.name.as_bytes()));
            }
        }
        if let Some(from) = run {
            // Up to the empty line.
            out.extend_from_slice(&self.bytes[from..self.bytes.len() - 2]);
        }
    }

    /// Skips whatever any `Connection` names, but for what frames or addresses the message.
    pub fn skip_named(&self, skipped: &mut Places) {
        let connection = || self.fields.all("connection");
        if connection().all(|value| value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")) {
            return;
        }
        for (place, field) in self.fields.iter().enumerate() {
            let named = connection().flat_map(tokens).any(|token| token.eq_ignore_ascii_case(field.name.as_bytes()));
            if named && !is_essential(field.name) {
                skipped.add(place);
            }
        }
    }

    /// Whether one of the values under this name has this token; parameters do not count.
    pub fn mentions(&self, name: &str, token: &str) -> bool {
        self.fields.all(name).flat_map(tokens).any(|found: &'b [u8]| {
            let found = found.split(|byte| *byte == b';').next().unwrap_or_default();
            found.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
        })
    }

    /// The length that `Content-Length` gives; `None` when it is not there.
    ///
    /// # Errors
    /// If there are several, or it is not a number.
    pub fn content_length(&self) -> Result<Option<u64>, &'static str> {
        let mut values = self.fields.all("content-length");
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err("there is more than one Content-Length");
        }
        let number = if value.len() <= MAX_DIGITS { decimal(value) } else { None };
        number.map(Some).ok_or("Content-Length is not a length")
    }
}

/// Whether a field frames or addresses the message, so that no `Connection` may name it away.
fn is_essential(name: &str) -> bool {
    ["host", "content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Reads a request's head off the beginning of the bytes.
///
/// # Errors
/// Why it cannot be read.
pub fn read_request<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut Room<'b>,
    max_fields: usize,
) -> Result<RequestHead<'h, 'b>, ParseError> {
    // An empty line or two before the request are an old habit; httparse passes over them, and we cut them off.
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    let mut request = httparse::Request::new(&mut []);
    let room = &mut room[..max_fields.min(MAX_FIELDS)];
    let status = ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, room);
    let end = complete(status)?;
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(ParseError::Malformed("it is not a request"));
    };
    let head = head(&bytes[..end], request.headers, version)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| ParseError::Malformed("the method is invalid"))?;
    Ok(RequestHead { head, method, target, end: blank + end })
}

/// Reads a response's head off the beginning of the bytes.
///
/// # Errors
/// Why it cannot be read.
pub fn read_response<'h, 'b>(bytes: &'b [u8], room: &'h mut Room<'b>) -> Result<ResponseHead<'h, 'b>, ParseError> {
    let mut response = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room);
    let end = complete(status)?;
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(ParseError::Malformed("it is not a response"));
    };
    // HTTP/2 has no way to say it. What is above 599 is used by some servers, and passes.
    if status < 100 {
        return Err(ParseError::Malformed("the status is below 100"));
    }
    let head = head(&bytes[..end], response.headers, version)?;
    Ok(ResponseHead { head, status, reason: response.reason.unwrap_or_default() })
}

fn complete(status: httparse::Result<usize>) -> Result<usize, ParseError> {
    match status {
        Ok(Status::Complete(end)) => Ok(end),
        Ok(Status::Partial) => Err(ParseError::Partial),
        Err(httparse::Error::TooManyHeaders) => Err(ParseError::TooMany),
        Err(httparse::Error::HeaderName) => Err(ParseError::Malformed("a header name is invalid")),
        Err(httparse::Error::HeaderValue) => {
            Err(ParseError::Malformed("a header value has a character that is not allowed"))
        }
        Err(httparse::Error::Version) => Err(ParseError::Version),
        Err(_) => Err(ParseError::Malformed("it is not HTTP/1")),
    }
}

/// httparse takes a lone line feed for the end of a line. Others do not, so we take CR LF only.
fn head<'h, 'b>(bytes: &'b [u8], fields: &'h [Header<'b>], version: u8) -> Result<Head<'h, 'b>, ParseError> {
    let ends_before = |at: usize| at >= 2 && bytes[at - 2..at] == *b"\r\n";
    let lines = fields.iter().all(|field| ends_before(offset(bytes, field.name.as_bytes())));
    if !lines || !bytes.ends_with(b"\r\n") || !ends_before(bytes.len() - 2) {
        return Err(ParseError::Malformed("a line does not end with CR LF"));
    }
    Ok(Head { fields: Fields(fields), bytes, is_11: version == 1 })
}

/// Where a part of `whole` begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> ParseError {
        read_request(text.as_bytes(), &mut room(), 100).expect_err(text)
    }

    #[test]
    fn lines_end_in_one_way() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        ] {
            assert!(matches!(error(text), ParseError::Malformed(_) | ParseError::Version), "{text:?}");
        }
        for text in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"] {
            assert_eq!(error(text), ParseError::Partial, "{text:?}");
        }
        let ok = b"\r\nGET /x HTTP/1.0\r\n\r\nrest";
        let mut room = super::room();
        let request = read_request(ok, &mut room, 100).expect("a request");
        assert_eq!((request.target, request.head.is_11, request.head.bytes.len()), ("/x", false, 19));
    }

    #[test]
    fn a_status_has_a_meaning() {
        let status =
            |line: &str| read_response(format!("{line}\r\n\r\n").as_bytes(), &mut room()).map(|head| head.status);
        for (line, expect) in
            [("HTTP/1.1 100 Continue", 100), ("HTTP/1.1 200 OK", 200), ("HTTP/1.0 404", 404), ("HTTP/1.1 999 X", 999)]
        {
            assert_eq!(status(line), Ok(expect), "{line}");
        }
        for line in ["HTTP/1.1 000 X", "HTTP/1.1 099 X", "HTTP/1.1 20 X"] {
            assert!(matches!(status(line), Err(ParseError::Malformed(_))), "{line}: {:?}", status(line));
        }
    }

    #[test]
    fn lengths() {
        let length = |lines: &str| {
            let text = format!("POST / HTTP/1.1\r\n{lines}\r\n");
            read_request(text.as_bytes(), &mut room(), 100).expect("a request").head.content_length()
        };
        assert_eq!(length(""), Ok(None));
        assert_eq!(length("Content-Length: 012\r\n"), Ok(Some(12)));
        assert_eq!(length("content-length: 9999999999999999999\r\n"), Ok(Some(9_999_999_999_999_999_999)));
        for wrong in ["", "+1", "-1", "1 1", "1,1", "0x1", "99999999999999999999", "1\t1"] {
            assert!(length(&format!("Content-Length: {wrong}\r\n")).is_err(), "{wrong:?}");
        }
        assert!(length("Content-Length: 1\r\nContent-Length: 1\r\n").is_err());
    }

    #[test]
    fn what_connection_names_is_skipped() {
        let kept = |lines: &str| {
            let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            let mut room = super::room();
            let request = read_request(text.as_bytes(), &mut room, 100).expect("a request");
            let mut skipped = Places::default();
            request.head.skip_named(&mut skipped);
            let mut out = Vec::new();
            request.head.copy_lines(skipped, &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(kept("A: 1\r\nb:2 \r\n"), "A: 1\r\nb:2 \r\n");
        assert_eq!(kept("Connection: close, Gray\r\nGRAY: 1\r\nb: 2\r\n"), "Connection: close, Gray\r\nb: 2\r\n");
        assert_eq!(
            kept("connection: X-A ,x-b\r\nX-a: 1\r\nconnection: c\r\nx-B: 1\r\nC: 1\r\n"),
            "connection: X-A ,x-b\r\nconnection: c\r\n"
        );
        let named = "Connection: host, content-length, Transfer-Encoding\r\nHost: h\r\n";
        assert_eq!(kept(named), named);
    }

    proptest! {
        #[test]
        fn copying_is_leaving_out(fields in prop::collection::vec(("[a-z-]{1,8}", "[ -~]{0,8}", any::<bool>()), 0..20)) {
            let line = |(name, value, _): &(String, String, bool)| format!("{name}: {value}\r\n");
            let text = format!("GET / HTTP/1.1\r\n{}\r\n", fields.iter().map(line).collect::<String>());
            let mut room = super::room();
            let request = read_request(text.as_bytes(), &mut room, 100).expect("a request");
            let mut skipped = Places::default();
            let mut expect = String::new();
            for (place, field) in fields.iter().enumerate() {
                if field.2 { skipped.add(place) } else { expect += &line(field) }
            }
            let mut out = Vec::new();
            request.head.copy_lines(skipped, &mut out);
            prop_assert_eq!(String::from_utf8(out).expect("text"), expect);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _request = read_request(&bytes, &mut room(), 100);
            let _response = read_response(&bytes, &mut room());
        }
    }
}
