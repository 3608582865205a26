//! How documents are read, besides what stands in them.

use super::Profiles;

/// What documents are read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To run by them.
    #[default]
    Run,
    /// To tell what is wrong, elsewhere than where they are run by: what a placeholder stands for may be unknown. Such a value is a
    /// warning, and nothing else is said of it.
    Check,
    /// The same once more, for other profiles.
    CheckAgain,
}

/// What reading depends on: the profiles that are active, and which documents may be a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Parts of documents for other profiles are skipped.
    pub profiles: Profiles,
    /// Documents (name, key) that may be a list instead of a map: it then stands under the key.
    pub lists: Vec<(String, String)>,
    /// What for.
    pub purpose: Purpose,
}

impl Reading {
    /// The key under which a document stands that is a list, if it may be one.
    pub(super) fn list_key(&self, document: &str) -> Option<&str> {
        self.lists.iter().find(|(name, _)| name == document).map(|(_, key)| key.as_str())
    }
}

impl From<Profiles> for Reading {
    fn from(profiles: Profiles) -> Self {
        Self { profiles, ..Self::default() }
    }
}
