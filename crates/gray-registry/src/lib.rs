//! Where instances register and are found, and where documents come from: [`Registry`] and [`ConfigSource`].
//!
//! Implementations here need no server: a directory of files ([`FileRegistry`], [`FileConfigSource`]), several registries as
//! one ([`CombinedRegistry`]), none ([`NoRegistry`]), and what was known last, on disk ([`disk`]). What a registry that was away
//! may have forgotten is kept by [`hold`]. Clients of servers are crates of their own, pass the suites of feature `contract`,
//! and never show up here; nor do typed settings and rules.
//!
//! The request path never calls a registry: it reads the last snapshot that [`Registry::watch`] delivered.

mod announcements;
mod combined;
pub mod config_source;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod directory;
pub mod disk;
mod doubts;
mod file;
pub mod hold;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod none;
mod opened;
mod published;
pub mod telemetry;

pub use announcements::{Announcements, Announcer, CallError};
pub use combined::CombinedRegistry;
#[cfg(any(test, feature = "test-util"))]
pub use config_source::MemoryConfigSource;
pub use config_source::{ConfigSource, DocumentText, FileConfigSource, LocalDocuments};
pub use doubts::Doubts;
pub use file::FileRegistry;
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryRegistry;
pub use none::NoRegistry;
pub use opened::Opened;
pub use published::Published;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use gray_core::instance::Instance;
pub use gray_core::{Space, SpaceError};
use tokio::sync::watch;

/// What a registry currently knows of one service. `None`: it has not answered yet.
pub type ServiceState = Option<Arc<[Instance]>>;

/// The names of all services that a registry knows in its own space. `None`: it has not answered yet.
pub type ServiceNames = Option<Arc<BTreeSet<Box<str>>>>;

/// Whether the registry can be reached; shown by `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not answered yet, or lost: the text says what and since when it is being retried.
    Down(String),
    /// Answers.
    Up,
}

/// Most names that [`Registry::services`] tells; the first ones in their order.
pub const MAX_NAMES: usize = 5_000;

/// A registry. Every call ends within its time limit; none panics on what the other side sends.
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// Announces an instance and keeps it alive until [`deregister`](Self::deregister). Registering the same
    /// address again replaces it. Several instances of one service may be registered through one registry.
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError>;

    /// Takes an instance back. Taking back what is not there is no error.
    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError>;

    /// Follows one service: the receiver holds the newest full list, raw (unhealthy and disabled ones included).
    /// Repeated calls for one service share one subscription. Returns at once; retries for ever in the background.
    fn watch(&self, service: &str) -> watch::Receiver<ServiceState>;

    /// Like [`watch`](Self::watch), of a service in another [`Space`] than this registry's own. A space is opened when it
    /// is first asked for, and kept; one that cannot be opened is logged, and never answers.
    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState>;

    /// Follows the names of all services, [`MAX_NAMES`] at most. Returns at once; retries for ever in the background. A name may
    /// stay for a while after its last instance has gone.
    fn services(&self) -> watch::Receiver<ServiceNames>;

    /// Told before a service is watched: what was known of it before this process started. A registry that is up again but
    /// does not list all instances yet treats the missing ones as it would have then; others need not listen.
    fn recall(&self, _space: Option<&Space>, _service: &str, _known: Arc<[Instance]>) {}

    /// Looks at once at what is otherwise looked at now and then. What is pushed needs no such thing.
    fn refresh(&self) {}

    /// Whether the registry answers. What is open for other spaces does not count.
    fn health(&self) -> watch::Receiver<Health>;

    /// Why an instance that was registered here may not be listed any more, as long as that is so. A registry that does not
    /// look has no doubts.
    fn doubts(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
}

/// A registry call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No answer in time.
    #[error("{operation} of {service} got no answer within {limit:?}")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// For which service.
        service: String,
        /// How long we waited.
        limit: Duration,
    },
    /// There is no registry to announce anything in, and trying again is of no use.
    #[error("there is no registry")]
    NoRegistry,
    /// The registry answers, and does not let us: the user has no right to do this, say. Trying again is of use once
    /// that was changed.
    #[error(
        "{operation} of {service} was refused: {reason}; has the user (--nacos-username, or in --eureka) the right to write here?"
    )]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// For which service.
        service: String,
        /// What the registry or its client said.
        reason: String,
    },
    /// The registry failed, or could not be reached.
    #[error("{operation} of {service} failed: {reason}")]
    Failed {
        /// What was asked.
        operation: &'static str,
        /// For which service.
        service: String,
        /// What the registry or its client said.
        reason: String,
    },
}

/// Seconds since 1970; 0 on a machine that believes to be earlier.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
