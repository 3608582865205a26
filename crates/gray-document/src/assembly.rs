//! Documents as they are put together: what all formats have in common once they have keys and values.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Origin, Problem, Problems, Purpose, Reading, Severity, key, places,
    problem::shown,
    profile::names_in,
    size::{Size, Total},
    tree::{Map, Node, Value},
};

/// Deepest nesting; the steps of a flat key count.
pub(super) const MAX_DEPTH: usize = 64;
/// Most profiles that are remembered of one document.
const MAX_NAMED: usize = 64;
/// Longest key, in bytes.
pub(super) const MAX_KEY: usize = 512;

/// One document, part by part.
pub(super) struct Assembly<'a> {
    document: &'a Arc<str>,
    reading: &'a Reading,
    total: &'a mut Total,
    problems: &'a mut Problems,
    size: Size,
    /// Whether a key of this part has a place of a list in it.
    has_places: bool,
    read: Parsed,
}

/// A document as it is read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// All parts that are used, merged.
    pub(super) root: Map,
    /// Whether parts of it are skipped.
    pub(super) has_others: bool,
    /// Profiles that parts name.
    pub(super) named: BTreeSet<String>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        document: &'a Arc<str>,
        reading: &'a Reading,
        total: &'a mut Total,
        problems: &'a mut Problems,
    ) -> Self {
        Self { document, reading, total, problems, size: Size::default(), has_places: false, read: Parsed::default() }
    }

    /// The key under which the document stands when it is a list, if it may be one.
    pub(super) fn list_key(&self) -> Option<&'a str> {
        self.reading.list_key(self.document)
    }

    /// What has been put together.
    pub(super) fn into_parsed(self) -> Parsed {
        self.read
    }

    /// What the document has come to.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn count(&mut self, more: Size, line: u32) -> Result<(), Problem> {
        self.size = self.size.plus(more);
        self.total.add(self.size, more).map_err(|message| self.fatal(line, &message))
    }

    /// Puts a value where its key leads to, in `map` or below, beside what stands there already.
    ///
    /// Returns by how much deeper than a plain key that is.
    pub(super) fn put(
        &mut self,
        map: &mut Map,
        key: &str,
        line: u32,
        value: Value,
        depth: usize,
    ) -> Result<usize, Problem> {
        if key.len() > MAX_KEY {
            return Err(self.fatal(line, &format!("the key `{}` has more than {MAX_KEY} bytes", shown(key))));
        }
        let steps = key::steps(key);
        let deeper = steps.len() - 1;
        if depth + deeper > MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        self.count(Size::nodes(deeper), line)?;
        self.has_places |= steps.iter().any(|step| key::place(step).is_some());
        let origin = self.origin(line);
        let mut node = Node { origin: origin.clone(), value };
        for step in steps[1..].iter().rev() {
            let mut below = Map::default();
            below.insert(step, node, &mut |_, _, _| ());
            node = Node { origin: origin.clone(), value: Value::Map(below) };
        }
        map.insert(&steps[0], node, &mut |step, old, new| self.collision(step, old, new));
        Ok(deeper)
    }

    fn collision(&mut self, step: &str, old: &Node, new: &Node) {
        match (&old.value, &new.value) {
            // Legal in Spring's flat world (`logging.level.a` beside `logging.level.a.b`), and nothing we read.
            (Value::Map(_), _) | (_, Value::Map(_)) => {
                let message =
                    format!("has a value and keys below it (line {}); only the first is used", old.origin.line);
                self.report(Severity::Warning, new.origin.line, step, message);
            }
            _ => self.report(Severity::Error, new.origin.line, step, duplicate(old.origin.line)),
        }
    }

    /// A part is complete: what it says wins over the parts before it, if it is for this program at all.
    pub(super) fn end_part(&mut self, mut part: Map) {
        if std::mem::take(&mut self.has_places) {
            places::settle(&mut part, &mut |step, old, new| self.collision(step, old, new));
        }
        if self.is_used(&part) {
            self.read.root.overlay(part);
        } else {
            self.read.has_others = true;
        }
    }

    /// Whether the profiles that a part is for are active (Spring's `spring.profiles`, `spring.config.activate`).
    fn is_used(&mut self, part: &Map) -> bool {
        let mut is_used = true;
        for key in ["spring.profiles", "spring.config.activate.on-profile"] {
            let Some(node) = part.find(key) else { continue };
            // As the map around `spring.profiles.active` it says nothing of this part.
            let Some(expressions) = texts(node) else { continue };
            let line = node.origin.line;
            let mut accepted = expressions.is_empty();
            for expression in &expressions {
                let room = MAX_NAMED.saturating_sub(self.read.named.len());
                self.read.named.extend(names_in(expression).take(room).map(str::to_owned));
                match self.reading.profiles.accept(expression) {
                    Ok(holds) => accepted |= holds,
                    Err(reason) => self.report(Severity::Error, line, key, reason),
                }
            }
            if !accepted {
                let (wanted, active) = (shown(&expressions.join(", ")), &self.reading.profiles);
                let message =
                    format!("this part is skipped: it is for the profile `{wanted}`; active (--profile): {active}");
                match self.reading.purpose {
                    Purpose::Run => self.report(Severity::Warning, line, key, message),
                    Purpose::Check => self.report(Severity::Note, line, key, message),
                    Purpose::CheckAgain => {}
                }
                is_used = false;
            }
        }
        let key = "spring.config.activate.on-cloud-platform";
        if let Some(line) = part.find(key).filter(|node| texts(node).is_some()).map(|node| node.origin.line) {
            let message = "this part is skipped: cloud platforms are not detected; use a profile";
            self.report(Severity::Warning, line, key, message.into());
            is_used = false;
        }
        is_used
    }

    pub(super) fn origin(&self, line: u32) -> Origin {
        Origin { document: Arc::clone(self.document), line }
    }

    pub(super) fn report(&mut self, severity: Severity, line: u32, path: &str, message: String) {
        let problem = Problem { severity, origin: self.origin(line), path: shown(path), message };
        self.problems.push(problem);
    }

    pub(super) fn fatal(&self, line: u32, message: &str) -> Problem {
        Problem { severity: Severity::Error, origin: self.origin(line), path: String::new(), message: message.into() }
    }

    pub(super) fn too_deep(&self, line: u32) -> Problem {
        self.fatal(line, &format!("nested more than {MAX_DEPTH} deep"))
    }
}

pub(super) fn duplicate(first: u32) -> String {
    format!("duplicate key: already set at line {first} (case, `-` and `_` make no difference); remove one")
}

/// A text, taken apart at commas, or the texts of a list; `None` for anything else.
fn texts(node: &Node) -> Option<Vec<String>> {
    let pieces = |text: &str| text.split(',').map(|piece| piece.trim().to_owned()).collect::<Vec<_>>();
    let texts = match &node.value {
        Value::Scalar(scalar) => pieces(scalar.raw()),
        Value::List(items) => {
            let texts = items.iter().filter_map(|item| match &item.value {
                Value::Scalar(scalar) => Some(pieces(scalar.raw())),
                _ => None,
            });
            texts.flatten().collect()
        }
        Value::Missing | Value::Map(_) => return None,
    };
    Some(texts.into_iter().filter(|text| !text.is_empty()).collect())
}
