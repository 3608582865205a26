//! What filters make of the head of an answer.
//!
//! In Spring a filter gets to see the answer after the filters behind it: the last one in the document comes first.

use std::{borrow::Cow, sync::Arc};

use gray_expression::Steps;
use http::{HeaderName, HeaderValue};

use super::{field::Value, location::Location, replacement::Replacement};
use crate::variables::{EditError, MAX_MADE, Variables};

/// Most lines that the head of an answer may have once filters have added theirs.
const MAX_LINES: usize = 256;

/// One filter of the head of an answer; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) enum ResponseEdit {
    /// `AddResponseHeader`; whether also where there is a field of the name that says something.
    Add { name: HeaderName, value: Value, always: bool },
    /// `SetResponseHeader`
    Set(HeaderName, Value),
    /// `RemoveResponseHeader`
    Remove(HeaderName),
    /// `RewriteResponseHeader`
    Rewrite(HeaderName, Replacement),
    /// `DedupeResponseHeader`
    Dedupe(Arc<[HeaderName]>, Keep),
    /// `RewriteLocationResponseHeader`
    Location(Arc<Location>),
    /// `SecureHeaders`: each where there is none of the name.
    Defaults(Arc<[(HeaderName, HeaderValue)]>),
}

/// Which of several values of one name are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    First,
    Last,
    Unique,
}

/// A line of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// The name, in any case.
    pub name: &'l str,
    /// The value.
    pub value: Cow<'l, [u8]>,
}

impl Line<'_> {
    fn is(&self, name: &HeaderName) -> bool {
        self.name.eq_ignore_ascii_case(name.as_str())
    }
}

/// What the answer needs to know of its request; nothing as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered(Option<Box<Kept>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Where a redirection leads.
    redirect: Option<HeaderValue>,
    /// Values with variables, in the order in which the edits ask for them.
    values: Vec<Box<[u8]>>,
    /// For each [`Location`]: the host that takes the place of the instance's, and whether a version is taken off.
    locations: Vec<Option<(Box<str>, bool)>>,
}

/// All edits of one route, the last of the document first.
#[derive(Clone, Debug, Default)]
pub struct ResponseEdits(Vec<ResponseEdit>);

impl Remembered {
    /// The same with where a redirection leads.
    pub(super) fn redirected(mut self, to: HeaderValue) -> Self {
        self.0.get_or_insert_default().redirect = Some(to);
        self
    }

    /// Where the route redirects to, if it does.
    pub fn location(&self) -> Option<&HeaderValue> {
        self.0.as_ref()?.redirect.as_ref()
    }
}

impl ResponseEdit {
    /// The same behind so many filters of the path.
    pub(super) fn at(self, place: usize) -> Self {
        match self {
            Self::Location(location) => Self::Location(Arc::new(Location { place, ..(*location).clone() })),
            other => other,
        }
    }

    /// The variables that it asks for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let value = if let Self::Add { value, .. } | Self::Set(_, value) = self { Some(value) } else { None };
        value.into_iter().flat_map(Value::names)
    }
}

impl ResponseEdits {
    pub(super) fn push(&mut self, edit: ResponseEdit) {
        self.0.push(edit);
    }

    /// No more edits come.
    pub(super) fn finish(&mut self) {
        self.0.reverse();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lines that are added, in order, if the edits do nothing else: no look at the head is needed.
    pub fn added(&self) -> Option<impl Iterator<Item = (&HeaderName, &HeaderValue)>> {
        let plain =
            |edit: &ResponseEdit| matches!(edit, ResponseEdit::Add { value: Value::Fixed(_), always: true, .. });
        let lines = self.0.iter().filter_map(|edit| match edit {
            ResponseEdit::Add { name, value: Value::Fixed(value), .. } => Some((name, value)),
            _ => None,
        });
        self.0.iter().all(plain).then_some(lines)
    }

    /// What `SecureHeaders` says. As in Spring, it stands on a redirection as well, which no other edit sees.
    pub fn secure(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        let fields = self.0.iter().filter_map(|edit| match edit {
            ResponseEdit::Defaults(fields) => Some(fields.iter()),
            _ => None,
        });
        fields.flatten()
    }

    /// What there is to remember of a request for its answer; `path` is what the filters make of the path up to a place among
    /// those of the path.
    pub(super) fn remember(
        &self,
        host: Option<&str>,
        variables: &Variables<'_>,
        path: impl Fn(usize) -> Result<String, EditError>,
    ) -> Result<Remembered, EditError> {
        let mut kept = Kept::default();
        for edit in &self.0 {
            match edit {
                ResponseEdit::Add { value: value @ Value::Made(_), .. }
                | ResponseEdit::Set(_, value @ Value::Made(_)) => {
                    kept.values.push(value.expand(variables)?.into());
                }
                ResponseEdit::Location(location) => {
                    let found = match host {
                        Some(host) => Some((location.host(host).into(), location.strips(&path)?)),
                        None => None,
                    };
                    kept.locations.push(found);
                }
                _ => {}
            }
        }
        let is_empty = kept.values.is_empty() && kept.locations.is_empty();
        Ok(Remembered((!is_empty).then(|| Box::new(kept))))
    }

    /// Applies the edits to the lines of an answer.
    ///
    /// # Errors
    /// When they make it too long, or it is not known what they make of it.
    pub fn apply<'l>(&'l self, lines: &mut Vec<Line<'l>>, remembered: &'l Remembered) -> Result<(), EditError> {
        let steps = Steps::default();
        let mut values = remembered.0.iter().flat_map(|kept| &kept.values);
        let mut locations = remembered.0.iter().flat_map(|kept| &kept.locations);
        let mut made = |value: &'l Value| match value {
            Value::Fixed(value) => Ok(Cow::Borrowed(value.as_bytes())),
            Value::Made(_) => values.next().map(|value| Cow::Borrowed(&**value)).ok_or(EditError::Missing),
        };
        for edit in &self.0 {
            match edit {
                ResponseEdit::Add { name, value, always } => {
                    let value = made(value)?;
                    let says = |line: &Line<'_>| line.is(name) && !line.value.trim_ascii().is_empty();
                    if *always || !lines.iter().any(says) {
                        lines.push(Line { name: name.as_str(), value });
                    }
                }
                ResponseEdit::Set(name, value) => {
                    let value = made(value)?;
                    lines.retain(|line| !line.is(name));
                    lines.push(Line { name: name.as_str(), value });
                }
                ResponseEdit::Remove(name) => lines.retain(|line| !line.is(name)),
                ResponseEdit::Rewrite(name, replacement) => rewrite(lines, name, replacement, &steps)?,
                ResponseEdit::Dedupe(names, keep) => names.iter().for_each(|name| dedupe(lines, name, *keep)),
                ResponseEdit::Location(location) => {
                    if let Some((host, strips)) = locations.next().ok_or(EditError::Missing)? {
                        location.apply(lines, host, *strips, &steps)?;
                    }
                }
                ResponseEdit::Defaults(fields) => {
                    for (name, value) in &**fields {
                        if !lines.iter().any(|line| line.is(name)) {
                            lines.push(Line { name: name.as_str(), value: Cow::Borrowed(value.as_bytes()) });
                        }
                    }
                }
            }
        }
        let bytes: usize = lines.iter().map(|line| line.name.len() + line.value.len()).sum();
        if lines.len() > MAX_LINES || bytes > 4 * MAX_MADE { Err(EditError::TooLong) } else { Ok(()) }
    }
}

fn rewrite(
    lines: &mut [Line<'_>],
    name: &HeaderName,
    replacement: &Replacement,
    steps: &Steps,
) -> Result<(), EditError> {
    for line in lines.iter_mut().filter(|line| line.is(name)) {
        // What is no text matches nothing.
        let Ok(text) = std::str::from_utf8(&line.value) else { continue };
        if let Cow::Owned(text) = replacement.apply(text, steps)? {
            line.value = Cow::Owned(text.into_bytes());
        }
    }
    Ok(())
}

fn dedupe(lines: &mut Vec<Line<'_>>, name: &HeaderName, keep: Keep) {
    let last = lines.iter().rposition(|line| line.is(name));
    let (mut place, mut seen) = (0, Vec::new());
    lines.retain(|line| {
        let here = place;
        place += 1;
        if !line.is(name) {
            return true;
        }
        let is_first = seen.is_empty();
        let is_new = !seen.contains(&line.value);
        seen.push(line.value.clone());
        match keep {
            Keep::First => is_first,
            Keep::Last => Some(here) == last,
            Keep::Unique => is_new,
        }
    });
}
