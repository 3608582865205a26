//! Documents from a directory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{ConfigSource, DocumentText};
use crate::{
    directory::{self, Listing, Text},
    registry::Health,
};

/// Settings without a server: a directory with the documents (`common-config.yaml`, `gateway-app.yaml`, ...), followed
/// live.
///
/// Replace a document atomically (write another file, rename it over) where you can; an editor that writes in place is
/// waited for. A file that cannot be read keeps its last text in force and is reported once.
#[derive(Debug)]
pub struct FileConfigSource {
    directory: PathBuf,
    state: Mutex<State>,
    health: watch::Sender<Health>,
}

#[derive(Debug, Default)]
struct State {
    texts: BTreeMap<String, Arc<str>>,
    refused: BTreeMap<String, String>,
    documents: HashMap<String, watch::Sender<DocumentText>>,
}

impl FileConfigSource {
    /// Opens a directory, creating it if need be, reads it, and follows it from then on.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Arc<Self>, io::Error> {
        let directory = directory.into();
        let health = watch::Sender::new(Health::Up);
        let source = Arc::new(Self { directory: directory.clone(), state: Mutex::default(), health });
        directory::follow(directory, &["yaml", "yml"], &source, Self::update)?;
        Ok(source)
    }

    fn update(&self, listing: &Listing) {
        match listing {
            Ok(files) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).update(files);
                if self.health.send_replace(Health::Up) != Health::Up {
                    tracing::info!(directory = %self.directory.display(), "settings directory can be read again");
                }
            }
            Err(reason) => {
                tracing::warn!("{reason}; keeping the settings known so far");
                self.health.send_replace(Health::Down(reason.clone()));
            }
        }
    }
}

impl State {
    fn update(&mut self, files: &BTreeMap<String, Text>) {
        self.texts.retain(|name, _| files.contains_key(name));
        self.refused.retain(|name, _| matches!(files.get(name), Some(Err(_))));
        for (name, text) in files {
            match text {
                Ok(text) => drop(self.texts.insert(name.clone(), Arc::clone(text))),
                Err(reason) => {
                    if self.refused.insert(name.clone(), reason.clone()).as_ref() != Some(reason) {
                        tracing::warn!(document = %name, "cannot be read, keeping what it said before: {reason}");
                    }
                }
            }
        }
        for (name, sender) in &self.documents {
            sender.send_if_modified(|state| {
                let now = self.document(name);
                let changed = *state != now;
                *state = now;
                changed
            });
        }
    }

    fn document(&self, name: &str) -> DocumentText {
        self.texts.get(name).map_or(DocumentText::Absent, |text| DocumentText::Present(Arc::clone(text)))
    }
}

impl ConfigSource for FileConfigSource {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = state.documents.get(name) {
            return sender.subscribe();
        }
        let sender = watch::Sender::new(state.document(name));
        let receiver = sender.subscribe();
        state.documents.insert(name.to_owned(), sender);
        receiver
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}
