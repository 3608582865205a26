//! Single values.

use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

use super::placeholder::Unresolved;

/// A text; with placeholders, what they stand for is filled in once all documents are merged.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    raw: Arc<str>,
    templated: bool,
    /// Whether a placeholder elsewhere stands for it.
    pub(super) lent: Cell<bool>,
    pub(super) resolved: OnceCell<Result<Arc<str>, Unresolved>>,
    /// The text in parts, where a placeholder stands in it that no document sets.
    pub(super) open: OnceCell<Box<[OpenPart]>>,
}

/// A part of a text with a placeholder that no document sets.
#[derive(Clone, Debug)]
pub(super) enum OpenPart {
    Text(String),
    /// `${name}`: its name, and the value of the environment's variable that would take its place.
    Open(String, Option<String>),
}

impl Scalar {
    pub(super) fn new(raw: Arc<str>) -> Self {
        let templated = raw.contains("${");
        Self { raw, templated, lent: Cell::new(false), resolved: OnceCell::new(), open: OnceCell::new() }
    }

    pub(super) fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    pub(super) fn is_templated(&self) -> bool {
        self.templated
    }

    /// The placeholder that nothing sets, if that is why there is no text.
    pub(super) fn unset(&self) -> Option<&str> {
        match self.resolved.get() {
            Some(Err(Unresolved::Unset(key, _))) => Some(key),
            _ => None,
        }
    }

    /// The text with all placeholders replaced, or why that failed.
    pub(super) fn text(&self) -> Result<&str, &str> {
        match self.resolved.get() {
            Some(Ok(text)) => Ok(text),
            Some(Err(unresolved)) => Err(unresolved.reason()),
            None => Ok(&self.raw),
        }
    }
}
