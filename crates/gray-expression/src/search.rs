//! What searches need for a time, kept by each thread: for all of its expressions together, up to a limit.

use std::{cell::RefCell, collections::HashMap};

use foldhash::fast::RandomState;
use regex_automata::meta::{Cache, Regex};

/// What one thread keeps at most between two searches, in bytes.
pub const KEPT_BYTES: usize = 8 << 20;

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

#[derive(Default)]
struct Kept {
    caches: HashMap<u64, Box<Entry>, RandomState>,
    bytes: usize,
}

struct Entry {
    cache: Cache,
    bytes: usize,
}

/// Searches with what is kept for this expression.
pub(super) fn with<T>(id: u64, regex: &Regex, search: impl FnOnce(&mut Cache) -> T) -> T {
    KEPT.with(|kept| match kept.try_borrow_mut() {
        Ok(mut kept) => kept.with(id, regex, search),
        // A search within a search; does not occur.
        Err(_) => search(&mut regex.create_cache()),
    })
}

impl Kept {
    fn with<T>(&mut self, id: u64, regex: &Regex, search: impl FnOnce(&mut Cache) -> T) -> T {
        let entry = self.caches.entry(id).or_insert_with(|| Box::new(Entry { cache: regex.create_cache(), bytes: 0 }));
        let found = search(&mut entry.cache);
        let bytes = size_of::<Entry>() + entry.cache.memory_usage();
        self.bytes = self.bytes + bytes - entry.bytes;
        entry.bytes = bytes;
        // Expressions of documents that are gone are among them, so all are let go.
        if self.bytes > KEPT_BYTES {
            *self = Self::default();
        }
        found
    }
}

/// What this thread keeps, in bytes.
#[cfg(test)]
pub(super) fn kept() -> usize {
    KEPT.with(|kept| kept.borrow().bytes)
}
