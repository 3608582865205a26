//! HTTP/1 as bytes: heads are read where they lie, and written by copying what is kept of them.
//!
//! Reading is httparse; what it lets pass and we do not is refused here. Nothing in here knows a socket.

mod body;
mod chunked;
mod head;
mod name;
mod status;

pub(super) use body::{Decoded, Decoder, FramingError};
pub(super) use chunked::{Chunked, Piece};
pub(super) use head::{
    Fields, Head, ParseError, RequestHead, ResponseHead, Skipped, read_request, read_response, room,
};
pub(super) use name::Name;
pub(super) use status::status_line;
