//! Documents that documents import: one level deep, bounded, and none twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use gray_document::{Reading, lasting::Texts};
use gray_registry::{ConfigSource, DocumentText};
use gray_settings::sources::{MAX_NAMED, imported};

use super::Follower;

/// What the documents that a program starts with import.
#[derive(Debug)]
pub(super) struct Imports {
    /// The documents that a program starts with.
    base: Vec<Arc<str>>,
    /// By the document that imports them, in its order.
    by: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Everything ever imported: what is not any more stays a name, or its routes could vanish without a word.
    ever: HashSet<Arc<str>>,
}

impl Imports {
    pub(super) fn new(base: &[Arc<str>]) -> Self {
        Self { base: base.to_vec(), by: HashMap::new(), ever: HashSet::new() }
    }

    /// Looks at the newest text of a document. One that is gone or not well formed imports what it did before.
    pub(super) fn look(&mut self, name: &Arc<str>, text: &DocumentText, reading: &Reading) {
        let DocumentText::Present(text) = text else { return };
        if !self.base.contains(name) {
            return;
        }
        let Some(found) = imported(name, text, reading) else { return };
        let mut named = Vec::new();
        for document in found {
            let import: Arc<str> = document.to_string().into();
            if self.base.contains(&import) || named.contains(&import) {
                continue;
            }
            if !self.ever.contains(&import) && self.ever.len() >= MAX_NAMED {
                tracing::warn!(
                    document = %name, %import,
                    "not read: documents import at most {MAX_NAMED} others while a program runs"
                );
                continue;
            }
            self.ever.insert(Arc::clone(&import));
            named.push(import);
        }
        if !named.is_empty() || self.by.contains_key(name) {
            let before = self.by.get(name).map(Vec::as_slice).unwrap_or_default();
            // Behind them: those it does not import any more.
            let gone: Vec<_> = before.iter().filter(|import| !named.contains(import)).cloned().collect();
            self.by.insert(Arc::clone(name), named.into_iter().chain(gone).collect());
        }
    }

    /// All documents, the one that counts least first: what a document imports counts more than itself.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for base in &self.base {
            names.push(Arc::clone(base));
            for import in self.by.get(base).into_iter().flatten() {
                if !names.contains(import) {
                    names.push(Arc::clone(import));
                }
            }
        }
        names
    }

    /// Whether a document is read for no other reason than that it was imported once.
    pub(super) fn is_gone(&self, name: &str, known: &HashMap<Arc<str>, DocumentText>, reading: &Reading) -> bool {
        if !self.ever.contains(name) {
            return false;
        }
        let importing = self.by.iter().filter(|(_, imports)| imports.iter().any(|import| **import == *name));
        let mut importing = importing.peekable();
        let still = |(by, _): (&Arc<str>, &Vec<Arc<str>>)| match known.get(by) {
            Some(DocumentText::Present(text)) => {
                imported(by, text, reading).is_none_or(|found| found.iter().any(|import| import.to_string() == *name))
            }
            // Its last text stays in effect.
            _ => true,
        };
        importing.peek().is_some() && !importing.any(still)
    }
}

impl<T, R> Follower<T, R> {
    /// Whether the newest documents import others that were not followed so far; they are from here on.
    pub(super) fn follows_more(&mut self, source: &dyn ConfigSource) -> bool {
        for (name, known) in self.names.iter().zip(&self.known) {
            if let Some(text) = known {
                self.imports.look(name, text, &self.reading);
            }
        }
        let names = self.imports.names();
        if names == self.names {
            return false;
        }
        let before: Vec<_> = names.iter().map(|name| self.names.iter().position(|known| known == name)).collect();
        let moved = |texts: &Texts| before.iter().map(|place| texts[(*place)?].clone()).collect::<Texts>();
        self.applied = self.applied.as_ref().map(moved);
        let kept = names.iter().map(|name| source.last_good(name)).collect::<Texts>();
        self.last_good = kept.iter().any(Option::is_some).then_some(kept);
        self.known = before.iter().map(|place| self.known[(*place)?].clone()).collect();
        self.judged = None;
        self.names = names;
        true
    }
}
