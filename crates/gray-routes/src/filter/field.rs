//! What filters make of a request's header fields.
//!
//! They see what the filters before them left, as in Spring. Nearly all routes only add, set and remove: what comes of
//! that is known when the route is built, and a request only has lines appended.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::MAX_EDITS;
use crate::{
    Lookup,
    lookup::is_same,
    variables::{EditError, MAX_MADE, Template, Variables, Within},
};

/// Most lines that filters add to one request: a head with more is refused by servers.
const MAX_LINES: usize = 64;

/// One filter of the fields of a request.
#[derive(Clone, Debug)]
pub(crate) enum FieldEdit {
    /// `AddRequestHeader`
    Add(HeaderName, Value),
    /// `SetRequestHeader`
    Set(HeaderName, Value),
    /// `RemoveRequestHeader`
    Remove(HeaderName),
    /// `AddRequestHeadersIfNotPresent`, the values of one name.
    Default(HeaderName, Vec<Value>),
    /// `MapRequestHeader`: the values of the first once more under the second.
    Copy(HeaderName, HeaderName),
}

impl FieldEdit {
    /// The variables that it asks for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let values = match self {
            Self::Add(_, value) | Self::Set(_, value) => std::slice::from_ref(value),
            Self::Default(_, values) => values,
            Self::Remove(_) | Self::Copy(..) => &[],
        };
        values.iter().flat_map(Value::names)
    }
}

/// The value of a field, with variables or without; a clone is the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Fixed(HeaderValue),
    Made(Template),
}

impl Value {
    /// Reads it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} cannot be the value of a header", crate::text::quoted(text));
        let whole = HeaderValue::from_str(text).map_err(|_| wrong())?;
        let template = Template::parse(text, |part| Ok(part.to_owned()))?;
        Ok(if template.fixed().is_some() { Self::Fixed(whole) } else { Self::Made(template) })
    }

    /// The variables that it asks for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let template = if let Self::Made(template) = self { Some(template) } else { None };
        template.into_iter().flat_map(Template::names)
    }

    /// What it is for one request.
    pub(super) fn expand(&self, variables: &Variables<'_>) -> Result<Cow<'_, [u8]>, EditError> {
        Ok(match self {
            Self::Fixed(value) => Cow::Borrowed(value.as_bytes()),
            Self::Made(template) => match template.expand(variables, Within::Field)? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        })
    }
}

/// All edits of one route.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldEdits {
    /// Names whose fields of the client's stay behind.
    removed: Vec<HeaderName>,
    /// What is added, where that does not depend on the client's fields.
    added: Vec<(HeaderName, Value)>,
    /// All of them, where it does.
    all: Option<Vec<FieldEdit>>,
    /// So far, while the route is built.
    seen: Vec<FieldEdit>,
    count: usize,
}

impl FieldEdits {
    /// Adds the next edit.
    pub(super) fn push(&mut self, edit: FieldEdit) {
        self.count += 1;
        if self.count > MAX_EDITS {
            // Refused in the end: nothing more is made of it.
            return;
        }
        match &edit {
            FieldEdit::Add(name, value) => self.added.push((name.clone(), value.clone())),
            FieldEdit::Set(name, value) => {
                self.remove(name);
                self.added.push((name.clone(), value.clone()));
            }
            FieldEdit::Remove(name) => self.remove(name),
            FieldEdit::Default(..) | FieldEdit::Copy(..) => {
                let _first = self.all.get_or_insert_default();
            }
        }
        self.seen.push(edit);
    }

    /// What was added before goes as well, what is added later stays.
    fn remove(&mut self, name: &HeaderName) {
        self.added.retain(|(added, _)| !is_same(added.as_str(), name.as_str()));
        self.removed.push(name.clone());
    }

    /// No more edits come.
    pub(super) fn finish(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        if let Some(all) = &mut self.all {
            self.added.clear();
            *all = seen;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether the client's fields of this name stay behind.
    pub(super) fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| is_same(name, removed.as_str()))
    }

    /// Writes what is added to a request whose client sent these fields.
    pub(super) fn write(
        &self,
        client: &impl Lookup,
        variables: &Variables<'_>,
        mut write: impl FnMut(&HeaderName, &[u8]),
    ) -> Result<(), EditError> {
        let Some(all) = &self.all else {
            return self.added.iter().try_for_each(|(name, value)| {
                write(name, &value.expand(variables)?);
                Ok(())
            });
        };
        let mut lines = Lines::default();
        all.iter().try_for_each(|edit| lines.apply(edit, client, variables))?;
        lines.lines.iter().for_each(|(name, value)| write(name, value));
        Ok(())
    }
}

/// What edits have come to so far.
#[derive(Default)]
struct Lines<'e> {
    removed: Vec<&'e HeaderName>,
    lines: Vec<(&'e HeaderName, Cow<'e, [u8]>)>,
    bytes: usize,
}

impl<'e> Lines<'e> {
    fn apply(&mut self, edit: &'e FieldEdit, client: &impl Lookup, variables: &Variables<'_>) -> Result<(), EditError> {
        match edit {
            FieldEdit::Add(name, value) => self.add(name, value.expand(variables)?),
            FieldEdit::Set(name, value) => {
                self.remove(name);
                self.add(name, value.expand(variables)?)
            }
            FieldEdit::Remove(name) => {
                self.remove(name);
                Ok(())
            }
            FieldEdit::Default(name, values) => {
                let is_there = self.values(name, client).iter().any(|value| !value.trim_ascii().is_empty());
                if is_there {
                    return Ok(());
                }
                values.iter().try_for_each(|value| self.add(name, value.expand(variables)?))
            }
            FieldEdit::Copy(from, to) => {
                self.values(from, client).into_iter().try_for_each(|value| self.add(to, Cow::Owned(value)))
            }
        }
    }

    fn remove(&mut self, name: &'e HeaderName) {
        self.lines.retain(|(added, _)| !is_same(added.as_str(), name.as_str()));
        self.removed.push(name);
    }

    fn add(&mut self, name: &'e HeaderName, value: Cow<'e, [u8]>) -> Result<(), EditError> {
        self.bytes += name.as_str().len() + value.len();
        self.lines.push((name, value));
        if self.lines.len() > MAX_LINES || self.bytes > MAX_MADE { Err(EditError::TooLong) } else { Ok(()) }
    }

    /// The values under a name as they are by now.
    fn values(&self, name: &HeaderName, client: &impl Lookup) -> Vec<Vec<u8>> {
        let is_removed = self.removed.iter().any(|removed| is_same(removed.as_str(), name.as_str()));
        let theirs = (!is_removed).then(|| client.headers(name)).into_iter().flatten().map(<[u8]>::to_vec);
        let ours = self.lines.iter().filter(|(added, _)| *added == name).map(|(_, value)| value.to_vec());
        theirs.chain(ours).collect()
    }
}
