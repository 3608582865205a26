//! What filters make of the path, and what they took off its beginning.

use std::borrow::Cow;

use gray_expression::Steps;

use super::replacement::Replacement;
use crate::variables::{EditError, MAX_MADE, Template, Variables, Within};

/// One filter of the path.
#[derive(Clone, Debug)]
pub(crate) enum PathStep {
    /// `StripPrefix`
    Strip(usize),
    /// `RewritePath`
    Rewrite(Replacement),
    /// `PrefixPath`
    Prefix(Template),
    /// `SetPath`
    Set(Template),
}

/// What the filters made of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten<'p> {
    /// The path that is sent, without empty segments.
    pub path: Cow<'p, str>,
    /// Whether any filter took part.
    is_filtered: bool,
    /// What the second filter and those behind it got to see.
    between: Vec<Cow<'p, str>>,
}

impl<'p> Rewritten<'p> {
    /// Of a path that no filter changes.
    pub(crate) fn plain(path: &'p str) -> Self {
        Self { path: Cow::Borrowed(path), is_filtered: false, between: Vec::new() }
    }

    /// What each filter's path begins with and the path that is sent does not: the value of `X-Forwarded-Prefix`. Mirrors
    /// `XForwardedHeadersFilter`, but for percent-encoding, which stays as it is.
    pub fn prefix(&self, original: &'p str) -> Option<Cow<'p, str>> {
        if !self.is_filtered {
            return None;
        }
        let sent = without_slash(&self.path);
        let part = |seen: &'_ str| Some(without_slash(seen).strip_suffix(sent)?.len()).filter(|length| *length > 0);
        let first = part(original).and_then(|length| original.get(..length));
        let mut others: Vec<&str> = Vec::new();
        for (place, seen) in self.between.iter().enumerate() {
            // The same path is noted once.
            let is_known = seen == original || self.between.iter().take(place).any(|known| known == seen);
            others.extend(part(seen).and_then(|length| seen.get(..length)).filter(|_| !is_known));
        }
        if others.is_empty() {
            return first.map(Cow::Borrowed);
        }
        Some(Cow::Owned(first.into_iter().chain(others).collect::<Vec<_>>().join(",")))
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// What the steps make of a path; at the end, empty segments go.
pub(super) fn apply<'p>(
    steps: &[PathStep],
    path: &'p str,
    variables: &Variables<'_>,
) -> Result<Rewritten<'p>, EditError> {
    let (mut between, steps_left) = (Vec::new(), Steps::default());
    let mut made = Cow::Borrowed(path);
    for (place, step) in steps.iter().enumerate() {
        let next = match &made {
            Cow::Borrowed(path) => step.apply(path, variables, &steps_left)?,
            Cow::Owned(path) => Cow::Owned(step.apply(path, variables, &steps_left)?.into_owned()),
        };
        let before = std::mem::replace(&mut made, next);
        if place > 0 {
            between.push(before);
        }
        if made.len() > MAX_MADE {
            return Err(EditError::TooLong);
        }
    }
    if made.as_bytes().windows(2).any(|pair| pair == b"//") {
        made = Cow::Owned(merged(&made));
    }
    Ok(Rewritten { path: made, is_filtered: !steps.is_empty(), between })
}

impl PathStep {
    fn apply<'p>(&self, path: &'p str, variables: &Variables<'_>, left: &Steps) -> Result<Cow<'p, str>, EditError> {
        Ok(match self {
            Self::Strip(parts) => strip(path, *parts),
            Self::Rewrite(replacement) => match replacement.apply(path, left)? {
                rewritten if rewritten.starts_with('/') => rewritten,
                // Whatever the expression makes of a path, it stays one.
                rewritten => Cow::Owned(format!("/{rewritten}")),
            },
            Self::Prefix(template) => Cow::Owned(template.expand(variables, Within::Path)?.into_owned() + path),
            Self::Set(template) => Cow::Owned(template.expand(variables, Within::Path)?.into_owned()),
        })
    }
}

/// Takes off the first segments. Empty segments do not count, and none are left behind, as in Spring.
fn strip(path: &str, parts: usize) -> Cow<'_, str> {
    let mut rest = path;
    for _ in 0..parts {
        let segment = rest.trim_start_matches('/');
        rest = segment.find('/').and_then(|end| segment.get(end..)).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
    }
    if rest.trim_matches('/').is_empty() {
        return Cow::Borrowed("/");
    }
    if rest.starts_with('/') && !rest.as_bytes().windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(rest);
    }
    Cow::Owned(merged(rest))
}

/// Without empty segments, but for the slash at the end.
fn merged(path: &str) -> String {
    let mut clean = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        clean.push('/');
        clean.push_str(segment);
    }
    if path.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// Reads what `PrefixPath` and `SetPath` write: a path, with variables or without.
pub(crate) fn template(text: &str) -> Result<Template, String> {
    if !text.starts_with('/') {
        return Err(format!("expected a path that begins with `/`, found {}", crate::text::quoted(text)));
    }
    Template::parse(text, |part| {
        let mut written = String::with_capacity(part.len());
        for literal in part.chars() {
            if matches!(literal, '{' | '}' | '|' | '^' | '"') || write(literal, &mut written).is_none() {
                let literal = literal.escape_debug();
                return Err(format!("{}: `{literal}` cannot stand in a path unencoded", crate::text::quoted(text)));
            }
        }
        Ok(written)
    })
}

/// Writes a literal character of a path: what is beyond ASCII is percent-encoded, as Spring does.
pub(super) fn write(literal: char, out: &mut String) -> Option<()> {
    if literal.is_ascii() {
        let fits = literal.is_ascii_graphic() && !matches!(literal, '?' | '#' | '<' | '>' | '`' | '\\');
        return fits.then(|| out.push(literal));
    }
    if literal.is_control() {
        return None;
    }
    out.extend(percent_encoding::utf8_percent_encode(
        literal.encode_utf8(&mut [0; 4]),
        percent_encoding::NON_ALPHANUMERIC,
    ));
    Some(())
}
