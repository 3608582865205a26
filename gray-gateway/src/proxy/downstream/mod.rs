//! One connection of a client: its byte stream, its requests one after the other, and how long it may take for what.
//! It knows nothing of instances.

pub(super) mod connection;
mod pace;
pub(super) mod socket;
pub(super) mod state;
