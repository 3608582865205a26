//! What the client gets: an instance's response, the head first and then the body as it arrives, or an answer of our own.

pub(super) mod content;
pub(super) mod cross_origin;
mod edit;
pub(super) mod error;
pub(super) mod grpc;
pub(super) mod head;
pub(super) mod read_head;
pub(super) mod refusal;
mod relay;
mod reply;
pub(super) mod transfer;
pub(super) mod tunnel;
