//! Instances: which one is picked, a connection to it, one attempt after the other until one answers.
//! What went wrong there is told by kind (`fault`).

mod attempt;
mod call;
pub(super) mod callee;
pub(super) mod cause;
mod choose;
pub(super) mod dial;
pub(super) mod fault;
pub(super) mod guarded;
mod hedge;
pub(super) mod pool;
pub(super) mod send_error;
