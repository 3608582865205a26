//! What filters make of the query. What they do not name stays as the client wrote it, byte by byte.

use std::borrow::Cow;

use crate::{
    text::{decoded, quoted},
    variables::{EditError, MAX_MADE, Template, Variables, Within, as_parameter},
};

/// One filter of the query.
#[derive(Clone, Debug)]
pub(crate) enum QueryEdit {
    /// `AddRequestParameter`: `name=`, then the value.
    Add(Box<str>, Template),
    /// `RemoveRequestParameter`, by the decoded name.
    Remove(Box<str>),
    /// `RewriteRequestParameter`: the decoded name, and the pair that takes the place of all of that name.
    Replace(Box<str>, Box<str>),
}

impl QueryEdit {
    /// Reads what `AddRequestParameter` adds.
    pub(super) fn add(name: &str, value: &Template) -> Self {
        Self::Add(format!("{}=", as_parameter(name)).into(), value.clone())
    }

    /// Reads what `RewriteRequestParameter` puts in the place of others.
    pub(super) fn replace(name: &str, value: &str) -> Self {
        Self::Replace(name.into(), format!("{}={}", as_parameter(name), as_parameter(value)).into())
    }

    /// The variables that it asks for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let template = if let Self::Add(_, template) = self { Some(template) } else { None };
        template.into_iter().flat_map(Template::names)
    }

    fn apply(&self, query: Option<String>, variables: &Variables<'_>) -> Result<Option<String>, EditError> {
        let with = |query: Option<String>, pair: &str| match query {
            Some(query) if query.is_empty() || query.ends_with('&') => query + pair,
            Some(query) => query + "&" + pair,
            None => pair.to_owned(),
        };
        match self {
            Self::Add(name, value) => {
                let pair = format!("{name}{}", value.expand(variables, Within::Query)?);
                Ok(Some(with(query, &pair)))
            }
            Self::Remove(name) => Ok(query.and_then(|query| without(&query, name).0)),
            Self::Replace(name, pair) => match query.map(|query| without(&query, name)) {
                Some((rest, true)) => Ok(Some(with(rest, pair))),
                Some((rest, false)) => Ok(rest),
                None => Ok(None),
            },
        }
    }
}

/// A query without the pairs of this name, `None` when there is nothing else; and whether there were any.
fn without(query: &str, name: &str) -> (Option<String>, bool) {
    let is_it = |pair: &&str| decoded(pair.split('=').next().unwrap_or_default(), true) == name;
    if !query.split('&').any(|pair| is_it(&pair)) {
        return (Some(query.to_owned()), false);
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_it(pair)).collect();
    (Some(rest.join("&")).filter(|rest| !rest.is_empty()), true)
}

/// What the edits make of a query, which has no `?`.
pub(super) fn apply<'q>(
    edits: &[QueryEdit],
    query: Option<&'q str>,
    variables: &Variables<'_>,
) -> Result<Option<Cow<'q, str>>, EditError> {
    if edits.is_empty() {
        return Ok(query.map(Cow::Borrowed));
    }
    let mut made = query.map(str::to_owned);
    for edit in edits {
        made = edit.apply(made, variables)?;
        if made.as_ref().is_some_and(|made| made.len() > MAX_MADE) {
            return Err(EditError::TooLong);
        }
    }
    Ok(made.map(Cow::Owned))
}

/// Reads the value of a parameter as it is to be sent: what cannot stand in a query is percent-encoded, `&` and what is
/// encoded already stay.
pub(super) fn value(text: &str) -> Result<Template, String> {
    const WRITTEN: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    if text.chars().any(char::is_control) {
        return Err(format!("{}: a control character cannot stand in a query", quoted(text)));
    }
    Template::parse(text, |part| Ok(percent_encoding::utf8_percent_encode(part, WRITTEN).to_string()))
}
