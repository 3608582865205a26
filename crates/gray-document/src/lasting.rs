//! What does not vanish by accident: a document that said something, and parts of it that matter.
//!
//! An emptied file, a key with a typing error in it and a text in another encoding are well formed, and would take routes
//! or rules away without a word. So whatever was in effect stays until a document says expressly that there is nothing.

use std::sync::Arc;

use super::{Origin, Outline, Problem, Reading, Severity};

/// Text of every document, `None` where there is none.
pub type Texts = Vec<Option<Arc<str>>>;

/// A part of the documents that is not gone because it is not mentioned any more.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// Where it may stand.
    keys: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Replaced as a whole: it may move from one document to another.
    List,
    /// Merged: each document has a share of its own in it.
    Map,
}

impl Lasting {
    /// A list, under any of these keys.
    pub fn list(keys: &[&str]) -> Self {
        Self { keys: keys.iter().map(|key| (*key).to_owned()).collect(), kind: Kind::List }
    }

    /// A map.
    pub fn map(key: &str) -> Self {
        Self { keys: vec![key.to_owned()], kind: Kind::Map }
    }

    fn states(&self, outline: &Outline) -> bool {
        self.keys.iter().any(|key| outline.states(key))
    }

    /// The key under which there is a value.
    fn had<'s>(&'s self, outline: &Outline) -> Option<&'s str> {
        self.keys.iter().find(|key| outline.has(key)).map(String::as_str)
    }

    /// How to write that there is nothing.
    fn nothing(&self, key: &str) -> String {
        match self.kind {
            Kind::List => format!("`{key}: []`"),
            Kind::Map => format!("`{key}: {{}}`"),
        }
    }
}

/// How to say that a document, whose last text this is, has nothing to say any more.
pub fn taking_back(name: &str, text: &str, reading: &Reading, lasting: &[Lasting]) -> String {
    let outline = Outline::of(name, text, reading);
    let parts =
        outline.iter().flat_map(|outline| lasting.iter().filter_map(|part| Some(part.nothing(part.had(outline)?))));
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { "`{}`".to_owned() } else { parts.join(" and ") }
}

/// Whether there is a value in a text that was in effect.
pub fn has_values(name: &str, text: &str, reading: &Reading) -> bool {
    Outline::of(name, text, reading).is_some_and(|outline| outline.has_values())
}

/// Whether a text says nothing, not even that there is nothing.
pub fn is_blank(name: &str, text: &str, reading: &Reading) -> bool {
    Outline::of(name, text, reading).is_some_and(|outline| outline.is_blank())
}

/// The documents, by position, in which something is missing that was there before, and what.
pub fn lost(
    names: &[Arc<str>],
    before: &Texts,
    after: &Texts,
    reading: &Reading,
    lasting: &[Lasting],
) -> Vec<(usize, Problem)> {
    if lasting.is_empty() || before == after {
        return Vec::new();
    }
    let outlines = |texts: &Texts| -> Vec<_> {
        let named = names.iter().zip(texts);
        named.map(|(name, text)| Outline::of(name, text.as_deref()?, reading)).collect()
    };
    let is_there: Vec<_> = after.iter().map(Option::is_some).collect();
    let (before, after) = (outlines(before), outlines(after));
    // What is not well formed is refused for that.
    let is_unread: Vec<_> = is_there.iter().zip(&after).map(|(is_there, after)| *is_there && after.is_none()).collect();
    let mut lost = Vec::new();
    for part in lasting {
        if part.kind == Kind::List && after.iter().flatten().any(|outline| part.states(outline)) {
            continue;
        }
        for (position, outline) in before.iter().enumerate() {
            let Some(key) = outline.as_ref().and_then(|outline| part.had(outline)) else { continue };
            if is_unread[position] || after[position].as_ref().is_some_and(|outline| part.states(outline)) {
                continue;
            }
            let nothing = part.nothing(key);
            let message = format!(
                "missing, and the text in effect has it; is another key misspelt? That text stays. If there is to be nothing, \
                 write {nothing}"
            );
            let origin = Origin { document: Arc::clone(&names[position]), line: 0 };
            lost.push((position, Problem { severity: Severity::Error, origin, path: key.to_owned(), message }));
        }
    }
    lost
}

/// What a process in which these documents (name, text) are in effect would refuse in a new text of one of them: that it is
/// empty, or that a part is missing.
pub fn losses(
    in_effect: &[(Arc<str>, Arc<str>)],
    name: &str,
    text: &str,
    reading: &Reading,
    lasting: &[Lasting],
) -> Vec<Problem> {
    let (names, before): (Vec<_>, Vec<_>) =
        in_effect.iter().map(|(name, text)| (Arc::clone(name), Some(Arc::clone(text)))).unzip();
    let Some(position) = names.iter().position(|other| **other == *name) else { return Vec::new() };
    let kept = &in_effect[position].1;
    if is_blank(name, text, reading) && has_values(name, kept, reading) {
        let message = format!(
            "the document is empty, and the text in effect would stay; if it is to say nothing, write {}",
            taking_back(name, kept, reading, lasting)
        );
        let origin = Origin { document: name.into(), line: 0 };
        return vec![Problem { severity: Severity::Error, origin, path: String::new(), message }];
    }
    let mut after = before.clone();
    after[position] = Some(text.into());
    lost(&names, &before, &after, reading, lasting).into_iter().map(|(_, problem)| problem).collect()
}

/// The parts that are lists and in none of these texts: for those who check documents that are meant to be complete.
pub fn nowhere<'l>(
    texts: &[(&str, &str)],
    reading: &Reading,
    lasting: &'l [Lasting],
) -> impl Iterator<Item = &'l str> + use<'l> {
    let outlines: Vec<_> = texts.iter().filter_map(|(name, text)| Outline::of(name, text, reading)).collect();
    let lists = lasting.iter().filter(|part| part.kind == Kind::List);
    let missing = lists.filter(move |part| !outlines.iter().any(|outline| part.states(outline)));
    missing.filter_map(|part| part.keys.first().map(String::as_str))
}
