//! What was opened for other places than the registry's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use gray_core::MAX_SPACES;
use tokio::sync::watch;

use super::{ServiceState, Space};

/// What was opened for other spaces: on first use, and kept.
#[derive(Debug)]
pub struct Opened<K, T> {
    opened: Mutex<BTreeMap<K, Arc<T>>>,
    /// Never sends, and is never dropped: what callers get instead of a space that cannot be opened.
    silent: watch::Sender<ServiceState>,
}

impl<K: Ord, T> Default for Opened<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, T> Opened<K, T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { opened: Mutex::default(), silent: watch::Sender::new(None) }
    }

    /// What is open under this key; opened by `open` if need be. A failure, and one space too many, are logged.
    pub fn get(&self, key: K, space: &Space, open: impl FnOnce() -> Result<Arc<T>, String>) -> Option<Arc<T>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = opened.get(&key) {
            return Some(Arc::clone(found));
        }
        let found = if opened.len() < MAX_SPACES {
            open()
        } else {
            Err(format!("{MAX_SPACES} others are open already, and more are not opened"))
        };
        match found {
            Ok(found) => {
                opened.insert(key, Arc::clone(&found));
                Some(found)
            }
            Err(reason) => {
                tracing::error!(%space, "instances in this space are not found: {reason}");
                None
            }
        }
    }

    /// All that are open.
    pub fn opened(&self) -> Vec<Arc<T>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A service of which nothing will ever be known.
    pub fn silent(&self) -> watch::Receiver<ServiceState> {
        self.silent.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_opened_and_no_more() {
        let opened = Opened::new();
        let space: Space = "lane".parse().expect("a space");
        assert!(opened.get(0, &space, || Err("not today".into())).is_none());
        for key in 0..MAX_SPACES {
            assert_eq!(opened.get(key, &space, || Ok(Arc::new(key))).as_deref(), Some(&key));
        }
        assert!(opened.get(MAX_SPACES, &space, || Ok(Arc::new(MAX_SPACES))).is_none());
        let again = opened.get(3, &space, || unreachable!("it is open"));
        assert_eq!(again.as_deref(), Some(&3), "those that are open stay");
        let silent = opened.silent();
        assert!(silent.borrow().is_none() && silent.has_changed().is_ok(), "silent, not gone");
    }
}
