//! Documents in memory, for tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{ConfigSource, DocumentText};
use crate::Health;

/// Documents in memory. It answers at once: a document that was not set is absent.
#[derive(Debug)]
pub struct MemoryConfigSource {
    documents: Mutex<HashMap<String, watch::Sender<DocumentText>>>,
    health: watch::Sender<Health>,
}

impl MemoryConfigSource {
    /// An empty source that is up.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { documents: Mutex::default(), health: watch::Sender::new(Health::Up) })
    }

    /// A source that holds these documents (name, text).
    pub fn with(documents: &[(&str, &str)]) -> Arc<Self> {
        let source = Self::new();
        documents.iter().for_each(|(name, text)| source.set(name, text));
        source
    }

    /// Publishes a document.
    pub fn set(&self, name: &str, text: &str) {
        self.put(name, DocumentText::Present(text.into()));
    }

    /// Deletes a document.
    pub fn remove(&self, name: &str) {
        self.put(name, DocumentText::Absent);
    }

    /// Has a document that cannot be read.
    pub fn unreadable(&self, name: &str, reason: &str) {
        self.put(name, DocumentText::Unreadable(reason.into()));
    }

    /// Goes back to "has not answered yet".
    pub fn forget(&self, name: &str) {
        self.put(name, DocumentText::Unknown);
    }

    /// Sets what [`ConfigSource::health`] reports.
    pub fn set_health(&self, health: Health) {
        self.health.send_replace(health);
    }

    fn put(&self, name: &str, text: DocumentText) {
        self.with_sender(name, |sender| {
            sender.send_replace(text);
        });
    }

    fn with_sender<T>(&self, name: &str, use_it: impl FnOnce(&watch::Sender<DocumentText>) -> T) -> T {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(documents.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(DocumentText::Absent)))
    }
}

impl ConfigSource for MemoryConfigSource {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        self.with_sender(name, watch::Sender::subscribe)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}
