//! One segment of a path pattern, one label of a host pattern.

use gray_document::Budget;
use gray_expression::{Expression, Form, escape};

use super::text::quoted;

#[derive(Clone, Debug)]
pub(super) enum Segment {
    Literal(Box<str>),
    /// `*`
    Any,
    /// `{name}`: like `*`, but never empty.
    Variable(Box<str>),
    /// Anything mixed: `v?`, `*.html`, `{a}-{b}`, `{id:\d+}`.
    Mixed {
        regex: Expression,
        /// Its variables; with any of them it is never empty.
        names: Box<[Box<str>]>,
        /// The expression with a group for each variable, and what it is compiled to where filters ask for them.
        groups: Box<str>,
        capture: Option<Expression>,
    },
}

impl Segment {
    pub(super) fn parse(text: &str, form: Form, budget: &Budget) -> Result<Self, String> {
        let (mut expression, mut groups, mut rest) = (String::from("(?s)"), String::from("(?s)^"), text);
        let (mut names, mut special) = (Vec::<Box<str>>::new(), false);
        if form == Form::WholeTextAnyCase {
            groups = String::from("(?si)^");
        }
        while let Some(next) = rest.chars().next() {
            let after = rest.get(next.len_utf8()..).unwrap_or_default();
            rest = after;
            let part = match next {
                '?' => ".".to_owned(),
                '*' => ".*".to_owned(),
                '{' => {
                    let end = closing_brace(after).ok_or("`{` is never closed")?;
                    let inner = after.get(..end).unwrap_or_default();
                    let (name, constraint) = inner.split_once(':').unwrap_or((inner, ".*"));
                    if !is_name(name) {
                        return Err(format!("{} is not the name of a variable", quoted(name)));
                    }
                    // Alone first: `a)|(b` must not become valid by being wrapped.
                    budget.expression(constraint, form)?;
                    expression.push_str(&format!("(?:{constraint})"));
                    groups.push_str(&format!("(?P<gray{}>{constraint})", names.len()));
                    names.push(Box::from(name));
                    rest = after.get(end + 1..).unwrap_or_default();
                    special = true;
                    continue;
                }
                '}' => return Err("`}` without `{`".to_owned()),
                '%' | ';' | '#' => {
                    return Err(format!(
                        "`{next}` never matches: patterns see the path decoded and without parameters"
                    ));
                }
                literal => escape(literal.encode_utf8(&mut [0; 4])),
            };
            special |= matches!(next, '?' | '*');
            expression.push_str(&part);
            groups.push_str(&part);
        }
        groups.push('$');
        Ok(match (text, &mut *names) {
            (text, _) if !special => Self::Literal(text.into()),
            ("*", _) => Self::Any,
            (text, [name]) if text.len() == name.len() + 2 => Self::Variable(std::mem::take(name)),
            _ => Self::Mixed {
                regex: budget.expression(&expression, form)?,
                names: names.into(),
                groups: groups.into(),
                capture: None,
            },
        })
    }

    /// The text, if it is nothing else.
    pub(super) fn literal(&self) -> Option<&str> {
        if let Self::Literal(text) = self { Some(text) } else { None }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *value,
            other => other.matches_wildcard(value),
        }
    }

    pub(super) fn matches_fold(&self, value: &str) -> bool {
        match self {
            Self::Literal(text) => text.eq_ignore_ascii_case(value),
            other => other.matches_wildcard(value),
        }
    }

    fn matches_wildcard(&self, value: &str) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Any => true,
            Self::Variable(_) => !value.is_empty(),
            Self::Mixed { regex, names, .. } => (names.is_empty() || !value.is_empty()) && regex.is_match(value),
        }
    }

    /// The names of its variables.
    pub(super) fn names(&self) -> &[Box<str>] {
        match self {
            Self::Variable(name) => std::slice::from_ref(name),
            Self::Mixed { names, .. } => names,
            Self::Literal(_) | Self::Any => &[],
        }
    }

    /// Gets ready to tell the values of its variables.
    pub(super) fn prepare(&mut self, budget: &Budget) -> Result<(), String> {
        if let Self::Mixed { names, groups, capture, .. } = self
            && !names.is_empty()
        {
            *capture = Some(budget.expression(groups, Form::Within)?);
        }
        Ok(())
    }

    /// Tells the values that its variables have in a segment that it matches.
    pub(super) fn capture<'n>(&'n self, value: &str, mut tell: impl FnMut(&'n str, &str)) {
        match self {
            Self::Variable(name) => tell(name, value),
            Self::Mixed { names, capture: Some(capture), .. } => {
                capture.replace_all(value, |groups, _| {
                    for (place, name) in names.iter().enumerate() {
                        let group = capture.group(&format!("gray{place}"));
                        tell(name, group.and_then(|group| groups.get(group)).unwrap_or_default());
                    }
                });
            }
            _ => {}
        }
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// Splits at the separator, but not inside braces.
pub(super) fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut from) = (Vec::new(), 0, 0);
    while let Some(found) = text.get(from..).and_then(|rest| rest.find([separator, '{'])) {
        let at = from + found;
        let after = text.get(at + 1..).unwrap_or_default();
        if text.get(at..).is_some_and(|rest| rest.starts_with('{')) {
            let end = closing_brace(after).ok_or("`{` is never closed (a pattern with a comma needs the list form)")?;
            from = at + 1 + end + 1;
        } else {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
            from = start;
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

/// Where the brace that was opened just before the text closes; nested and escaped braces are skipped.
pub(super) fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
