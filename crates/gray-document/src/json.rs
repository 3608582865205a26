//! JSON documents. A YAML parser reads JSON but for two things, which are rewritten in place: tabs that indent, and
//! characters beyond the first 65,536, which JSON writes as two halves.

use std::{borrow::Cow, fmt::Write as _};

/// The text as a YAML parser reads it the same; every line stays where it is.
pub(super) fn as_yaml(text: &str) -> Cow<'_, str> {
    if !text.contains(['\t', '\\']) {
        return Cow::Borrowed(text);
    }
    let (mut yaml, mut in_string, mut rest) = (String::with_capacity(text.len()), false, text);
    while let Some(c) = rest.chars().next() {
        let mut width = c.len_utf8();
        match c {
            '\t' if !in_string => yaml.push(' '),
            '\\' if in_string => {
                if let Some(whole) = pair(rest) {
                    write!(yaml, "\\U{:08x}", u32::from(whole)).expect("a String takes it");
                    width = 12;
                } else {
                    // With what it escapes, which may be a quote.
                    width += rest[1..].chars().next().map_or(0, char::len_utf8);
                    yaml.push_str(&rest[..width]);
                }
            }
            _ => {
                in_string ^= c == '"';
                yaml.push(c);
            }
        }
        rest = &rest[width..];
    }
    Cow::Owned(yaml)
}

/// The character that a text begins with as `\ud83d\ude00`.
fn pair(text: &str) -> Option<char> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u").filter(|digits| !digits.starts_with('+'))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let halves = [unit(0)?, unit(6)?];
    let mut decoded = char::decode_utf16(halves);
    match (decoded.next(), decoded.next()) {
        (Some(Ok(whole)), None) => Some(whole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_yaml_reads_otherwise_is_rewritten() {
        for (text, expect) in [
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("{\n\t\t\"a\":\t\"b\tc\"}", "{\n  \"a\": \"b\tc\"}"),
            ("\"\\ud83d\\ude00\"", "\"\\U0001f600\""),
            ("\"\\u676d\\ud83d\"", "\"\\u676d\\ud83d\""),
            ("\"\\\"\t\\\\\"\t", "\"\\\"\t\\\\\" "),
            ("\"\\", "\"\\"),
            ("\\ud83d\\ude00", "\\ud83d\\ude00"),
        ] {
            assert_eq!(as_yaml(text), expect, "{text}");
        }
    }
}
