//! Single values, and the items of lists.

use std::fmt;

use super::{
    Budget, Documents, Origin, Section, Severity,
    encrypted::plain,
    places::missing,
    problem::shown,
    trail::Trail,
    tree::{Node, OpenPart, Value},
};

/// One value: scalar, list or map, with its place.
#[derive(Clone)]
pub struct Item<'d> {
    documents: &'d Documents,
    kind: Kind<'d>,
    path: Trail,
}

#[derive(Clone, Copy)]
enum Kind<'d> {
    Node(&'d Node),
    /// A piece of a comma-separated text.
    Piece(&'d str, &'d Origin),
}

impl<'d> Item<'d> {
    pub(super) fn new(documents: &'d Documents, node: &'d Node, path: Trail) -> Self {
        Self { documents, kind: Kind::Node(node), path }
    }

    /// The text; `None` for a list, a map or nothing at all.
    pub fn text(&self) -> Option<&'d str> {
        match self.kind {
            Kind::Piece(text, _) => Some(text),
            Kind::Node(Node { value: Value::Scalar(scalar), .. }) => match plain(scalar) {
                Ok(text) => Some(text),
                Err(reason) => self.documents.unknown(scalar, &self.origin(), &self.path).or_else(|| {
                    self.error(reason);
                    None
                }),
            },
            Kind::Node(_) => None,
        }
    }

    /// The text where some `${name}` in it are not set in any document: `choose` is given such a name and the value of the
    /// environment's variable that would take its place, and says what does; `None` leaves the placeholder as written. `None`
    /// for a text without any.
    pub fn text_with(&self, mut choose: impl FnMut(&'d str, Option<&'d str>) -> Option<&'d str>) -> Option<String> {
        let Kind::Node(Node { value: Value::Scalar(scalar), .. }) = self.kind else { return None };
        let parts = scalar.open.get()?;
        let text = parts.iter().map(|part| match part {
            OpenPart::Text(text) => text.clone(),
            OpenPart::Open(name, value) => {
                choose(name, value.as_deref()).map_or_else(|| format!("${{{name}}}"), str::to_owned)
            }
        });
        Some(text.collect())
    }

    /// The text without the space around it; anything else, nothing included, is a problem.
    pub fn required_text(&self, expected: &str) -> Option<&'d str> {
        if let Kind::Node(Node { value: Value::Missing, .. }) = self.kind {
            self.error(format!("expected {expected}, found nothing"));
        }
        let text = self.expect_text(expected)?.trim();
        if text.is_empty() {
            self.error(format!("expected {expected}, found an empty text"));
            return None;
        }
        Some(text)
    }

    /// The text; a list or a map is a problem.
    pub(super) fn expect_text(&self, expected: &str) -> Option<&'d str> {
        if let Kind::Node(node @ Node { value: Value::List(_) | Value::Map(_), .. }) = self.kind {
            self.error(format!("expected {expected}, {}", found(node)));
        }
        self.text()
    }

    /// The map; anything else is a problem.
    pub fn section(&self) -> Section<'d> {
        let missing = |origin| Section::missing(self.documents, origin, self.path.clone());
        match self.kind {
            Kind::Node(node) => missing(&node.origin).expect_map(node, self.path.clone()),
            Kind::Piece(text, origin) => {
                self.error(format!("expected a map, found `{}`", shown(text)));
                missing(origin)
            }
        }
    }

    /// Whether this is a single value.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Piece(..) | Kind::Node(Node { value: Value::Scalar(_), .. }))
    }

    /// Whether this is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Node(Node { value: Value::Map(_), .. }))
    }

    /// The items of a list; a single text is split at commas; nothing has none; a map is a problem.
    pub fn items(&self) -> Vec<Item<'d>> {
        let at = |position, kind| Item { kind, path: self.path.place(position), ..self.clone() };
        match self.kind {
            Kind::Node(Node { value: Value::Missing, .. }) => Vec::new(),
            Kind::Node(Node { value: Value::List(items), .. }) => {
                items.iter().enumerate().map(|(position, node)| at(position, Kind::Node(node))).collect()
            }
            Kind::Node(node @ Node { value: Value::Map(map), .. }) => {
                self.error(match missing(map) {
                    Some(place) => format!("the entry `[{place}]` is missing; number them from 0, without a gap"),
                    None => format!("expected a list, {}", found(node)),
                });
                Vec::new()
            }
            Kind::Node(Node { origin, .. }) | Kind::Piece(_, origin) => {
                let pieces = self.text().unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty());
                pieces.enumerate().map(|(position, text)| at(position, Kind::Piece(text, origin))).collect()
            }
        }
    }

    /// The root of the documents that it is a part of.
    pub fn root(&self) -> Section<'d> {
        self.documents.root()
    }

    /// The account of what is made of the documents.
    pub fn budget(&self) -> &'d Budget {
        self.documents.budget()
    }

    /// Takes so many bytes for things of this kind; no room for them is a problem.
    pub fn spend(&self, kind: &'static str, bytes: usize) -> bool {
        self.budget().spend(kind, bytes).map_err(|error| self.error(error.to_string())).is_ok()
    }

    /// Where it is.
    pub fn origin(&self) -> Origin {
        match self.kind {
            Kind::Node(node) => node.origin.clone(),
            Kind::Piece(_, origin) => origin.clone(),
        }
    }

    /// The path from the root: `spring.cloud.gateway.routes[0].id`.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// Notes an error here.
    pub fn error(&self, message: impl Into<String>) {
        self.documents.report(Severity::Error, &self.origin(), &self.path, &message.into());
    }

    /// Notes a warning here.
    pub fn warn(&self, message: impl Into<String>) {
        self.documents.report(Severity::Warning, &self.origin(), &self.path, &message.into());
    }

    /// Notes here what a check of documents tells, though nothing is wrong.
    pub fn note(&self, message: impl Into<String>) {
        self.documents.report(Severity::Note, &self.origin(), &self.path, &message.into());
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} {})", self.origin(), self.path)
    }
}

/// For "expected ..., found ...".
pub(super) fn found(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => format!("found `{}`", shown(scalar.text().unwrap_or_else(|_| scalar.raw()))),
        other => format!("found {}", other.kind()),
    }
}
