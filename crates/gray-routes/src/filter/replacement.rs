//! Java's `replaceAll`: what stands for each match.

use std::{borrow::Cow, sync::Arc};

use gray_expression::{JavaExpression, Steps};

use crate::{
    text::quoted,
    variables::{EditError, MAX_MADE},
};

/// Longest replacement, in bytes.
const MAX_TEXT: usize = 8 << 10;

/// An expression, and what its matches are replaced by; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    regex: JavaExpression,
    pieces: Arc<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Takes a Java replacement apart: `$1`, `${name}`, `\x` for a literal; and Spring's `$\{name}`, which keeps YAML
    /// placeholders away. `write` says how a literal character is written, or `None` where it cannot stand.
    pub(super) fn new(
        regex: JavaExpression,
        text: &str,
        write: impl Fn(char, &mut String) -> Option<()>,
        place: &str,
    ) -> Result<Self, String> {
        let replacement = text.replace("$\\", "$");
        let problem = |reason: String| format!("replacement {}: {reason}", quoted(text));
        if text.len() > MAX_TEXT {
            return Err(problem(format!("longer than {MAX_TEXT} bytes")));
        }
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = replacement.as_str();
        while let Some(next) = rest.chars().next() {
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            let literal = match next {
                '$' => {
                    let (group, after) = reference(rest, &regex).map_err(problem)?;
                    pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
                    pieces.push(Piece::Group(group));
                    rest = after;
                    continue;
                }
                '\\' => {
                    let escaped = rest.chars().next().ok_or_else(|| problem("ends in a backslash".to_owned()))?;
                    rest = rest.get(escaped.len_utf8()..).unwrap_or_default();
                    escaped
                }
                literal => literal,
            };
            if write(literal, &mut plain).is_none() {
                return Err(problem(format!("`{}` cannot stand in {place}", literal.escape_debug())));
            }
        }
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(Self { regex, pieces: pieces.into() })
    }

    /// The text with all matches replaced.
    pub(super) fn apply<'t>(&self, text: &'t str, steps: &Steps) -> Result<Cow<'t, str>, EditError> {
        let mut is_too_long = false;
        let replaced = self.regex.replace_all(text, steps, |groups, out| {
            for piece in &*self.pieces {
                is_too_long |= out.len() > MAX_MADE;
                if is_too_long {
                    return;
                }
                out.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Group(group) => groups.get(*group).unwrap_or_default(),
                });
            }
        })?;
        if is_too_long || replaced.len() > MAX_MADE { Err(EditError::TooLong) } else { Ok(replaced) }
    }
}

/// The group that `1...` or `{name}...` refers to, and what comes after.
fn reference<'t>(text: &'t str, regex: &JavaExpression) -> Result<(usize, &'t str), String> {
    if let Some(named) = text.strip_prefix('{') {
        let (name, after) = named.split_once('}').ok_or("`${` is never closed")?;
        let group = regex.group(name);
        return group.map(|group| (group, after)).ok_or_else(|| format!("no group is called {}", quoted(name)));
    }
    // As many digits as still name a group, as in Java.
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let groups = (1..=digits).rev().filter_map(|length| Some((text.get(..length)?.parse().ok()?, text.get(length..)?)));
    let found = { groups }.find(|(group, _)| *group < regex.groups());
    found.ok_or_else(|| "`$` must be followed by the number or {name} of a group (a plain one is `\\$`)".to_owned())
}
