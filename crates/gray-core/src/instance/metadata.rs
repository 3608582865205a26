//! Metadata of instances.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use super::Instance;

/// Keys and values, sorted by key. Cloning is cheap: a registry's list, a snapshot and its endpoints share one.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Arc<[(Box<str>, Box<str>)]>);

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        // A handful of entries: looking at each of them is quicker than a search.
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// Adds an entry, or replaces the one of this key.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        self.extend([(key, value)]);
    }

    /// The entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> Extend<(K, V)> for Metadata {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        let mut all: BTreeMap<Box<str>, Box<str>> = self.0.iter().cloned().collect();
        all.extend(entries.into_iter().map(|(key, value)| (key.into(), value.into())));
        self.0 = all.into_iter().collect();
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Metadata {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut metadata = Self::default();
        metadata.extend(entries);
        metadata
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Has instances whose metadata say the same share them, with each other and with those of an older list: they take more than all
/// else that is known of an instance, and say the same for most of a service.
pub fn share_metadata(instances: &mut [Instance], older: &[Instance]) {
    let mut known: HashSet<Metadata, foldhash::quality::RandomState> =
        older.iter().map(|instance| instance.metadata.clone()).collect();
    for Instance { metadata, .. } in instances {
        match known.get(metadata) {
            Some(same) => *metadata = same.clone(),
            None => _ = known.insert(metadata.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_say_the_same_are_kept_once() {
        let instance = |version: &str| Instance::new("h", 1).with_version(version);
        let older = ["V1", "V2"].map(instance);
        let mut newer = ["V2", "V3", "V1", "V3"].map(instance);
        let said = newer.clone();
        share_metadata(&mut newer, &older);
        assert_eq!(newer, said);
        let is_one = |one: &Instance, other: &Instance| Arc::ptr_eq(&one.metadata.0, &other.metadata.0);
        assert!(is_one(&newer[0], &older[1]) && is_one(&newer[2], &older[0]) && is_one(&newer[1], &newer[3]));
        assert!(!is_one(&newer[0], &newer[1]));
    }
}
