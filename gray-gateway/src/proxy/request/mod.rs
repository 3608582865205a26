//! A request's way from the client's bytes to the bytes that are sent: check, route, admit, decide, pick, write the head.
//! No step waits for anything.

mod baggage;
mod check;
pub(super) mod destined;
pub(crate) mod edge;
mod edited;
pub(super) mod envelope;
pub(super) mod forward;
pub(super) mod forwarded;
pub(super) mod last_hop;
pub(super) mod steps;
mod view;
pub(super) mod writing;

#[cfg(test)]
mod tests;
