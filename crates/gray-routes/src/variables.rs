//! What the variables of a route's path and host stand for in one request, and texts that hold them: `/v2/{id}`.

use std::{borrow::Cow, sync::Arc};

use gray_expression::StepLimit;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{segment::closing_brace, text::quoted};

/// Longest text with variables, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// Longest that a text may become, in bytes: what the largest head of a request may have.
pub(crate) const MAX_MADE: usize = 64 << 10;

/// What stands for itself in a segment of a path (RFC 3986, 3.3: `pchar`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');
/// What stands for itself in a name or value of a query: nothing that separates them.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a route's filters cannot be applied to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// What the client sent makes a value that cannot be sent: 400.
    #[error("{0}")]
    BadRequest(&'static str),
    /// What the client sent makes a path, a query or a head that is too long: 414, 431.
    #[error("the filters of the route make it too long")]
    TooLong,
    /// It is not known what an expression makes of what the client, or for answers the instance, sent: 400 or 502.
    #[error(transparent)]
    StepLimit(#[from] StepLimit),
    /// A variable stands for nothing: a matter of the configuration, 500.
    #[error("a variable has no value")]
    Missing,
}

/// The variables of one request: those of `Path`, then those of `Host`; of one name the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables<'n>(Vec<Variable<'n>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable<'n> {
    name: &'n str,
    /// Decoded.
    text: String,
    /// As it stands in a path: what separates segments there is encoded in it.
    in_path: String,
}

impl<'n> Variables<'n> {
    pub(crate) fn add(&mut self, name: &'n str, text: &str) {
        let in_path = utf8_percent_encode(text, SEGMENT).to_string();
        self.0.push(Variable { name, text: text.to_owned(), in_path });
    }

    /// `{*rest}`: with the slash before each segment.
    pub(crate) fn add_rest<'s>(&mut self, name: &'n str, segments: impl Iterator<Item = Cow<'s, str>>) {
        let (mut text, mut in_path) = (String::new(), String::new());
        for segment in segments {
            text.push('/');
            text.push_str(&segment);
            in_path.push('/');
            in_path.extend(utf8_percent_encode(&segment, SEGMENT));
        }
        self.0.push(Variable { name, text, in_path });
    }

    fn get(&self, name: &str) -> Option<&Variable<'n>> {
        self.0.iter().rev().find(|variable| variable.name == name)
    }
}

/// Where a text stands, which says how the values of variables are written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Field,
    Path,
    Query,
}

/// A text with variables; a clone is the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Arc<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Variable(Box<str>),
}

impl Template {
    /// Takes a text apart; `write` says how the text between variables is to be written, or what is wrong with it.
    pub(crate) fn parse(text: &str, write: impl Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("longer than {MAX_TEXT} bytes: {}", quoted(text)));
        }
        let mut parts = Vec::new();
        let push = |parts: &mut Vec<Part>, text: &str| -> Result<(), String> {
            if !text.is_empty() {
                parts.push(Part::Text(write(text)?.into()));
            }
            Ok(())
        };
        let (mut plain, mut rest) = (0, text);
        while let Some(begin) = rest.get(plain..).and_then(|rest| rest.find('{')).map(|at| plain + at) {
            let inner = rest.get(begin + 1..).unwrap_or_default();
            let Some(end) = closing_brace(inner) else { break };
            let name = inner.get(..end).unwrap_or_default();
            if name.is_empty() || name.contains('/') {
                // No variable for Spring either.
                plain = begin + 1;
                continue;
            }
            push(&mut parts, rest.get(..begin).unwrap_or_default())?;
            let name = name.split(':').next().unwrap_or_default();
            parts.push(Part::Variable(name.into()));
            (plain, rest) = (0, inner.get(end + 1..).unwrap_or_default());
        }
        push(&mut parts, rest)?;
        Ok(Self(parts.into()))
    }

    /// The names of its variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let Part::Variable(name) = part { Some(&**name) } else { None })
    }

    /// The whole text, if it has no variable.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the values of its variables.
    pub(crate) fn expand(&self, variables: &Variables<'_>, within: Within) -> Result<Cow<'_, str>, EditError> {
        if let Some(text) = self.fixed() {
            return Ok(Cow::Borrowed(text));
        }
        let mut made = String::new();
        for part in &*self.0 {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Variable(name) => {
                    let variable = variables.get(name).ok_or(EditError::Missing)?;
                    match within {
                        Within::Field => made.push_str(&variable.text),
                        Within::Path => made.push_str(&variable.in_path),
                        Within::Query => made.extend(utf8_percent_encode(&variable.text, PARAMETER)),
                    }
                }
            }
            if made.len() > MAX_MADE {
                return Err(EditError::TooLong);
            }
        }
        if within == Within::Field && !is_field_value(&made) {
            return Err(EditError::BadRequest("a variable of the route holds what no header value can hold"));
        }
        Ok(Cow::Owned(made))
    }
}

/// Whether a text can be the value of a field (RFC 9110, 5.5): no control character but the tab.
pub(crate) fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// A text as one name or value of a query.
pub(crate) fn as_parameter(text: &str) -> String {
    utf8_percent_encode(text, PARAMETER).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<Template, String> {
        Template::parse(text, |text| Ok(text.to_owned()))
    }

    #[test]
    fn variables_are_written_as_the_place_wants_it() {
        let mut variables = Variables::default();
        variables.add("id", "a/b &?é");
        variables.add_rest("rest", ["x", "y/z", ""].into_iter().map(Cow::Borrowed));
        variables.add("id-2", "second");
        for (text, within, expect) in [
            ("plain", Within::Field, "plain"),
            ("<{id}>", Within::Field, "<a/b &?é>"),
            ("/{id}/x", Within::Path, "/a%2Fb%20&%3F%C3%A9/x"),
            ("{id}", Within::Query, "a%2Fb%20%26%3F%C3%A9"),
            ("/v2{rest}", Within::Path, "/v2/x/y%2Fz/"),
            ("{rest}", Within::Field, "/x/y/z/"),
            ("{id-2}{id-2}", Within::Field, "secondsecond"),
            ("{id-2:.*}", Within::Field, "second"),
            // No variable for Spring, so none here.
            ("{", Within::Field, "{"),
            ("a{}b", Within::Field, "a{}b"),
            ("{a/b}", Within::Field, "{a/b}"),
        ] {
            let template = plain(text).expect(text);
            assert_eq!(template.expand(&variables, within).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let mut variables = Variables::default();
        variables.add("line", "a\r\nb");
        variables.add("long", &"x".repeat(MAX_MADE / 2));
        let expand = |text: &str, within| plain(text).expect(text).expand(&variables, within).map(Cow::into_owned);
        assert!(matches!(expand("{line}", Within::Field), Err(EditError::BadRequest(_))));
        assert_eq!(expand("{line}", Within::Path), Ok("a%0D%0Ab".to_owned()));
        assert_eq!(expand("{other}", Within::Field), Err(EditError::Missing));
        assert_eq!(expand("{long}{long}{long}", Within::Path), Err(EditError::TooLong));
        assert!(plain(&"x".repeat(MAX_TEXT + 1)).expect_err("too long").contains("longer than 8192 bytes"));
    }
}
