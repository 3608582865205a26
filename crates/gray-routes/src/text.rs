//! Texts in predicates: whole-text patterns, percent-decoding, and showing outside text in messages.

use std::{borrow::Cow, fmt};

use gray_document::{Budget, masked};
use gray_expression::{JavaExpression, JavaForm, StepLimit, Steps, escape};
use percent_encoding::percent_decode_str;

/// A text to be matched whole: what Java's `String.matches` does.
#[derive(Clone)]
pub(super) enum TextPattern {
    /// The expression had no special character: comparing does.
    Exact(Box<str>),
    Regex(JavaExpression),
}

impl TextPattern {
    /// Compiles an expression; the error says what is wrong with it.
    pub(super) fn new(expression: &str, budget: &Budget) -> Result<Self, String> {
        if escape(expression) == expression {
            return Ok(Self::Exact(expression.into()));
        }
        budget.expression(expression, JavaForm::Whole).map(Self::Regex)
    }

    pub(super) fn matches(&self, text: &str, steps: &Steps) -> Result<bool, StepLimit> {
        match self {
            Self::Exact(exact) => Ok(**exact == *text),
            Self::Regex(regex) => regex.is_match(text, steps),
        }
    }

    /// The same of the value of a header: ISO 8859-1, or UTF-8; one that is not UTF-8 then matches nothing.
    pub(super) fn matches_bytes(&self, value: &[u8], latin1: bool, steps: &Steps) -> Result<bool, StepLimit> {
        match std::str::from_utf8(value) {
            _ if latin1 && !value.is_ascii() => {
                self.matches(&value.iter().map(|byte| char::from(*byte)).collect::<String>(), steps)
            }
            Ok(text) => self.matches(text, steps),
            Err(_) => Ok(false),
        }
    }
}

impl fmt::Debug for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => exact.fmt(f),
            Self::Regex(regex) => regex.fmt(f),
        }
    }
}

/// Percent-decoding; borrows when there is nothing to decode. A broken escape stands for itself.
pub(super) fn decoded(raw: &str, plus_is_space: bool) -> Cow<'_, str> {
    if plus_is_space && raw.contains('+') {
        return Cow::Owned(percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(raw).decode_utf8_lossy()
}

/// Text from outside as it may stand in a message: short, on one line, nothing a terminal obeys.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let escape = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    let text = masked(text);
    let short: String = text.chars().take(LONGEST).map(escape).collect();
    format!("`{short}{}`", if text.chars().nth(LONGEST).is_some() { "…" } else { "" })
}

/// Whether it holds for any of these; the first error ends the search.
pub(super) fn any<T>(
    all: impl IntoIterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, StepLimit>,
) -> Result<bool, StepLimit> {
    for one in all {
        if holds(one)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `; did you mean ...?` when one of the names is close, else nothing.
pub(super) fn suggestion<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    // A name from outside may be of any length; a long one is close to nothing.
    let wanted: String = name.chars().take(40).map(|c| c.to_ascii_lowercase()).collect();
    let distance = |known: &str| strsim::osa_distance(&wanted, &known.to_ascii_lowercase());
    let length = wanted.chars().count();
    // What differs more in length alone is not measured: a document may have many names.
    let candidates = known.into_iter().filter(|known| known.len().abs_diff(length) <= 3);
    let near = candidates.map(|known| (distance(known), known)).min();
    match near {
        Some((distance, known)) if distance <= (length / 3).min(3) => {
            format!("; did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_whole_text() {
        for (expression, text, expect) in [
            ("V2", "V2", true),
            ("V2", "V22", false),
            ("gree.", "green", true),
            ("gree.", "greener", false),
            (r"\d+", "123", true),
            (r"\d+", "x123", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
        ] {
            let pattern = TextPattern::new(expression, &Budget::default()).expect(expression);
            assert_eq!(pattern.matches(text, &Steps::default()), Ok(expect), "{expression} {text}");
        }
        let any = TextPattern::new(".*", &Budget::default()).expect("valid");
        assert_eq!(any.matches_bytes(b"\xff", false, &Steps::default()), Ok(false));
        let [utf8, latin1] = ["é", "Ã©"].map(|text| TextPattern::new(text, &Budget::default()).expect("valid"));
        for (pattern, is_latin1, expect) in
            [(&utf8, false, true), (&utf8, true, false), (&latin1, false, false), (&latin1, true, true)]
        {
            let found = pattern.matches_bytes("é".as_bytes(), is_latin1, &Steps::default());
            assert_eq!(found, Ok(expect), "{pattern:?} {is_latin1}");
        }
    }

    #[test]
    fn a_bad_expression_says_why_on_one_line() {
        for (expression, why) in [
            ("a)|(b", "`)` without `(`"),
            (r"(a)\2", "no group 2"),
            ("(?<=a*)b", "no greatest length"),
            ("a{1", "repetition"),
            ("((a{1000}){1000}){1000}", "size limit"),
        ] {
            let error = TextPattern::new(expression, &Budget::default()).expect_err(expression);
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn decodes_what_is_encoded_and_nothing_else() {
        for (raw, plus, expect) in [
            ("plain", true, "plain"),
            ("f%20o", false, "f o"),
            ("a+b", false, "a+b"),
            ("a+b", true, "a b"),
            ("%e6%9d%ad", false, "杭"),
            ("%", false, "%"),
            ("%4", false, "%4"),
            ("%zz%41", false, "%zzA"),
            ("%+f", false, "%+f"),
            ("%ff", false, "\u{fffd}"),
        ] {
            assert_eq!(decoded(raw, plus), expect, "{raw}");
        }
        assert!(matches!(decoded("a+b", false), Cow::Borrowed(_)));
    }

    #[test]
    fn suggests_what_is_close() {
        let known = ["Path", "Method", "RemoteAddr"];
        assert_eq!(suggestion("Paht", known), "; did you mean `Path`?");
        assert_eq!(suggestion("path", known), "; did you mean `Path`?");
        assert_eq!(suggestion("RemoteAdr", known), "; did you mean `RemoteAddr`?");
        assert_eq!(suggestion("CloudFoundry", known), "");
        assert_eq!(suggestion("", known), "");
    }
}
