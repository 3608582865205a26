//! Instances: which one is picked, a connection to it, one attempt after the other until one answers.
//! What went wrong there is told by kind (`fault`).

mod attempt;
mod call;
pub(super) mod callee;
mod choose;
pub(super) mod dial;
pub(super) mod fault;
mod hedge;
pub(super) mod pool;
pub(super) mod send_error;
