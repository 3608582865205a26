//! Clients come in: sockets that listen, who may connect, and which worker serves a connection.
//! Nothing here is asked per request.

pub(super) mod accept;
pub(super) mod admission;
pub(super) mod listen;
mod welcome;
