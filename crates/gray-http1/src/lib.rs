//! HTTP/1 as bytes, for a proxy: heads are read where they lie and written by copying what is kept of them; bodies are
//! framed anew on the way. What could be read in two ways is refused.
//!
//! It never depends on a socket, a runtime, a clock or a policy: which header names are ours or end at this hop is for
//! the caller to say.
//!
//! A message is read in these states:
//!
//! ```text
//! bytes ─▶ read_request ──┬─▶ ParseError::Partial ── more bytes ─▶ read_request
//!          read_response  ├─▶ any other error: nothing behind it can be trusted
//!                         └─▶ head ─▶ Decoder, chosen by the caller
//!
//! Decoder  Length(n) ──────── n bytes ──────────────────────────────▶ Length(0): done
//!          UntilClose ─────── end() ────────────────────────────────▶ Length(0): done
//!          Chunked(Size) ──── size line ─▶ Chunked(Data(n)) ─ n bytes ─▶ Chunked(DataEnd) ─ CR LF ─▶ Chunked(Size)
//!                     └────── size 0 ────▶ Chunked(Trailers) ─ empty line ─▶ Chunked(End): done
//! ```
//!
//! ```
//! use gray_http1::{Decoded, Decoder, read_request, room};
//!
//! let bytes = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello";
//! let mut room = room();
//! let request = read_request(bytes, &mut room, 100).expect("a request");
//! assert_eq!((request.method.as_str(), request.target), ("POST", "/orders"));
//!
//! let mut body = Decoder::Length(request.head.content_length().expect("one").expect("a length"));
//! let mut out = Vec::new();
//! let Decoded { taken, .. } =
//!     body.decode(&bytes[request.end..], &mut out, true, usize::MAX, |_| true).expect("well framed");
//! assert_eq!((taken, body.is_done(), &*out), (5, true, &b"5\r\nhello\r\n0\r\n\r\n"[..]));
//! ```

mod body;
mod chunked;
mod framing_error;
mod head;
mod host;
mod number;
mod status;
mod target;

pub use body::{Decoded, Decoder};
pub use chunked::{Chunked, Piece, write_chunk_size};
pub use framing_error::FramingError;
pub use head::{Fields, Head, ParseError, Places, RequestHead, ResponseHead, Room, read_request, read_response, room};
pub use host::{is_host, read_host};
pub use httparse::Header;
pub use number::decimal;
pub use status::{is_always_bodiless, is_bodiless, status_line};
pub use target::{Target, is_meant_as_http, read_target};
