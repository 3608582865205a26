//! `gray.*`: who gets which lane, as a document. `docs/rules.md` is its contract.
//!
//! The rules of the document come first, those that the demo's settings stand for after them; the lanes `baseline`,
//! `gray` and `any` are there without being written.

#[cfg(all(test, feature = "schema"))]
mod drift;
mod jwt;
mod lanes;
mod rule;
#[cfg(feature = "schema")]
pub mod schema;
mod source;
mod when;

pub use source::parse_source;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use gray_document::{Documents, Item, Section, is_same_name};
use gray_settings::GraySettings;

use self::lanes::Baseline;
use super::{Jwt, RuleSet, RuleSetBuilder, Source, Switch};

/// Where the rules stand.
const KEY: &str = "gray";
/// Longest name of a fact, in bytes.
const MAX_NAME: usize = 256;
/// Most facts of which one is the first.
const MAX_PARTS: usize = 16;
/// What a fact takes: it is kept of every request that is recorded.
const FACT: usize = 8 << 10;

impl RuleSet {
    /// Reads the rules of the documents and adds those that the settings stand for. Problems are noted in the documents;
    /// with an error among them the result must not be used.
    pub fn read(documents: &Documents, settings: &GraySettings) -> Self {
        let section = documents.root().section(KEY);
        // Read with the routes, to which it belongs.
        section.has("spring");
        let reader = Reader::new(documents, &section);
        let set = reader.read(settings);
        section.reject_unknown();
        set
    }
}

/// What the parts of the document share.
struct Reader<'d> {
    section: &'d Section<'d>,
    builder: RuleSetBuilder,
    /// Facts with names of their own.
    named: BTreeMap<String, Source>,
    jwt: Option<Arc<Jwt>>,
    layers: BTreeMap<String, Layer>,
    /// Names of rules.
    rules: HashSet<String>,
}

/// Shares that exclude each other: one key and one salt for all.
struct Layer {
    key: rule::Key,
    salt: String,
    /// Slots given out so far, with the rule that has them.
    taken: Vec<(std::ops::Range<u32>, String)>,
}

impl<'d> Reader<'d> {
    fn new(documents: &Documents, section: &'d Section<'d>) -> Self {
        let revision = format!("{:08x}", documents.fingerprint() as u32);
        let builder = RuleSetBuilder::new(&revision);
        let (named, layers, rules) = Default::default();
        Self { section, builder, named, jwt: None, layers, rules }
    }

    fn read(mut self, settings: &GraySettings) -> RuleSet {
        self.jwt = jwt::read(&self.section.section("jwt"));
        self.read_facts();
        self.read_layers();
        if let Some(name) = self.section.string("cookie") {
            if gray_core::lane::is_token(&name) {
                self.builder.cookie(&name);
            } else {
                self.section.error("cookie", "not the name of a cookie: expected ASCII letters, digits and . _ - +");
            }
        }
        let baseline = Baseline::read(&self.section.section("baseline"), &settings.policy);
        let default = self.section.string("default").unwrap_or_else(|| "baseline".to_owned());
        let lanes = self.read_lanes(&baseline, settings, &default);
        self.read_rules(&lanes);
        if let Some(gray) = lanes.get("gray") {
            self.builder.settings(settings, gray);
        }
        let Some(default) = lanes.get(&default).or_else(|| {
            let known = some(lanes.names());
            self.section.error("default", format!("there is no lane `{default}`; there are {known}"));
            lanes.get("baseline")
        }) else {
            return RuleSet::off();
        };
        let switch = match self.section.bool("kill") {
            _ if !settings.is_on() => return self.off(),
            Some(true) => Switch::Killed,
            _ => Switch::On,
        };
        self.builder.build(default, switch)
    }

    /// Off, but everything was read: a mistake is found before the switch is thrown.
    fn off(mut self) -> RuleSet {
        let any = self
            .builder
            .find_lane("any")
            .unwrap_or_else(|| self.builder.lane(gray_core::lane::Lane::any(), None).unwrap_or_default());
        self.builder.build(any, Switch::Off)
    }

    fn read_facts(&mut self) {
        let defined = self.section.section("facts").keys();
        for (name, item) in &defined {
            if source::is_builtin(name) {
                item.error(format!("`{name}` cannot be the name of a fact: what begins with this word is built in"));
                continue;
            }
            if !gray_core::lane::is_token(name) {
                item.error("not the name of a fact: expected at most 64 ASCII letters, digits and . _ - +");
                continue;
            }
            let parts = item.items();
            let sources: Vec<_> = parts
                .iter()
                .filter_map(|part| {
                    let text = part.required_text("a fact such as header.X-User-No")?;
                    let source = self.named(text);
                    if source.is_none() {
                        part.error(if defined.iter().any(|(name, _)| name == text) {
                            format!("`{text}` is not defined yet: a fact is made of facts that are defined above it")
                        } else {
                            self.unknown_fact(text)
                        });
                    }
                    source
                })
                .collect();
            if parts.is_empty() {
                item.error("expected one or more facts, such as [header.X-User-No, cookie.uid]");
            }
            // One without parts would count as nothing in others, however many of it they are made of.
            if !sources.is_empty()
                && let Some(source) = first_of(item, sources)
            {
                self.named.insert(name.clone(), source);
            }
        }
    }

    fn read_layers(&mut self) {
        for (name, item) in self.section.section("layers").keys() {
            let section = item.section();
            let key = self.share_key(&section);
            let salt = section.string("salt").unwrap_or_else(|| name.clone());
            section.reject_unknown();
            if let Some(key) = key {
                self.layers.insert(name, Layer { key, salt, taken: Vec::new() });
            }
        }
    }

    /// The fact of this name: one of the document's own, or a built-in one.
    fn named(&self, text: &str) -> Option<Source> {
        if let Some(source) = self.named.get(text) {
            return Some(source.clone());
        }
        match text.split_once('.') {
            Some(("jwt", path)) => {
                let jwt = Arc::clone(self.jwt.as_ref()?);
                Some(Source::Claim { jwt, path: path.split('.').map(Into::into).collect() })
            }
            _ => parse_source(text),
        }
    }

    /// The place of the fact of this name, which an item asks for.
    fn place(&mut self, text: &str, item: &Item<'_>) -> Option<usize> {
        let source = self.named(text)?;
        Some(self.put(text, source, item))
    }

    fn put(&mut self, name: &str, source: Source, item: &Item<'_>) -> usize {
        self.builder.find_source(name).unwrap_or_else(|| {
            item.spend("facts", FACT);
            self.builder.source(name, || source)
        })
    }

    fn unknown_fact(&self, text: &str) -> String {
        if text.starts_with("jwt.") && self.jwt.is_none() {
            return format!("`{text}` needs gray.jwt: where the token is, and the key it is signed with");
        }
        let own = some(self.named.keys().map(String::as_str));
        let own = if own.is_empty() { own } else { format!("; facts of this document: {own}") };
        format!("`{text}` is not a fact; there are {}{own}", source::BUILTIN)
    }
}

/// The first of these facts that is there. Facts that are made of others count as many.
fn first_of(item: &Item<'_>, sources: Vec<Source>) -> Option<Source> {
    let parts: usize = sources.iter().map(|source| source.parts().len()).sum();
    if parts > MAX_PARTS {
        item.error(format!("at most {MAX_PARTS} facts, those that facts of this document are made of included"));
        return None;
    }
    Some(Source::FirstOf(sources.into()))
}

/// Names for a message: not more than a user reads.
fn some<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.into_iter().collect();
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// Every other key is an error. For sections whose keys were listed, and count as known for that.
fn only(section: &Section<'_>, has: &str, known: &[&str]) {
    for (key, item) in section.keys() {
        if !known.iter().any(|known| is_same_name(known, &key)) {
            item.error(format!("unknown key; {has} {}", known.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests;
