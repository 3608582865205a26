//! One segment of a path pattern, one label of a host pattern.

use gray_document::Budget;
use gray_expression::{JavaExpression, JavaForm, StepLimit, Steps, escape};

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
        regex: JavaExpression,
        /// Its variables; with any of them it is never empty.
        names: Box<[Box<str>]>,
        /// The expression with a group for each variable, and what it is compiled to where filters ask for them.
        groups: Box<str>,
        capture: Option<JavaExpression>,
    },
}

impl Segment {
    pub(super) fn parse(text: &str, form: JavaForm, budget: &Budget) -> Result<Self, String> {
        let (mut expression, mut groups, mut rest) = (String::from("(?s)"), String::from(r"(?s)\A"), text);
        let (mut names, mut special) = (Vec::<Box<str>>::new(), false);
        if form == JavaForm::WholeAnyCase {
            groups = String::from(r"(?si)\A");
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
                    groups.push_str(&format!("(?<gray{}>{constraint})", names.len()));
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
        groups.push_str(r"\z");
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

    pub(super) fn matches(&self, value: &str, steps: &Steps) -> Result<bool, StepLimit> {
        match self {
            Self::Literal(text) => Ok(**text == *value),
            other => other.matches_wildcard(value, steps),
        }
    }

    pub(super) fn matches_fold(&self, value: &str, steps: &Steps) -> Result<bool, StepLimit> {
        match self {
            Self::Literal(text) => Ok(text.eq_ignore_ascii_case(value)),
            other => other.matches_wildcard(value, steps),
        }
    }

    fn matches_wildcard(&self, value: &str, steps: &Steps) -> Result<bool, StepLimit> {
        match self {
            Self::Literal(_) => Ok(false),
            Self::Any => Ok(true),
            Self::Variable(_) => Ok(!value.is_empty()),
            Self::Mixed { names, .. } if value.is_empty() && !names.is_empty() => Ok(false),
            Self::Mixed { regex, .. } => regex.is_match(value, steps),
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
            *capture = Some(budget.expression(groups, JavaForm::Within)?);
        }
        Ok(())
    }

    /// Tells the values that its variables have in a segment that it matches.
    pub(super) fn capture<'n>(
        &'n self,
        value: &str,
        steps: &Steps,
        mut tell: impl FnMut(&'n str, &str),
    ) -> Result<(), StepLimit> {
        match self {
            Self::Variable(name) => tell(name, value),
            Self::Mixed { names, capture: Some(capture), .. } => {
                capture.replace_all(value, steps, |groups, _| {
                    for (place, name) in names.iter().enumerate() {
                        let group = capture.group(&format!("gray{place}"));
                        tell(name, group.and_then(|group| groups.get(group)).unwrap_or_default());
                    }
                })?;
            }
            _ => {}
        }
        Ok(())
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
