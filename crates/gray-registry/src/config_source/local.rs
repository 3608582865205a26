//! Documents that a program was given as files, beside those of another source.

use std::{collections::HashMap, fmt, sync::Arc};

use tokio::sync::watch;

use super::{ConfigSource, DocumentText, GrayPublish};
use crate::Health;

/// Another source, and some texts of its own (`bootstrap.yml`), which never change.
pub struct LocalDocuments {
    inner: Arc<dyn ConfigSource>,
    texts: HashMap<Arc<str>, watch::Sender<DocumentText>>,
}

impl LocalDocuments {
    /// These texts (name, text) under their names; everything else is asked of `inner`.
    pub fn new(inner: Arc<dyn ConfigSource>, texts: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Arc<Self> {
        let texts = texts.into_iter().map(|(name, text)| (name, watch::Sender::new(DocumentText::Present(text))));
        Arc::new(Self { inner, texts: texts.collect() })
    }
}

impl ConfigSource for LocalDocuments {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        self.texts.get(name).map_or_else(|| self.inner.watch(name), watch::Sender::subscribe)
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

    fn in_effect(&self, documents: &[(Arc<str>, Arc<str>)]) {
        // What is a file here needs no copy elsewhere.
        let others = documents.iter().filter(|(name, _)| !self.texts.contains_key(name));
        self.inner.in_effect(&others.cloned().collect::<Vec<_>>());
    }

    fn last_good(&self, name: &str) -> Option<Arc<str>> {
        if self.texts.contains_key(name) { None } else { self.inner.last_good(name) }
    }
}

impl fmt::Debug for LocalDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.texts.keys().collect();
        f.debug_struct("LocalDocuments").field("names", &names).field("inner", &self.inner).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryConfigSource;

    #[tokio::test]
    async fn own_texts_come_first_and_the_rest_from_elsewhere() {
        let inner = MemoryConfigSource::with(&[("a.yaml", "elsewhere"), ("bootstrap.yml", "elsewhere")]);
        let source = LocalDocuments::new(inner, [("bootstrap.yml".into(), "here".into())]);
        let text = |name: &str| source.watch(name).borrow().clone();
        assert_eq!(text("bootstrap.yml"), DocumentText::Present("here".into()));
        assert_eq!(text("a.yaml"), DocumentText::Present("elsewhere".into()));
        assert_eq!(*source.health().borrow(), Health::Up);
        assert_eq!(source.last_good("bootstrap.yml"), None);
    }
}
