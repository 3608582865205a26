//! `gray.spring.acknowledge`: keys that this gateway does not take, and why they can go.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gray_document::{Item, Section};

use super::{ENTRY, KEY, MAX_ENTRIES, reason};
use crate::definition::relaxed;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// With dots, as written.
    key: String,
    /// Its names, relaxed.
    steps: Vec<String>,
    reason: String,
    was_asked: AtomicBool,
}

impl Acknowledged {
    /// Reads them; keys may nest.
    pub(crate) fn read(spring: &Section<'_>) -> Self {
        let mut acknowledged = Self::default();
        acknowledged.add(&spring.section("acknowledge"), "");
        acknowledged
    }

    fn add(&mut self, section: &Section<'_>, before: &str) {
        for (name, item) in section.keys() {
            let key = if before.is_empty() { name } else { format!("{before}.{name}") };
            if item.is_map() {
                self.add(&item.section(), &key);
            } else if !self.push(key, &item) {
                return;
            }
        }
    }

    /// Whether there is room for more.
    fn push(&mut self, key: String, item: &Item<'_>) -> bool {
        if self.0.len() == MAX_ENTRIES {
            item.error(format!("at most {MAX_ENTRIES} entries may be in one map of {KEY}"));
        }
        if self.0.len() >= MAX_ENTRIES || !item.spend("entries of gray.spring", ENTRY + key.len()) {
            return false;
        }
        if let Some(reason) = reason(item) {
            let steps = steps(&key).collect();
            self.0.push(Entry { key, steps, reason, was_asked: AtomicBool::new(false) });
        }
        true
    }

    /// Why a key can go: it, or one that it stands under.
    pub(crate) fn reason(&self, path: &str) -> Option<&str> {
        let path: Vec<_> = steps(path).collect();
        let found = self.0.iter().find(|entry| path.starts_with(&entry.steps))?;
        found.was_asked.store(true, Relaxed);
        Some(&found.reason)
    }

    /// Says which of them nothing asked for.
    pub(crate) fn finish(&self, spring: &Section<'_>) {
        for entry in self.0.iter().filter(|entry| !entry.was_asked.load(Relaxed)) {
            let key = format!("acknowledge.{}", entry.key);
            spring.warn(&key, "no document has anything there that has to be acknowledged; the entry can go");
        }
    }
}

fn steps(path: &str) -> impl Iterator<Item = String> {
    path.split('.').map(relaxed)
}
