//! The chunked coding (RFC 9112, 7.1), read strictly: what another parser could take for something else is refused.

use std::io::Write as _;

use crate::FramingError;

/// Longest line of a chunk's size, extensions included.
const MAX_SIZE_LINE: usize = 1024;
/// Longest trailer section.
const MAX_TRAILERS: usize = 8 * 1024;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunked {
    /// Before a chunk's size.
    Size,
    /// So many bytes of a chunk to come.
    Data(u64),
    /// Before the end of the line behind a chunk.
    DataEnd,
    /// Before or in the trailers.
    Trailers,
    /// Behind everything.
    End,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// Nothing that goes further, so many bytes of it.
    Skip(usize),
    /// Content.
    Data(&'b [u8]),
    /// The end: so many bytes, with these trailer lines among them, each with its CR LF.
    End(usize, &'b [u8]),
    /// More bytes are needed.
    Partial,
}

impl Chunked {
    /// Reads on. What is returned has to be taken off the bytes.
    ///
    /// # Errors
    /// When the bytes are not framed as they should be.
    pub fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<Piece<'b>, FramingError> {
        if bytes.is_empty() {
            return Ok(Piece::Partial);
        }
        match *self {
            Self::Size => self.size(bytes),
            Self::Data(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - count as u64;
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                Ok(Piece::Data(&bytes[..count]))
            }
            Self::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Piece::Skip(2))
                }
                [b'\r'] => Ok(Piece::Partial),
                _ => Err(FramingError("a chunk is longer than it says")),
            },
            Self::Trailers => self.trailers(bytes),
            Self::End => Ok(Piece::End(0, &[])),
        }
    }

    fn size<'b>(&mut self, bytes: &'b [u8]) -> Result<Piece<'b>, FramingError> {
        let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_SIZE_LINE)]) else {
            return if bytes.len() < MAX_SIZE_LINE {
                Ok(Piece::Partial)
            } else {
                Err(FramingError("a chunk's size is too long"))
            };
        };
        let line = bytes[..end].strip_suffix(b"\r").ok_or(FramingError("a chunk's size does not end with CR LF"))?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extensions) = line.split_at(digits);
        let is_plain = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
        let wrong = digits.is_empty() || digits.len() > 15;
        let extended = extensions.trim_ascii_start();
        if wrong
            || !(extended.is_empty() && extensions.is_empty() || extended.starts_with(b";"))
            || !extensions.iter().all(is_plain)
        {
            return Err(FramingError("a chunk's size is invalid"));
        }
        let size =
            digits.iter().fold(0, |size, digit| size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or(0)));
        *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
        Ok(Piece::Skip(end + 1))
    }

    fn trailers<'b>(&mut self, bytes: &'b [u8]) -> Result<Piece<'b>, FramingError> {
        let window = &bytes[..bytes.len().min(MAX_TRAILERS)];
        let (end, lines) = if window.starts_with(b"\r\n") {
            (2, &window[..0])
        } else {
            match memchr::memmem::find(window, b"\r\n\r\n") {
                Some(at) => (at + 4, &window[..at + 2]),
                None if bytes.len() < MAX_TRAILERS => return Ok(Piece::Partial),
                None => return Err(FramingError("the trailers are too long")),
            }
        };
        *self = Self::End;
        Ok(Piece::End(end, lines))
    }
}

/// Writes a chunk's size.
pub fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _written = write!(out, "{size:x}\r\n");
}

/// Appends the trailers whose names pass.
///
/// # Errors
/// When a line is not a header line.
pub(crate) fn copy_trailers(
    lines: &[u8],
    out: &mut Vec<u8>,
    passes: &impl Fn(&str) -> bool,
) -> Result<(), FramingError> {
    const WRONG: FramingError = FramingError("a trailer is not a header line");
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let mut room = [httparse::EMPTY_HEADER; 1];
        let text = line.strip_suffix(b"\r\n").ok_or(WRONG)?;
        // httparse wants the empty line at the end.
        let mut whole = text.to_vec();
        whole.extend_from_slice(b"\r\n\r\n");
        match httparse::parse_headers(&whole, &mut room) {
            Ok(httparse::Status::Complete((_, [field]))) if !text.contains(&b'\r') => {
                if passes(field.name) {
                    out.extend_from_slice(line);
                }
            }
            _ => return Err(WRONG),
        }
    }
    Ok(())
}
