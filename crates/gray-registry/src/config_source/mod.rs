//! Where documents come from. Implementations: [`FileConfigSource`], and [`LocalDocuments`] in front of another one.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod file;
mod local;
#[cfg(any(test, feature = "test-util"))]
mod memory;

pub use file::FileConfigSource;
pub use local::LocalDocuments;
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryConfigSource;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

use crate::Health;

/// The text of a document as the source holds it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentText {
    /// The source has not answered yet.
    Unknown,
    /// The source answered: there is no such document.
    Absent,
    /// There is one, but no text can be had of it; why.
    Unreadable(Arc<str>),
    /// The text.
    Present(Arc<str>),
}

/// What a source gives to some programs in place of the text for all (Nacos' gray publish, "beta").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrayPublish {
    /// The address by which the source knows this program; `None` if it tells programs apart by nothing.
    pub address: Option<Arc<str>>,
    /// Documents of which this program has such a text.
    pub documents: BTreeSet<Arc<str>>,
}

/// A source of named documents, followed live.
pub trait ConfigSource: Send + Sync + std::fmt::Debug {
    /// Follows one document (`common-config.yaml`; in another group `common-config.yaml@GROUP`). Returns at once; retries
    /// for ever in the background.
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText>;

    /// Whether the source answers.
    fn health(&self) -> watch::Receiver<Health>;

    /// Which documents this program has in a text that is not for all, as far as that is known.
    fn gray_publish(&self) -> GrayPublish {
        GrayPublish::default()
    }

    /// Looks at once at what is otherwise looked at now and then. What is pushed needs no such thing.
    fn refresh(&self) {}

    /// Told by the reader of the documents: these texts are good and in effect. A source that keeps what is good for the
    /// next start needs to know.
    fn in_effect(&self, _documents: &[(Arc<str>, Arc<str>)]) {}

    /// The text that was in effect when this program ran last, for a reader that finds the newest one to be bad; `None` when
    /// nothing is kept.
    fn last_good(&self, _name: &str) -> Option<Arc<str>> {
        None
    }
}
