//! Documents from a directory.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{ConfigSource, DocumentText};
use crate::{
    Health,
    directory::{self, Listing, Text, Wake},
};

/// Settings without a server: a directory with the documents (`common-config.yaml`, `gateway-app.yaml`, ...), followed
/// live. Other extensions than `yaml`, `yml`, `properties`, `json` and none at all are not looked at.
///
/// Replace a document atomically (write another file, rename it over) where you can; an editor that writes in place is
/// waited for. A file that cannot be read is [`DocumentText::Unreadable`]: it is there, so it is not as if it were not.
#[derive(Debug)]
pub struct FileConfigSource {
    directory: PathBuf,
    wake: Wake,
    state: Mutex<State>,
    health: watch::Sender<Health>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Text>,
    documents: HashMap<String, watch::Sender<DocumentText>>,
}

impl FileConfigSource {
    /// Reads a directory, which must be there, and follows it from then on.
    ///
    /// # Errors
    /// When it is not a readable directory: made by us it would be empty, and look like settings that say nothing.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Arc<Self>, io::Error> {
        let directory = directory.into();
        fs::read_dir(&directory)?;
        let (wake, woken) = Wake::channel();
        let health = watch::Sender::new(Health::Up);
        let source =
            Arc::new(Self { directory: directory.clone(), wake: wake.clone(), state: Mutex::default(), health });
        directory::follow(directory, &["yaml", "yml", "properties", "json", ""], (wake, woken), &source, Self::update)?;
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
        self.files.clone_from(files);
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
        // A directory has no groups: the data id is the file's name.
        match self.files.get(name.split_once('@').map_or(name, |(data_id, _)| data_id)) {
            None => DocumentText::Absent,
            Some(Ok(text)) => DocumentText::Present(Arc::clone(text)),
            Some(Err(reason)) => DocumentText::Unreadable(reason.as_str().into()),
        }
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

    fn refresh(&self) {
        self.wake.look();
    }
}
