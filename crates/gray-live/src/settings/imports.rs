//! Documents that documents import: one level deep, bounded, and none twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use gray_document::{Documents, Problem, Problems, Reading, lasting::Texts};
use gray_registry::{ConfigSource, DocumentText};
use gray_settings::sources::{MAX_NAMED, imported};

use super::Follower;

/// What the documents that a program starts with import.
#[derive(Debug)]
pub(super) struct Imports {
    /// The documents that a program starts with.
    base: Vec<Arc<str>>,
    /// By the document that imports them, in its order; behind them what it imported before.
    by: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// The same without those.
    newest: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Everything ever imported: what is not any more stays a name, or its routes could vanish without a word.
    ever: HashSet<Arc<str>>,
}

impl Imports {
    pub(super) fn new(base: &[Arc<str>]) -> Self {
        Self { base: base.to_vec(), by: HashMap::new(), newest: HashMap::new(), ever: HashSet::new() }
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
            let gone: Vec<_> = before.iter().filter(|import| !named.contains(import)).cloned().collect();
            self.by.insert(Arc::clone(name), named.iter().cloned().chain(gone).collect());
            self.newest.insert(Arc::clone(name), named);
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

    /// Whether a document was imported once, and is not any more.
    pub(super) fn is_gone(&self, name: &str) -> bool {
        self.ever.contains(name) && !self.newest.values().flatten().any(|import| **import == *name)
    }

    /// Whether a document imports another one, or did.
    fn is_of(&self, name: &str, by: &str) -> bool {
        self.by.get(by).is_some_and(|imports| imports.iter().any(|import| **import == *name))
    }
}

impl<T, R> Follower<T, R>
where
    T: Send + Sync + 'static,
    R: Fn(&Documents) -> T + Send + Sync + 'static,
{
    /// A document of which the last text stays in effect imports what that text imports.
    pub(super) fn keep_imports(&self, texts: &mut Texts, problems: &Problems) {
        let Some(good) = self.reference() else { return };
        for (position, name) in self.names.iter().enumerate() {
            let stays = |problem: &Problem| self.imports.is_of(name, &problem.origin.document);
            if texts[position].is_none() && problems.errors().any(stays) {
                texts[position].clone_from(&good[position]);
            }
        }
    }

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
