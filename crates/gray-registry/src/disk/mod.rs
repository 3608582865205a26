//! What was known last, kept on disk (`--snapshot-dir`): a program that starts while the registry is away goes on with it.
//!
//! [`KeptRegistry`] and [`KeptConfigSource`] stand in front of the real ones. Lists of instances are kept as they arrive,
//! documents once they are in effect, so a bad one never gets here. They are read back when the real one has not answered
//! within [`GRACE`], and given up as soon as it does: documents at once, instances that it does not list yet after a while
//! ([`Registry::recall`](crate::Registry::recall)).
//!
//! Nothing here is fatal: what cannot be read is as if it were not there, what cannot be written is missing next time. Either
//! is logged once, and counted.

mod config;
mod format;
mod private;
mod registry;
mod store;
#[cfg(test)]
mod tests;

pub use config::KeptConfigSource;
pub use format::{Content, Kept};
#[doc(hidden)] // For fuzzing.
pub use format::{decode as decode_file, decode_body};
pub use registry::KeptRegistry;
pub use store::{DiskStatus, DiskStore};

use std::time::Duration;

/// How long the real one may take to answer before what is on disk counts.
pub const GRACE: Duration = Duration::from_secs(3);
