//! How documents are read, besides what stands in them.

use super::Profiles;

/// What reading depends on: the profiles that are active, and which documents may be a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Parts of documents for other profiles are left out.
    pub profiles: Profiles,
    /// Documents (name, key) that may be a list instead of a map: it then stands under the key.
    pub lists: Vec<(String, String)>,
}

impl Reading {
    /// The key under which a document stands that is a list, if it may be one.
    pub(super) fn list_key(&self, document: &str) -> Option<&str> {
        self.lists.iter().find(|(name, _)| name == document).map(|(_, key)| key.as_str())
    }
}

impl From<Profiles> for Reading {
    fn from(profiles: Profiles) -> Self {
        Self { profiles, lists: Vec::new() }
    }
}
