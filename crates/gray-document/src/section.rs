//! Reading the tree by key, with every problem noted on the way.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{
    Budget, Documents, Item, Origin, Severity, boolean,
    item::found,
    masked::shown_under,
    trail::Trail,
    tree::{Map, Node, Value},
};

/// Said of a key without a name.
const EMPTY: &str = "a key, or a part of one between dots, is empty; give it a name";

/// A map, or the place where one could be.
///
/// Keys are relaxed and may be dotted. Accessors note a problem when a value has the wrong type and return `None`;
/// an empty value, however written, counts as missing. What was asked for counts as known
/// ([`reject_unknown`](Self::reject_unknown)).
#[derive(Clone)]
pub struct Section<'d> {
    documents: &'d Documents,
    map: Option<&'d Map>,
    origin: &'d Origin,
    path: Trail,
}

/// What a key leads to.
struct Found<'d> {
    value: Option<&'d Node>,
    /// The node's place, or that of the nearest map around it.
    origin: &'d Origin,
    path: Trail,
}

impl<'d> Section<'d> {
    pub(super) fn root(documents: &'d Documents, node: &'d Node) -> Self {
        Self::of(documents, node, Trail::default())
    }

    /// Takes a node for a map; another kind of node has been or will be reported by the caller.
    fn of(documents: &'d Documents, node: &'d Node, path: Trail) -> Self {
        let map = match &node.value {
            Value::Map(map) => Some(map),
            _ => None,
        };
        Self { documents, map, origin: &node.origin, path }
    }

    /// The place where a map could be.
    pub(super) fn missing(documents: &'d Documents, origin: &'d Origin, path: Trail) -> Self {
        Self { documents, map: None, origin, path }
    }

    /// The path from the root, as written; empty at the root.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// Where it is, or the nearest map around it when it is missing.
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The account of what is made of the documents.
    pub fn budget(&self) -> &'d Budget {
        self.documents.budget()
    }

    /// Whether there is a map here.
    pub fn exists(&self) -> bool {
        self.map.is_some()
    }

    fn find(&self, dotted: &str) -> Found<'d> {
        let mut section = self.clone();
        // A name with dots in it, as it is among the keys.
        if dotted.contains('.')
            && let Some((written, node)) =
                self.map.filter(|map| map.get(dotted).is_some()).and_then(|map| map.ask(dotted))
        {
            return Found { value: Some(node), origin: &node.origin, path: self.path.key(written) };
        }
        let mut segments = dotted.split('.').peekable();
        while let Some(segment) = segments.next() {
            let Some((written, node)) = section.map.and_then(|map| map.ask(segment)) else {
                let path = segments.fold(section.path.key(&segment.into()), |path, segment| path.key(&segment.into()));
                return Found { value: None, origin: section.origin, path };
            };
            let path = section.path.key(written);
            if segments.peek().is_none() {
                return Found { value: Some(node), origin: &node.origin, path };
            }
            section = self.expect_map(node, path);
        }
        Found { value: None, origin: self.origin, path: self.path.clone() }
    }

    pub(super) fn expect_map(&self, node: &'d Node, path: Trail) -> Self {
        if let Value::Scalar(_) | Value::List(_) = &node.value {
            self.documents.report(Severity::Error, &node.origin, &path, &format!("expected a map, {}", found(node)));
        }
        Self::of(self.documents, node, path)
    }

    /// The map under a key, or the place where it could be.
    pub fn section(&self, dotted: &str) -> Section<'d> {
        match self.find(dotted) {
            Found { value: Some(node), path, .. } => self.expect_map(node, path),
            Found { value: None, origin, path } => Self::missing(self.documents, origin, path),
        }
    }

    /// Whether there is anything but nothing under a key: no empty value, that is.
    pub fn has(&self, key: &str) -> bool {
        match self.find(key).value.map(|node| &node.value) {
            None | Some(Value::Missing) => false,
            Some(Value::Scalar(scalar)) => scalar.text().map_or(true, |text| !text.trim().is_empty()),
            Some(Value::List(_) | Value::Map(_)) => true,
        }
    }

    fn read<T>(&self, key: &str, expected: &str, convert: impl FnOnce(&'d str) -> Option<T>) -> Option<T> {
        let found = self.find(key);
        let item = Item::new(self.documents, found.value?, found.path);
        let text = item.expect_text(expected)?.trim();
        if text.is_empty() {
            return None;
        }
        let value = convert(text);
        if value.is_none() {
            item.error(format!("expected {expected}, found `{}`", shown_under(key, text)));
        }
        value
    }

    /// `true` or `false`, also written `yes`/`no`, `on`/`off`, `1`/`0` ([`boolean`](crate::boolean)).
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.read(key, "true or false", boolean)
    }

    /// A text, without the space around it.
    pub fn string(&self, key: &str) -> Option<String> {
        self.read(key, "a text", |text| Some(text.to_owned()))
    }

    /// A whole number from 0.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.read(key, "a whole number, 0 or more", |text| text.parse().ok())
    }

    /// A finite number.
    pub fn f64(&self, key: &str) -> Option<f64> {
        self.read(key, "a number", |text| text.parse().ok().filter(|number: &f64| number.is_finite()))
    }

    /// A length of time as Spring writes it: `500ms`, `5s`, `1m`, `PT5S`; a bare number is milliseconds.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.read(key, "a duration such as 500ms, 5s or 1m (a bare number is milliseconds)", duration)
    }

    /// Whatever can be read from a text. What its error says becomes the problem.
    pub fn parsed<T: FromStr>(&self, key: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let text = self.string(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(reason) => {
                self.error(key, format!("`{}` cannot be used: {reason}", shown_under(key, &text)));
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn whole<T: TryFrom<u64>>(&self, key: &str, bounds: RangeInclusive<u64>) -> Option<T> {
        let text = self.string(key)?;
        let number = text.parse::<u64>().ok().filter(|number| bounds.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            let bounds = match (*bounds.start(), *bounds.end()) {
                (least, u64::MAX) => format!("of at least {least}"),
                (least, most) => format!("from {least} to {most}"),
            };
            self.error(key, format!("`{}` is not a whole number {bounds}", shown_under(key, &text)));
        }
        number
    }

    /// The items of a list; a single text is split at commas; a missing key has none.
    pub fn items(&self, key: &str) -> Vec<Item<'d>> {
        let Found { value, path, .. } = self.find(key);
        value.map(|node| Item::new(self.documents, node, path).items()).unwrap_or_default()
    }

    /// Every key, as written and in order. All of them count as known; an empty one is an error, and skipped.
    pub fn keys(&self) -> Vec<(String, Item<'d>)> {
        let entries = self.map.into_iter().flat_map(Map::entries);
        for (key, node) in entries {
            self.map.and_then(|map| map.ask(key));
            if key.trim().is_empty() {
                self.documents.report_key(Severity::Error, &node.origin, &self.path.key(key), EMPTY);
            }
        }
        self.peek_keys()
    }

    /// Like [`keys`](Self::keys), but they do not count as known, and nothing is said of an empty one.
    pub fn peek_keys(&self) -> Vec<(String, Item<'d>)> {
        let entries = self.map.into_iter().flat_map(Map::entries).filter(|(key, _)| !key.trim().is_empty());
        entries.map(|(key, node)| (key.to_string(), Item::new(self.documents, node, self.path.key(key)))).collect()
    }

    /// What a dotted key leads to; it does not count as known.
    pub fn peek(&self, dotted: &str) -> Option<Item<'d>> {
        let (mut map, mut path) = (self.map?, self.path.clone());
        let mut steps = dotted.split('.').peekable();
        loop {
            let (written, node) = map.get(steps.next()?)?;
            path = path.key(written);
            match &node.value {
                Value::Missing => return None,
                _ if steps.peek().is_none() => return Some(Item::new(self.documents, node, path)),
                Value::Map(below) => map = below,
                Value::Scalar(_) | Value::List(_) => return None,
            }
        }
    }

    /// What was not asked for, or not all of it, where a pattern leads (`*` is any key), if `is_it`. It counts as reported
    /// from then on.
    pub fn take_unread(&self, pattern: &str, is_it: &dyn Fn(&Item<'d>) -> bool) -> Vec<Item<'d>> {
        let (step, rest) = pattern.split_once('.').map_or((pattern, None), |(step, rest)| (step, Some(rest)));
        let Some(map) = self.map else { return Vec::new() };
        let found: Vec<_> = if step == "*" { map.entries().collect() } else { map.get(step).into_iter().collect() };
        let mut unread = Vec::new();
        for (key, node) in found {
            let path = self.path.key(key);
            let item = Item::new(self.documents, node, path.clone());
            match (rest, &node.value) {
                (Some(rest), Value::Map(_)) => {
                    let below = Self::of(self.documents, node, path).take_unread(rest, is_it);
                    if !below.is_empty() {
                        map.note_reported(key);
                    }
                    unread.extend(below);
                }
                (None, _) if is_it(&item) && map.take_unread(key, node) => unread.push(item),
                _ => {}
            }
        }
        unread
    }

    /// Every key that was asked for, by the name it was first asked by.
    #[cfg(feature = "test-util")]
    pub fn asked(&self) -> std::collections::BTreeSet<String> {
        self.map.into_iter().flat_map(Map::asked).collect()
    }

    /// Notes an error at a key, or at this section when the key is missing.
    pub fn error(&self, key: &str, message: impl Into<String>) {
        let found = self.find(key);
        self.documents.report(Severity::Error, found.origin, &found.path, &message.into());
    }

    /// Notes a warning at a key, or at this section when the key is missing.
    pub fn warn(&self, key: &str, message: impl Into<String>) {
        let found = self.find(key);
        self.documents.report(Severity::Warning, found.origin, &found.path, &message.into());
    }

    /// Notes at a key, or at this section when the key is missing, what a check of documents tells.
    pub fn note(&self, key: &str, message: impl Into<String>) {
        let found = self.find(key);
        self.documents.report(Severity::Note, found.origin, &found.path, &message.into());
    }

    /// Every key that was not asked for, here and in the maps below that were looked into, is an error.
    pub fn reject_unknown(&self) {
        self.unknown(Severity::Error, "unknown key");
    }

    /// Every key that was not asked for, here and in the maps below that were looked into, gets a warning.
    pub fn warn_unknown(&self, why: &str) {
        self.unknown(Severity::Warning, why);
    }

    fn unknown(&self, severity: Severity, what: &str) {
        let Some(map) = self.map else { return };
        for (key, node, similar) in map.take_unknown() {
            let hint = similar.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default();
            let what = if key.trim().is_empty() && severity == Severity::Error { EMPTY } else { what };
            self.documents.report_key(severity, &node.origin, &self.path.key(key), &format!("{what}{hint}"));
        }
        for (key, node) in map.entries() {
            match &node.value {
                Value::Map(below) if below.is_visited() => {
                    Self::of(self.documents, node, self.path.key(key)).unknown(severity, what);
                }
                Value::List(items) => {
                    for (position, item) in items.iter().enumerate() {
                        if matches!(&item.value, Value::Map(map) if map.is_visited()) {
                            let path = self.path.key(key).place(position);
                            Self::of(self.documents, item, path).unknown(severity, what);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({} {})", self.origin, self.path)
    }
}

/// A length of time as Spring writes it: `500ms`, `5s`, `1m`, `PT5S`; a bare number is milliseconds.
pub fn duration(text: &str) -> Option<Duration> {
    // ISO 8601 as Spring takes it; hours and minutes are rare enough to be written in Spring's short form.
    if let Some(seconds) = text.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S')) {
        return Duration::try_from_secs_f64(seconds.parse().ok()?).ok();
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit.trim().to_ascii_lowercase().as_str() {
        "ns" => Some(Duration::from_nanos(number)),
        "us" => Some(Duration::from_micros(number)),
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}
