//! The release context of the request being served: its tag, its lane, and what travels with them.
//!
//! It lives in a task-local, never in a thread-local: a worker thread that goes on to another request takes nothing
//! along. A plain `tokio::spawn` starts without it; use [`spawn`].
//!
//! It is read from a carrier ([`Extract`]) and written into one ([`Inject`]): [`HttpHeaders`], [`HttpHeadersMut`],
//! [`MessageHeaders`], or what other crates implement. How it is read stands in one place for all of them
//! ([`ReleaseContext::extract_verified`]).
//!
//! For services, and for adapters of whatever else carries requests. Never depends on a server, a client, a registry or rules.

mod baggage;
mod carrier;
mod context;
mod job;
mod message;
mod path;
mod reading;

pub use baggage::WithoutBaggage;
pub use carrier::{Extract, HttpHeaders, HttpHeadersMut, Inject, Value};
pub use context::{MAX_CARRIED_BYTES, ReleaseContext};
pub use job::{CallSigning, JobRules};
pub use message::{MessageHeaders, MessageRules, MessageSigning};
pub use path::PathLog;
pub use reading::{BaggageUse, MAX_CALLER_BYTES, Standing, Verifier, caller, told_path};

use std::future::Future;

use tokio::task::JoinHandle;

/// `tokio::spawn` that takes the current release context along.
#[expect(clippy::disallowed_methods, reason = "the one place that carries the context over")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(ReleaseContext::current().scope(future))
}

#[cfg(test)]
mod tests;
