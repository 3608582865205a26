//! A source of documents with a memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, sync::watch, task::JoinSet, time::sleep};

use super::{Content, DiskStore, GRACE, Kept};
use crate::{
    Health,
    config_source::{ConfigSource, DocumentText, GrayPublish},
    unix_seconds,
};

const NAME: &str = "documents";

/// Another source, whose documents are kept on disk once they are in effect.
pub struct KeptConfigSource {
    inner: Arc<dyn ConfigSource>,
    /// What was on disk at the start, and when it was last known to be true.
    kept: Option<(BTreeMap<String, Arc<str>>, u64)>,
    memory: Arc<Memory>,
    documents: Mutex<HashMap<String, watch::Receiver<DocumentText>>>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl KeptConfigSource {
    /// Keeps what is in effect of `inner` in this store. `place` tells one server, namespace and group from another.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn new(inner: Arc<dyn ConfigSource>, store: Arc<DiskStore>, place: &str) -> Arc<Self> {
        let kept = store.read(NAME, place).and_then(|Kept { saved, content, .. }| match content {
            Content::Documents(texts) => {
                Some((texts.into_iter().map(|(name, text)| (name, Arc::from(text))).collect(), saved))
            }
            Content::Instances { .. } => None,
        });
        let memory = Arc::new(Memory { store, place: place.to_owned(), state: Mutex::default() });
        let (documents, tasks) = (Mutex::default(), Mutex::default());
        Arc::new(Self { inner, kept, memory, documents, tasks, runtime: Handle::current() })
    }
}

/// What is to be kept.
struct Memory {
    store: Arc<DiskStore>,
    place: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Documents that are in effect as they were on disk, because there was no answer.
    from_disk: BTreeSet<String>,
    in_effect: Option<BTreeMap<String, String>>,
}

impl Memory {
    /// Writes what is in effect, once all of it comes from where it should: what is only on disk gets no younger.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.from_disk.is_empty()
            && let Some(texts) = state.in_effect.take()
        {
            self.store.write(NAME, &self.place, Content::Documents(texts));
        }
    }

    fn use_disk(&self, name: &str, saved: u64) {
        self.store.uses(name, Some(saved));
        self.update(|state| {
            state.from_disk.insert(name.to_owned());
        });
    }

    fn use_source(&self, name: &str) {
        self.store.uses(name, None);
        self.update(|state| {
            state.from_disk.remove(name);
        });
    }
}

impl ConfigSource for KeptConfigSource {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        // Without anything on disk there is nothing to add.
        let Some((texts, saved)) = &self.kept else { return self.inner.watch(name) };
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = documents.get(name) {
            return text.clone();
        }
        // What was not in effect was not there.
        let kept = texts.get(name).map_or(DocumentText::Absent, |text| DocumentText::Present(Arc::clone(text)));
        let inner = self.inner.watch(name);
        let (sender, text) = watch::channel(inner.borrow().clone());
        let task = follow(inner, sender, kept, *saved, name.to_owned(), Arc::clone(&self.memory));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(task, &self.runtime);
        documents.insert(name.to_owned(), text.clone());
        text
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn gray_publish(&self) -> GrayPublish {
        self.inner.gray_publish()
    }

    fn refresh(&self) {
        self.inner.refresh();
    }

    fn last_good(&self, name: &str) -> Option<Arc<str>> {
        self.kept.as_ref()?.0.get(name).cloned()
    }

    fn in_effect(&self, documents: &[(Arc<str>, Arc<str>)]) {
        self.inner.in_effect(documents);
        let texts = documents.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        self.memory.update(|state| state.in_effect = Some(texts));
    }
}

async fn follow(
    mut inner: watch::Receiver<DocumentText>,
    sender: watch::Sender<DocumentText>,
    kept: DocumentText,
    saved: u64,
    name: String,
    memory: Arc<Memory>,
) {
    tokio::select! {
        answered = inner.wait_for(|text| *text != DocumentText::Unknown) => if answered.is_err() { return },
        () = sleep(GRACE) => {
            let is_kept = kept != DocumentText::Absent;
            // Of the many that were not there either, nothing needs to be said.
            if is_kept {
                tracing::warn!(
                document = %name, age_secs = unix_seconds().saturating_sub(saved),
                "the source of the settings does not answer; going on with what was kept on disk"
                );
            }
            memory.use_disk(&name, saved);
            sender.send_replace(kept);
        }
    }
    loop {
        let text = inner.borrow_and_update().clone();
        if text != DocumentText::Unknown {
            memory.use_source(&name);
            sender.send_if_modified(|state| {
                let is_news = *state != text;
                *state = text;
                is_news
            });
        }
        if inner.changed().await.is_err() {
            return;
        }
    }
}

impl fmt::Debug for KeptConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptConfigSource").field("inner", &self.inner).finish_non_exhaustive()
    }
}
