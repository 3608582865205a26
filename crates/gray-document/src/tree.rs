//! The merged tree: every node knows its document and line.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use twox_hash::XxHash3_64;

use super::{
    Budget, Problem, Problems, Purpose, Reading, Section, Severity,
    candidate::Veils,
    parse,
    placeholder::Resolver,
    places::{begins_a_list, spread},
    problem::one_line,
    size::Total,
    trail::Trail,
};

pub(super) use super::scalar::{OpenPart, Scalar};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Name of the document.
    pub document: Arc<str>,
    /// Line, counted from 1; 0 stands for the document as a whole.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document)?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}

/// A value with its place. The place of a map's value is that of its key.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Missing,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

impl Value {
    /// For "expected ..., found ...".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Two names are one key when they differ in case, `-` and `_` only.
pub(super) fn relaxed(key: &str) -> Cow<'_, str> {
    // As most keys are written, and those that are asked for.
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase() && !matches!(byte, b'-' | b'_')) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect())
}

/// Keys in the order written, found by their relaxed name.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    entries: Vec<(Arc<str>, Node)>,
    index: HashMap<Arc<str>, usize>,
    /// Relaxed name and name of every key that was asked for.
    asked: RefCell<BTreeMap<String, String>>,
    /// Relaxed names of keys that placeholders stand for. They are known, and not suggested for a misspelt key.
    referred: RefCell<HashSet<String>>,
    /// Relaxed names already reported as unknown.
    reported: RefCell<HashSet<String>>,
}

impl Map {
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.entries.iter_mut().map(|(_, node)| node)
    }

    pub(super) fn into_entries(self) -> Vec<(Arc<str>, Node)> {
        self.entries
    }

    /// What a dotted key leads to.
    pub(super) fn find(&self, dotted: &str) -> Option<&Node> {
        let mut steps = dotted.split('.');
        let first = self.get(steps.next()?)?.1;
        steps.try_fold(first, |node, step| match &node.value {
            Value::Map(map) => map.get(step).map(|(_, node)| node),
            _ => None,
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<(&Arc<str>, &Node)> {
        let (key, node) = &self.entries[*self.index.get(&*relaxed(key))?];
        Some((key, node))
    }

    /// Like `get`, and the key counts as known from now on.
    pub(super) fn ask(&self, key: &str) -> Option<(&Arc<str>, &Node)> {
        let (name, mut asked) = (relaxed(key), self.asked.borrow_mut());
        if !asked.contains_key(&*name) {
            asked.insert(name.into_owned(), key.into());
        }
        self.get(key)
    }

    /// Like `get`, for a placeholder.
    pub(super) fn refer(&self, key: &str) -> Option<(&Arc<str>, &Node)> {
        let found = self.get(key)?;
        self.referred.borrow_mut().insert(relaxed(key).into_owned());
        Some(found)
    }

    /// Whether this key was asked for.
    pub(super) fn was_asked(&self, key: &str) -> bool {
        let name = relaxed(key);
        self.asked.borrow().contains_key(&*name) || self.referred.borrow().contains(&*name)
    }

    #[cfg(feature = "test-util")]
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().values().cloned().collect()
    }

    /// Whether anybody looked inside.
    pub(super) fn is_visited(&self) -> bool {
        !self.asked.borrow().is_empty() || !self.referred.borrow().is_empty() || !self.reported.borrow().is_empty()
    }

    /// Keys that were not asked for, each reported once, with the most similar of those that were asked for.
    pub(super) fn take_unknown(&self) -> Vec<(&Arc<str>, &Node, Option<String>)> {
        let asked = self.asked.borrow();
        let (referred, mut reported) = (self.referred.borrow(), self.reported.borrow_mut());
        let mut unknown = Vec::new();
        for (key, node) in self.entries() {
            let name = relaxed(key);
            if asked.contains_key(&*name) || referred.contains(&*name) || reported.contains(&*name) {
                continue;
            }
            // Past this many the list of problems is cut anyway.
            let similar = (unknown.len() < 100).then(|| similar(&name, &asked)).flatten();
            unknown.push((key, node, similar));
        }
        reported.extend(unknown.iter().map(|(key, ..)| relaxed(key).into_owned()));
        unknown
    }

    /// Whether an entry, or something in it, was not asked for; it counts as reported from now on.
    pub(super) fn take_unread(&self, key: &str, node: &Node) -> bool {
        match &node.value {
            Value::Missing => false,
            Value::Map(below) if below.is_visited() => {
                below.entries().fold(false, |unread, (key, node)| below.take_unread(key, node) || unread)
            }
            _ => !self.was_asked(key) && self.reported.borrow_mut().insert(relaxed(key).into_owned()),
        }
    }

    /// What is below an entry has been looked into.
    pub(super) fn note_reported(&self, key: &str) {
        if !self.was_asked(key) {
            self.reported.borrow_mut().insert(relaxed(key).into_owned());
        }
    }

    /// The entry of that name, newly made when there is none.
    fn slot(&mut self, key: &Arc<str>, node: Node) -> Option<(&mut Node, Node)> {
        let name = match relaxed(key) {
            Cow::Borrowed(_) => Arc::clone(key),
            Cow::Owned(name) => name.into(),
        };
        match self.index.get(&name) {
            Some(&at) => Some((&mut self.entries[at].1, node)),
            None => {
                self.index.insert(name, self.entries.len());
                self.entries.push((Arc::clone(key), node));
                None
            }
        }
    }

    /// Adds an entry of the same part: maps grow together (`a.b: 1` beside `a.c: 2`), a list and places of one as well,
    /// anything else collides.
    pub(super) fn insert(&mut self, key: &Arc<str>, node: Node, collide: &mut dyn FnMut(&str, &Node, &Node)) {
        let Some((old, mut new)) = self.slot(key, node) else { return };
        match (&mut old.value, &mut new.value) {
            (Value::List(items), Value::Map(map)) if begins_a_list(map) => {
                old.value = Value::Map(spread(std::mem::take(items)));
            }
            (Value::Map(map), Value::List(items)) if begins_a_list(map) => {
                new.value = Value::Map(spread(std::mem::take(items)));
            }
            _ => {}
        }
        match (&mut old.value, new.value) {
            (Value::Map(old), Value::Map(new)) => {
                new.entries.into_iter().for_each(|(key, node)| old.insert(&key, node, collide));
            }
            (Value::Map(_), Value::Missing) => {}
            (Value::Missing, value) => *old = Node { origin: new.origin, value },
            (_, value) => collide(key, old, &Node { origin: new.origin, value }),
        }
    }

    /// Puts a later document over this one, key by key. An empty key does not wipe out a map.
    pub(super) fn overlay(&mut self, later: Self) {
        for (key, node) in later.entries {
            let Some((old, new)) = self.slot(&key, node) else { continue };
            match (&mut old.value, new.value) {
                (Value::Map(old), Value::Map(new)) => old.overlay(new),
                (Value::Map(_), Value::Missing) => {}
                (_, value) => *old = Node { origin: new.origin, value },
            }
        }
    }
}

fn similar(name: &str, asked: &BTreeMap<String, String>) -> Option<String> {
    let distance = |candidate: &str| strsim::osa_distance(name, candidate);
    let length = name.chars().count();
    let limit = (length / 3).clamp(usize::from(length > 1), 3);
    let (distance, found) = asked.iter().map(|(relaxed, key)| (distance(relaxed), key)).min()?;
    (distance <= limit).then(|| found.clone())
}

/// Some YAML documents, merged.
pub struct Documents {
    root: Node,
    budget: Budget,
    problems: RefCell<Problems>,
    fingerprint: u64,
    veils: Veils,
    pub(super) purpose: Purpose,
    /// Paths of values that are not known.
    pub(super) unknown: RefCell<HashSet<String>>,
    named: BTreeSet<String>,
}

impl Documents {
    /// Reads documents (name, text); later ones win, key by key. `env` answers placeholders that no document answers.
    /// The name tells the format: `.properties`, `.json`, or YAML; without an extension the text does.
    ///
    /// A placeholder that cannot be resolved becomes a problem when its key is read, not before: a document may
    /// hold keys of other programs.
    ///
    /// # Errors
    /// A malformed document, a duplicate key, or a document that is too large, too deep or expands to too many nodes.
    pub fn parse(sources: &[(&str, &str)], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Self::parse_for(sources, &Reading::default(), env)
    }

    /// The same, for profiles: parts of documents that are for others are skipped, with a warning.
    ///
    /// # Errors
    /// As [`parse`](Self::parse) has them, and invalid expressions of profiles.
    pub fn parse_for(
        sources: &[(&str, &str)],
        reading: &Reading,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let documents = Self::merge(sources, reading)?;
        documents.resolve(env);
        Ok(documents)
    }

    /// Merges documents, without a look at their placeholders.
    pub(super) fn merge(sources: &[(&str, &str)], reading: &Reading) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let (mut merged, mut total, mut named) = (Map::default(), Total::default(), BTreeSet::new());
        let mut origin = Origin { document: "(no document)".into(), line: 0 };
        for (position, (name, text)) in sources.iter().enumerate() {
            let document: Arc<str> = (*name).into();
            if position == 0 {
                origin = Origin { document: Arc::clone(&document), line: 0 };
            }
            match parse::parse(&document, text, reading, &mut total, &mut problems) {
                Ok(read) => {
                    merged.overlay(read.root);
                    named.extend(read.named);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let problems = RefCell::new(problems.into_result()?);
        let seed = |seed, text: &str| XxHash3_64::oneshot_with_seed(seed, text.as_bytes());
        let fingerprint = sources.iter().fold(0, |hash, (name, text)| seed(seed(hash, name), text));
        let root = Node { origin, value: Value::Map(merged) };
        let (budget, veils, unknown) = Default::default();
        Ok(Self { root, budget, problems, fingerprint, veils, purpose: reading.purpose, unknown, named })
    }

    /// Fills in what placeholders stand for.
    pub(super) fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) {
        if let Value::Map(map) = &self.root.value {
            Resolver::new(map, env).resolve_all();
        }
    }

    /// Keeps values of placeholders from being looked at, or quoted.
    pub(super) fn veil(&mut self, veils: Veils) {
        self.veils = veils;
    }

    pub(super) fn root_node(&self) -> &Node {
        &self.root
    }

    /// What veiled placeholders of a candidate stand for, beside them: what an answer must not show.
    pub fn veiled(&self) -> impl Iterator<Item = (&str, &str)> {
        self.veils.shown()
    }

    /// The same texts under the same names always have the same one, on every machine (XXH3).
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The root map.
    pub fn root(&self) -> Section<'_> {
        Section::root(self, &self.root)
    }

    /// The account of what is made of them.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes out every problem collected so far.
    pub fn take_problems(&self) -> Problems {
        self.problems.take()
    }

    /// The profiles that parts of the documents name, whether active or not.
    pub fn profiles_named(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str)
    }

    /// Notes a problem with a value.
    pub(super) fn report(&self, severity: Severity, origin: &Origin, path: &Trail, message: &str) {
        if !self.is_unknown(path)
            && let Some(message) = self.veils.message(&path.to_string(), message)
        {
            self.report_key(severity, origin, path, message);
        }
    }

    /// Notes a problem with a key, whatever its value.
    pub(super) fn report_key(&self, severity: Severity, origin: &Origin, path: &Trail, message: &str) {
        let (path, message) = (path.to_string(), one_line(message));
        let problem = Problem { severity, origin: origin.clone(), path, message };
        self.problems.borrow_mut().push(problem);
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there may be passwords among them.
        f.debug_struct("Documents").field("origin", &self.root.origin).finish_non_exhaustive()
    }
}
