//! `${key:default}`: looked up in the documents, then in the environment; both parts may hold placeholders again.
//!
//! Values are outside input: how deep they refer to each other and how much text they grow to is bounded.

use std::sync::Arc;

use super::{
    key,
    problem::shown,
    size::{MAX_ALL_TEXT, MAX_COMMAS},
    tree::{Map, Node, OpenPart, Scalar, Value},
};

/// How deep placeholders may refer to or contain each other.
const MAX_DEPTH: usize = 32;

/// Why a text has no value.
#[derive(Clone, Debug)]
pub(super) enum Unresolved {
    /// Nothing sets what this placeholder stands for: its key, and what to say of it.
    Unset(String, String),
    /// It cannot have one.
    Wrong(String),
}

impl Unresolved {
    /// What to say of it.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Unset(_, reason) | Self::Wrong(reason) => reason,
        }
    }
}

impl From<String> for Unresolved {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

impl From<&str> for Unresolved {
    fn from(reason: &str) -> Self {
        Self::Wrong(reason.to_owned())
    }
}

pub(super) struct Resolver<'t> {
    root: &'t Map,
    env: &'t dyn Fn(&str) -> Option<String>,
    /// The values being resolved, outermost first.
    active: Vec<*const Scalar>,
    depth: usize,
    /// What all values with placeholders may still come to, in bytes and commas: as much as the documents themselves may.
    budget: usize,
    commas: usize,
}

impl<'t> Resolver<'t> {
    pub(super) fn new(root: &'t Map, env: &'t dyn Fn(&str) -> Option<String>) -> Self {
        Self { root, env, active: Vec::new(), depth: 0, budget: MAX_ALL_TEXT, commas: MAX_COMMAS }
    }

    /// Fills in every value that holds a placeholder.
    pub(super) fn resolve_all(mut self) {
        self.map(self.root);
    }

    fn map(&mut self, map: &Map) {
        map.entries().for_each(|(_, node)| self.node(node));
    }

    fn node(&mut self, node: &Node) {
        match &node.value {
            Value::Missing => {}
            Value::Scalar(scalar) => drop(self.scalar(scalar)),
            Value::List(items) => items.iter().for_each(|item| self.node(item)),
            Value::Map(map) => self.map(map),
        }
    }

    fn scalar(&mut self, scalar: &Scalar) -> Result<Arc<str>, Unresolved> {
        if !scalar.is_templated() {
            return Ok(Arc::clone(scalar.raw()));
        }
        if let Some(done) = scalar.resolved.get() {
            return done.clone();
        }
        if self.active.contains(&std::ptr::from_ref(scalar)) {
            return Err("the placeholder refers to itself".into());
        }
        self.active.push(scalar);
        let result = self.expand(scalar.raw()).and_then(|text| Ok(self.commas(text)?)).map(Arc::from);
        if let Some(parts) = self.open_parts(scalar.raw()) {
            let _first = scalar.open.set(parts);
        }
        self.active.pop();
        scalar.resolved.get_or_init(|| result).clone()
    }

    fn expand(&mut self, text: &str) -> Result<String, Unresolved> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("placeholders refer to each other more than {MAX_DEPTH} deep").into());
        }
        self.depth += 1;
        let result = self.expand_parts(text);
        self.depth -= 1;
        result
    }

    fn expand_parts(&mut self, text: &str) -> Result<String, Unresolved> {
        self.spend(text.len())?;
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, body) = (&rest[..start], &rest[start + 2..]);
            let end = closing(body).ok_or_else(|| format!("`${{` is never closed in `{}`", shown(text)))?;
            out.push_str(before);
            let value = self.placeholder(&body[..end])?;
            self.spend(value.len())?;
            out.push_str(&value);
            rest = &body[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The text in parts, if it holds a `${name}` that no document sets and that could be a name of something else.
    fn open_parts(&mut self, text: &str) -> Option<Box<[OpenPart]>> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(start) = rest.find("${") {
            let body = rest.get(start + 2..)?;
            let end = closing(body)?;
            pieces.push((rest.get(..start)?, body.get(..end)?));
            rest = body.get(end + 1..)?;
        }
        // Nothing is resolved a second time for texts that have none.
        if !pieces.iter().any(|(_, name)| self.is_open(name)) {
            return None;
        }
        let mut parts = Vec::new();
        for (before, name) in pieces {
            parts.push(OpenPart::Text(before.to_owned()));
            if self.is_open(name) {
                let value = self.environment(name);
                self.spend(value.as_ref().map_or(0, String::len)).ok()?;
                parts.push(OpenPart::Open(name.to_owned(), value));
            } else {
                let value = self.placeholder(name).ok()?;
                self.spend(value.len()).ok()?;
                parts.push(OpenPart::Text(value));
            }
        }
        parts.push(OpenPart::Text(rest.to_owned()));
        Some(parts.into())
    }

    /// Whether it is a plain name that no document sets.
    fn is_open(&self, name: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(fits) && !self.is_set(name)
    }

    fn is_set(&self, name: &str) -> bool {
        self.root.refer(name).is_some_and(|(_, node)| !matches!(node.value, Value::Missing))
    }

    fn commas(&mut self, text: String) -> Result<String, String> {
        let commas = text.bytes().filter(|byte| *byte == b',').count();
        let left = self.commas.checked_sub(commas);
        self.commas = left.ok_or_else(|| format!("placeholders expand to more than {MAX_COMMAS} commas"))?;
        Ok(text)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.budget = self.budget.checked_sub(bytes).ok_or("placeholders expand to more than 4 MiB of text")?;
        Ok(())
    }

    fn placeholder(&mut self, body: &str) -> Result<String, Unresolved> {
        let (key, default) = match separator(body) {
            Some(at) => (&body[..at], Some(&body[at + 1..])),
            None => (body, None),
        };
        let key = self.expand(key)?;
        if let Some(value) = self.look_up(key.trim())? {
            return Ok(value);
        }
        match default {
            Some(default) => self.expand(default),
            None => {
                let key = shown(key.trim());
                let reason = format!(
                    "nothing to put for `${{{key}}}`: no document and no environment variable sets it; \
                     set it, or give a default: `${{{key}:default}}`"
                );
                Err(Unresolved::Unset(key, reason))
            }
        }
    }

    fn look_up(&mut self, key: &str) -> Result<Option<String>, Unresolved> {
        let root = self.root;
        let steps = key::steps(key);
        // The key counts as used: it is, by this placeholder.
        let first = root.refer(&steps[0]).map(|(_, node)| node);
        let node = steps[1..].iter().fold(first, |node, step| match &node?.value {
            Value::Map(map) => map.refer(step).map(|(_, node)| node),
            Value::List(items) => items.get(key::place(step)?),
            _ => None,
        });
        match node.map(|node| &node.value) {
            Some(Value::Scalar(scalar)) => {
                scalar.lent.set(true);
                self.scalar(scalar).map(|text| Some(text.to_string()))
            }
            Some(value @ (Value::List(_) | Value::Map(_))) => {
                Err(format!("`${{{}}}` stands for {}, not for a single value", shown(key), value.kind()).into())
            }
            Some(Value::Missing) | None => Ok(self.environment(key)),
        }
    }

    fn environment(&self, key: &str) -> Option<String> {
        let snake = key.replace(['.', '-'], "_").to_uppercase();
        let spring = key.replace('.', "_").replace('-', "").to_uppercase();
        [key, &snake, &spring].into_iter().filter(|name| !name.is_empty()).find_map(self.env)
    }
}

/// Where the placeholder whose body starts here ends.
fn closing(body: &str) -> Option<usize> {
    scan(body, |c, depth| c == '}' && depth == 0)
}

/// The colon between key and default, none that belongs to an inner placeholder.
fn separator(body: &str) -> Option<usize> {
    scan(body, |c, depth| c == ':' && depth == 0)
}

fn scan(body: &str, found: impl Fn(char, usize) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in body.char_indices() {
        if found(c, depth) {
            return Some(at);
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::Documents;

    #[test]
    fn what_no_document_sets_may_be_left_as_written() {
        let env = |name: &str| (name == "PATH").then(|| "/bin".to_owned());
        let text = "set: s\nnone:\na: x${path}y${rest}\nb: ${set}${path:d}\nc: ${rest}${other.key}\nd: plain\ne: '${none}'\nf: ${1a}";
        let documents = Documents::parse(&[("a.yaml", text)], &env).expect("well formed");
        let all = documents.root().keys();
        let with = |key: &str| {
            let (_, item) = all.iter().find(|(name, _)| name == key).expect("there");
            let mut asked = Vec::new();
            let text = item.text_with(|name, value| {
                asked.push(format!("{name}={value:?}"));
                value.filter(|_| key == "a")
            });
            (text, asked)
        };
        let asked = vec!["path=Some(\"/bin\")".to_owned(), "rest=None".to_owned()];
        assert_eq!(with("a"), (Some("x/biny${rest}".to_owned()), asked));
        // What a document sets, a default, and a key that is not a plain name are what they are.
        for key in ["b", "c", "d", "f"] {
            assert_eq!(with(key).0, None, "{key}");
        }
        assert_eq!(with("e").0.as_deref(), Some("${none}"), "an empty value sets nothing");
    }
}
