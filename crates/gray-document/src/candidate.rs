//! A document that is not in effect, read beside those that are.
//!
//! A client that may have a document checked must not be able to read the environment by it, or other documents: a
//! placeholder is resolved only where the documents in effect have the same one under the same key. Elsewhere its
//! value is not looked at, and nothing is said about it but that. The same holds for a test that names a list by its key.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Documents, Problems, Reading, Severity, is_same_name,
    trail::Trail,
    tree::{Map, Node, Value},
};

/// What a value says that is not looked at.
const OPAQUE: &str = "(not checked here)";
const WHY: &str = "not checked here: a placeholder is looked up only where the document in effect has the same one under \
                   the same key";
const WHY_LISTED: &str = "not checked here: a list is looked up only where the document in effect names the same one under \
                          the same key";
/// What a test is called that names a list by its key.
const LISTED: &str = "listed";
const HIDDEN: &str = "the placeholder's value does not fit here; it is not shown";

/// Most values with placeholders of a candidate: each is known by its path, which may be long.
const MAX_PLACEHOLDERS: usize = 5_000;

/// Values that come from placeholders of a candidate, by path.
#[derive(Debug, Default)]
pub(super) struct Veils(BTreeMap<Arc<str>, Veil>);

#[derive(Debug)]
enum Veil {
    /// Not looked at.
    Opaque,
    /// Looked up, and not to be shown: the placeholder, and what it stands for.
    Resolved(Arc<str>, Arc<str>),
}

impl Veils {
    /// What may be said instead of a message about the value at a path.
    pub(super) fn message<'m>(&self, path: &str, message: &'m str) -> Option<&'m str> {
        if self.0.is_empty() {
            return Some(message);
        }
        // A piece of a text that was split at commas has a path of its own.
        let whole = path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).map_or(path, |(whole, _)| whole);
        match self.0.get(path).or_else(|| self.0.get(whole)) {
            None => Some(message),
            Some(Veil::Resolved(..)) => Some(HIDDEN),
            Some(Veil::Opaque) => None,
        }
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().filter_map(|veil| match veil {
            Veil::Resolved(raw, text) => Some((&**raw, &**text)),
            Veil::Opaque => None,
        })
    }
}

impl Documents {
    /// Like [`parse`](Self::parse); `candidate` is the name of a document among `sources` that is not in effect, and
    /// `in_effect` is what is.
    ///
    /// # Errors
    /// As [`parse`](Self::parse) has them.
    pub fn parse_candidate(
        sources: &[(&str, &str)],
        candidate: &str,
        in_effect: &Documents,
        reading: &Reading,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let mut documents = Self::merge(sources, reading)?;
        let mut veiling = Veiling { candidate, opaque: Vec::new(), kept: Vec::new() };
        veiling.node(documents.root_node(), Some(in_effect.root_node()), Trail::default(), false);
        documents.resolve(env);
        let Veiling { opaque, kept, .. } = veiling;
        if let Some((path, node)) = opaque.iter().chain(&kept).nth(MAX_PLACEHOLDERS) {
            let message =
                format!("more than {MAX_PLACEHOLDERS} values with placeholders; a candidate has that many at most");
            documents.report_key(Severity::Error, &node.origin, path, &message);
            return Err(documents.take_problems());
        }
        let mut veils: BTreeMap<Arc<str>, Veil> = BTreeMap::new();
        for (path, node) in opaque {
            let why = if is_templated(node) { WHY } else { WHY_LISTED };
            documents.report_key(Severity::Warning, &node.origin, &path, why);
            veils.insert(path.to_string().into(), Veil::Opaque);
        }
        for (path, node) in kept {
            if let Value::Scalar(scalar) = &node.value {
                let veil = Veil::Resolved(Arc::clone(scalar.raw()), scalar.text().unwrap_or_default().into());
                veils.insert(path.to_string().into(), veil);
            }
        }
        documents.veil(Veils(veils));
        Ok(documents)
    }
}

/// Finds the placeholders of a candidate. No deeper than the parser lets a document be.
struct Veiling<'d> {
    candidate: &'d str,
    opaque: Vec<(Trail, &'d Node)>,
    kept: Vec<(Trail, &'d Node)>,
}

impl<'d> Veiling<'d> {
    fn node(&mut self, node: &'d Node, before: Option<&'d Node>, path: Trail, names_a_list: bool) {
        let before = before.map(|before| &before.value);
        match &node.value {
            Value::Missing => {}
            Value::Map(map) => {
                let before = before.and_then(as_map);
                for (key, below) in map.entries() {
                    let before = before.and_then(|map| map.get(key)).map(|(_, node)| node);
                    self.node(below, before, path.key(key), is_same_name(LISTED, key));
                }
            }
            Value::List(items) => {
                let before = before.and_then(|value| match value {
                    Value::List(items) => Some(items),
                    _ => None,
                });
                for (position, item) in items.iter().enumerate() {
                    let before = before.and_then(|items| items.get(position));
                    self.node(item, before, path.place(position), false);
                }
            }
            Value::Scalar(_) if *node.origin.document != *self.candidate => {}
            Value::Scalar(scalar) if !scalar.is_templated() && !names_a_list => {}
            Value::Scalar(scalar) => {
                let is_the_same = matches!(before, Some(Value::Scalar(before)) if before.raw() == scalar.raw());
                if is_the_same {
                    // The name of a list hides nothing.
                    self.kept.extend(scalar.is_templated().then_some((path, node)));
                } else {
                    // Whatever else refers to it sees this as well.
                    scalar.resolved.get_or_init(|| Ok(OPAQUE.into()));
                    self.opaque.push((path, node));
                }
            }
        }
    }
}

fn is_templated(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.is_templated())
}

fn as_map(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const IN_EFFECT: &str = "\
a: { key: '${SECRET}', list: [x, '${LIST}'], lane: '${LANE}', both: '${SECRET}-${LANE}' }
own: { password: hunter2 }
";

    /// The candidate with what it asked the environment for.
    fn read(candidate: &str) -> (Documents, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let env = |name: &str| {
            let is_set = ["SECRET", "LIST", "LANE", "OTHER", "X"].contains(&name);
            is_set.then(|| asked.borrow_mut().push(name.to_owned()));
            is_set.then(|| format!("value-of-{name}"))
        };
        let in_effect = Documents::parse(&[("rules", IN_EFFECT)], &|_| None).expect("good");
        let sources = [("common", "common: { password: s3cret, alias: '${a.alias:none}' }"), ("rules", candidate)];
        let documents =
            Documents::parse_candidate(&sources, "rules", &in_effect, &Reading::default(), &env).expect("readable");
        (documents, asked.into_inner())
    }

    #[test]
    fn the_same_placeholder_under_the_same_key_is_resolved() {
        let (documents, asked) = read(IN_EFFECT);
        let section = documents.root().section("a");
        assert_eq!(section.string("key").as_deref(), Some("value-of-SECRET"));
        assert_eq!(section.string("both").as_deref(), Some("value-of-SECRET-value-of-LANE"));
        assert_eq!(section.items("list")[1].text(), Some("value-of-LIST"));
        assert!(asked.iter().any(|name| name == "LIST"), "{asked:?}");
        assert!(documents.take_problems().is_empty());
        assert_eq!(documents.veiled().count(), 4);
        // Written in another way, it is the same key.
        assert_eq!(read("A: {KEY: '${SECRET}'}").0.root().string("a.key").as_deref(), Some("value-of-SECRET"));
    }

    #[test]
    fn elsewhere_nothing_is_looked_up_and_nothing_is_said() {
        for candidate in [
            "a: { other: '${SECRET}' }",
            "b: { key: '${SECRET}' }",
            "a: { key: '${SECRET:x}' }",
            "a: { key: ' ${SECRET}' }",
            "a: { key: '${LANE}' }",
            "a: { key: '${${which}}' }\nwhich: SECRET",
            "a: { lane: '${SECRET}-${LANE}' }",
            "a: { list: ['${LIST}'] }",
            "a: { key: ['${SECRET}'] }",
            "a.key.deeper: '${SECRET}'",
            "a: { other: '${common.password}' }",
            "a: { other: '${own.password}' }",
            "a: { alias: '${SECRET}' }",
            "'${SECRET}': '${SECRET}'",
        ] {
            let (documents, asked) = read(candidate);
            assert_eq!(asked, [""; 0], "{candidate}");
            let everything = texts(documents.root_node());
            assert!(!everything.contains("value-of"), "{candidate}: {everything}");
            assert_eq!(everything.matches("s3cret").count(), 1, "{candidate}: where it was {everything}");
            let problems = documents.take_problems();
            assert!(problems.warnings().any(|problem| problem.message == WHY), "{candidate}: {problems}");
        }
    }

    #[test]
    fn the_name_of_a_list_is_veiled_like_a_placeholder() {
        let in_effect = Documents::parse(&[("rules", "a: { listed: common.uids, b: x }")], &|_| None).expect("good");
        let read = |candidate: &str| {
            let sources = [("common", "common: { uids: [1, 2], password: s3cret }"), ("rules", candidate)];
            let documents = Documents::parse_candidate(&sources, "rules", &in_effect, &Reading::default(), &|_| None)
                .expect("good");
            let text = documents.root().section("a").string("listed");
            (text, documents.take_problems().warnings().any(|problem| problem.message == WHY_LISTED))
        };
        assert_eq!(read("a: { listed: common.uids }"), (Some("common.uids".to_owned()), false));
        for other in ["a: { listed: common.password }", "a.Listed: common.password", "a: { b: y, listed: uids }"] {
            assert_eq!(read(other), (Some(OPAQUE.to_owned()), true), "{other}");
        }
        assert_eq!(read("a: { listed: ['${X}'] }").0, None);
    }

    /// Every value that is read.
    fn texts(node: &Node) -> String {
        match &node.value {
            Value::Missing => String::new(),
            Value::Scalar(scalar) => scalar.text().unwrap_or("?").to_owned(),
            Value::List(items) => items.iter().map(|item| texts(item) + "\n").collect(),
            Value::Map(map) => map.entries().map(|(_, node)| texts(node) + "\n").collect(),
        }
    }

    #[test]
    fn what_does_not_fit_is_said_without_the_value() {
        let (documents, _) =
            read("a: { key: '${SECRET}', lane: '${OTHER}', list: '${OTHER},b', plain: x, other: '${X}' }");
        let section = documents.root().section("a");
        let problems = |key: &str| {
            drop(documents.take_problems());
            assert_eq!(section.u64(key), None);
            documents.take_problems().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems("key"), [format!("rules:1: a.key: {HIDDEN}")]);
        assert_eq!(problems("lane"), [""; 0]);
        assert_eq!(problems("plain"), ["rules:1: a.plain: expected a whole number, 0 or more, found `x`"]);
        section.items("list").iter().for_each(|item| item.error("no lane"));
        assert_eq!(documents.take_problems().iter().count(), 0);
        section.reject_unknown();
        let unknown = documents.take_problems();
        assert!(unknown.errors().any(|problem| problem.path == "a.other"), "a mistake in a key is one: {unknown}");
    }
}
