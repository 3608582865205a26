//! Where bodies end, and how they are framed on the other side.

use crate::{
    FramingError,
    chunked::{Chunked, Piece, copy_trailers, write_chunk_size},
};

/// How a body that arrives is framed, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// So many bytes; 0 is the end.
    Length(u64),
    /// In chunks.
    Chunked(Chunked),
    /// Up to the end of the stream.
    UntilClose,
}

/// What was done with some bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// So many of them were taken.
    pub taken: usize,
    /// Of these, what is the body itself and not its framing.
    pub data: usize,
    /// The body goes on, and what is left of them is not a whole piece: only more bytes help.
    pub starved: bool,
}

impl Decoder {
    /// No body.
    pub const EMPTY: Self = Self::Length(0);

    /// A body in chunks, from its beginning.
    pub const CHUNKED: Self = Self::Chunked(Chunked::Size);

    /// Whether nothing more is to come.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::End))
    }

    /// Whether much more is to come, for all we know.
    pub fn is_long(self, than: u64) -> bool {
        match self {
            Self::Length(left) | Self::Chunked(Chunked::Data(left)) => left > than,
            Self::Chunked(_) => false,
            Self::UntilClose => true,
        }
    }

    /// Takes what it can off `bytes` and appends it to `out`, framed in chunks or plain, until it has added `enough`. What
    /// was in `out` before does not count, and the last piece is taken whole. Trailers whose names do not pass are dropped.
    ///
    /// # Errors
    /// When it is not framed as it should be.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        in_chunks: bool,
        enough: usize,
        passes: impl Fn(&str) -> bool,
    ) -> Result<Decoded, FramingError> {
        let (before, mut taken, mut data) = (out.len(), 0, 0);
        while !self.is_done() && out.len() - before < enough {
            let rest = &bytes[taken..];
            match self {
                Self::Length(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    append(&rest[..count], out, in_chunks);
                    taken += count;
                    *left -= count as u64;
                    if *left == 0 && in_chunks {
                        out.extend_from_slice(b"0\r\n\r\n");
                    }
                    return Ok(Decoded { taken, data: taken, starved: *left > 0 });
                }
                Self::UntilClose => {
                    append(rest, out, in_chunks);
                    return Ok(Decoded { taken: bytes.len(), data: bytes.len(), starved: true });
                }
                Self::Chunked(chunked) => match chunked.next(rest)? {
                    Piece::Partial => return Ok(Decoded { taken, data, starved: true }),
                    Piece::Skip(count) => taken += count,
                    Piece::Data(piece) => {
                        append(piece, out, in_chunks);
                        taken += piece.len();
                        data += piece.len();
                    }
                    Piece::End(count, trailers) => {
                        taken += count;
                        if in_chunks {
                            out.extend_from_slice(b"0\r\n");
                            copy_trailers(trailers, out, &passes)?;
                            out.extend_from_slice(b"\r\n");
                        }
                    }
                },
            }
        }
        Ok(Decoded { taken, data, starved: false })
    }

    /// The stream has ended. Appends what the end looks like on the other side.
    ///
    /// # Errors
    /// When the body was to go on.
    pub fn end(&mut self, out: &mut Vec<u8>, in_chunks: bool) -> Result<(), FramingError> {
        if *self != Self::UntilClose {
            return Err(FramingError("the body breaks off"));
        }
        *self = Self::EMPTY;
        if in_chunks {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }
}

fn append(data: &[u8], out: &mut Vec<u8>, in_chunks: bool) {
    if data.is_empty() {
        return;
    }
    if !in_chunks {
        return out.extend_from_slice(data);
    }
    write_chunk_size(data.len(), out);
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(name: &str) -> bool {
        !name.eq_ignore_ascii_case("content-length")
    }

    fn all(mut decoder: Decoder, bytes: &[u8], in_chunks: bool) -> Result<(Vec<u8>, usize, bool), FramingError> {
        let mut out = Vec::new();
        let Decoded { taken, .. } = decoder.decode(bytes, &mut out, in_chunks, usize::MAX, passes)?;
        Ok((out, taken, decoder.is_done()))
    }

    #[test]
    fn chunks_are_read_strictly() {
        let ok = |bytes: &str, content: &str| {
            let (out, taken, done) = all(Decoder::CHUNKED, bytes.as_bytes(), false).expect(bytes);
            assert_eq!(
                (std::str::from_utf8(&out).expect("text"), taken, done),
                (content, bytes.len(), true),
                "{bytes:?}"
            );
        };
        ok("0\r\n\r\n", "");
        ok("5\r\nhello\r\n0\r\n\r\n", "hello");
        ok("005\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", "hello0123456789");
        ok("1;a=b\r\nx\r\n0 ;c=\"d\"\r\nX-T: 1\r\n\r\n", "x");
        for wrong in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\nx\r\n",
            "0x1\r\nx\r\n",
            " 1\r\nx\r\n",
            "1 \r\nx\r\n",
            "1 1\r\nx\r\n",
            "1;a\nb\r\nx\r\n",
            "1;a\rb\r\nx\r\n",
            "1;\0\r\nx\r\n",
            "1000000000000000\r\n",
            "0\r\nX-T\r\n\r\n",
            "0\r\n folded: 1\r\n\r\n",
            "0\r\nX-T : 1\r\n\r\n",
            "0\r\nX-T: 1\nY: 2\r\n\r\n",
        ] {
            // Trailers are looked at when they are passed on.
            assert!(all(Decoder::CHUNKED, wrong.as_bytes(), true).is_err(), "{wrong:?}");
        }
        let endless = [b"1;".as_slice(), &[b'a'; 2000]].concat();
        assert!(all(Decoder::CHUNKED, &endless, false).is_err());
        let trailers = [b"0\r\nx: ".as_slice(), &[b'a'; 9000]].concat();
        assert!(all(Decoder::CHUNKED, &trailers, false).is_err());
    }

    #[test]
    fn trailers_pass_if_they_may() {
        let body = "0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nx-sum: 9\r\n\r\n";
        let (out, _, done) = all(Decoder::CHUNKED, body.as_bytes(), true).expect("body");
        assert_eq!((std::str::from_utf8(&out).expect("text"), done), ("0\r\nGrpc-Status: 0\r\nx-sum: 9\r\n\r\n", true));
    }

    #[test]
    fn framing_can_change() {
        assert_eq!(all(Decoder::Length(5), b"hello", true), Ok((b"5\r\nhello\r\n0\r\n\r\n".to_vec(), 5, true)));
        assert_eq!(all(Decoder::Length(5), b"hello!", false), Ok((b"hello".to_vec(), 5, true)));
        assert_eq!(all(Decoder::UntilClose, b"hello", true), Ok((b"5\r\nhello\r\n".to_vec(), 5, false)));
        let mut out = Vec::new();
        for (mut decoder, may_end) in
            [(Decoder::Length(1), false), (Decoder::CHUNKED, false), (Decoder::UntilClose, true)]
        {
            assert_eq!(decoder.end(&mut out, true).is_ok(), may_end);
        }
        assert_eq!(out, b"0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn however_the_bytes_arrive(chunks in prop::collection::vec("[a-z]{1,20}", 0..6), cuts in prop::collection::vec(1..9_usize, 1..60)) {
            let chunk = |text: &String| format!("{:x}\r\n{text}\r\n", text.len());
            let wire = format!("{}0\r\nx-t: 1\r\n\r\n", chunks.iter().map(chunk).collect::<String>());
            for in_chunks in [false, true] {
                let (mut decoder, mut out, mut held) = (Decoder::CHUNKED, Vec::new(), Vec::new());
                let mut rest = wire.as_bytes();
                for cut in cuts.iter().cycle() {
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    held.extend_from_slice(now);
                    rest = later;
                    let Decoded { taken, .. } = decoder.decode(&held, &mut out, in_chunks, usize::MAX, passes).expect("well framed");
                    held.drain(..taken);
                    if rest.is_empty() { break }
                }
                prop_assert!(decoder.is_done() && held.is_empty());
                if in_chunks {
                    let (again, _, _) = all(Decoder::CHUNKED, &out, false).expect("well framed");
                    out = again;
                }
                prop_assert_eq!(String::from_utf8(out).expect("text"), chunks.concat());
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _any = all(Decoder::CHUNKED, &bytes, true);
        }
    }
}
