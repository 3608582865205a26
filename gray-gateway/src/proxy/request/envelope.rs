//! What of a request does not depend on what it is about: how its bytes are framed, and how it is answered.

use crate::proxy::http1::Decoder;

/// How a request is framed, and what its connection expects of the answer. It outlives the bytes of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Envelope {
    /// Length of the head in bytes, with what came before it.
    pub(in crate::proxy) head_len: usize,
    /// How the body is framed.
    pub(in crate::proxy) body: Decoder,
    /// Whether the client speaks HTTP/1.1.
    pub(in crate::proxy) is_11: bool,
    /// Whether the client means to go on with the connection after the response.
    pub(in crate::proxy) keep_alive: bool,
    /// Whether the response has no body whatever its head says.
    pub(in crate::proxy) is_head: bool,
    /// Whether it is a call of gRPC, whose answers have a status of their own.
    pub(in crate::proxy) is_grpc: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(in crate::proxy) expects_continue: bool,
}

impl Envelope {
    /// Of what cannot be read.
    pub(in crate::proxy) const UNREADABLE: Self = Self {
        head_len: 0,
        body: Decoder::UntilClose,
        is_11: true,
        keep_alive: false,
        is_head: false,
        is_grpc: false,
        expects_continue: false,
    };
}
