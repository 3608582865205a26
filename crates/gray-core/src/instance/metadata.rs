//! Metadata of instances.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// Keys and values, sorted by key. Cloning is cheap: a registry's list, a snapshot and its endpoints share one.
#[derive(Clone, Default, PartialEq, Eq)]
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
