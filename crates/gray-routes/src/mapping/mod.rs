//! `gray.spring`: what only the Java system knows, said in a document of ours.
//!
//! While a Java gateway runs beside this one, its document stays as it is. What that document means by classes, beans and schemes
//! of the system's own stands here instead: which filter of ours stands for one of them, whom requests are counted by, what a
//! scheme means. Nothing that this gateway has may be given another meaning.

mod acknowledge;
mod filters;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use gray_document::{Item, Section};

pub(crate) use self::{
    acknowledge::Acknowledged,
    filters::{Mapped, OwnFilters},
};
use crate::{
    RateKey,
    definition::Value,
    rate::{self, KEYS},
    text::quoted,
};

/// Where it stands.
pub(crate) const KEY: &str = "gray.spring";
/// Every key there is. Those that are not read in this module have a module of their own.
pub(crate) const ALL_KEYS: [&str; 6] = ["filters", "keyResolvers", "schemes", "release", "fallbacks", "acknowledge"];
/// Most entries of one map.
const MAX_ENTRIES: usize = 256;
/// What an entry takes, its name included.
const ENTRY: usize = 512;
/// Longest reason, in characters.
const LONGEST_REASON: usize = 300;

/// What is said of beans and schemes.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    resolvers: BTreeMap<String, Entry<Option<RateKey>>>,
    schemes: BTreeMap<String, Entry<&'static str>>,
}

/// What something means, and how often it was asked for.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    means: T,
    uses: AtomicUsize,
}

impl<T> Entry<T> {
    fn new(means: T) -> Self {
        Self { means, uses: AtomicUsize::new(0) }
    }

    fn used(&self) -> &T {
        self.uses.fetch_add(1, Relaxed);
        &self.means
    }

    fn uses(&self) -> usize {
        self.uses.load(Relaxed)
    }
}

impl Mapping {
    /// Reads what is said of beans and schemes.
    pub(crate) fn read(spring: &Section<'_>) -> Self {
        let mut mapping = Self::default();
        for (name, item) in entries(&spring.section("keyResolvers")) {
            let key = item.required_text(KEYS).and_then(|text| {
                let read = rate::resolver(text);
                read.map_err(|reason| item.error(reason)).ok()
            });
            // Said once is enough.
            mapping.resolvers.insert(name, Entry::new(key));
        }
        for (name, item) in entries(&spring.section("schemes")) {
            let Some(text) = item.required_text("lb") else { continue };
            let scheme = name.to_ascii_lowercase();
            if !is_scheme(&scheme) {
                item.error("not a scheme of a URI: expected letters, digits and + . -, a letter first");
            } else if TAKEN_SCHEMES.contains(&&*scheme) {
                item.error(format!(
                    "`{scheme}://` is known here, and cannot be given another meaning; remove the entry"
                ));
            } else {
                match ["lb", "lb:https"].into_iter().find(|known| text.eq_ignore_ascii_case(known)) {
                    Some(means) => drop(mapping.schemes.insert(scheme, Entry::new(means))),
                    None => item.error(format!("expected lb or lb:https, found {}", quoted(text))),
                }
            }
        }
        mapping
    }

    /// What a scheme in lower case stands for, if it is one of the system's own.
    pub(crate) fn scheme(&self, scheme: &str) -> Option<&'static str> {
        self.schemes.get(scheme).map(|entry| *entry.used())
    }

    /// What is counted by, where a bean is named (`#{@ipKeyResolver}`).
    pub(crate) fn key(&self, value: &Value<'_>) -> Option<RateKey> {
        let Some(name) = bean(&value.text) else {
            value.at.error(format!(
                "{}: of expressions, only the name of a bean is taken (`#{{@name}}`, with its meaning under {KEY}.keyResolvers); \
                 write {KEYS}",
                quoted(&value.text)
            ));
            return None;
        };
        match self.resolvers.get(name) {
            Some(entry) => entry.used().clone(),
            None => {
                let shown = quoted(name);
                value.at.warn(format!(
                    "the bean {shown} is the system's own Java: requests are counted by the client's address, until \
                     `{KEY}.keyResolvers.{}` says {KEYS}",
                    name.chars().take(60).collect::<String>()
                ));
                Some(RateKey::Client)
            }
        }
    }

    /// Says what no route asked for.
    pub(crate) fn finish(&self, spring: &Section<'_>) {
        let unused = |section: &Section<'_>, name: &str, what: &str| {
            section.warn(name, format!("no route has this {what}; the entry can go"));
        };
        let section = spring.section("keyResolvers");
        for (name, _) in self.resolvers.iter().filter(|(_, entry)| entry.uses() == 0) {
            unused(&section, name, "key resolver");
        }
        let section = spring.section("schemes");
        for (name, _) in self.schemes.iter().filter(|(_, entry)| entry.uses() == 0) {
            unused(&section, name, "scheme");
        }
    }
}

/// Schemes that mean something here.
const TAKEN_SCHEMES: [&str; 8] = ["lb", "http", "https", "ws", "wss", "file", "no", "forward"];

fn is_scheme(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    text.len() <= 30 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(fits)
}

/// `name` of `#{@name}` and `#{@'name'}`.
fn bean(text: &str) -> Option<&str> {
    let name = text.trim().strip_prefix("#{")?.strip_suffix('}')?.trim().strip_prefix('@')?;
    let quoted = ['\'', '"'].into_iter().find_map(|quote| name.strip_prefix(quote)?.strip_suffix(quote));
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || (quoted.is_some() && matches!(c, '.' | '-'));
    let name = quoted.unwrap_or(name);
    (!name.is_empty() && name.len() <= 128 && name.chars().all(fits)).then_some(name)
}

/// The entries of a map, as many as there may be.
fn entries<'d>(section: &Section<'d>) -> Vec<(String, Item<'d>)> {
    let entries = section.keys();
    if let Some((_, item)) = entries.get(MAX_ENTRIES) {
        item.error(format!("at most {MAX_ENTRIES} entries may be in one map of {KEY}"));
        return Vec::new();
    }
    entries.into_iter().take_while(|(_, item)| item.spend("entries of gray.spring", ENTRY)).collect()
}

/// A reason that was given; none, or a long one, is a problem.
fn reason(item: &Item<'_>) -> Option<String> {
    let reason = item.required_text("a reason, for those who come later")?;
    if reason.chars().nth(LONGEST_REASON).is_some() {
        item.error(format!("a reason has at most {LONGEST_REASON} characters"));
        return None;
    }
    Some(reason.to_owned())
}
