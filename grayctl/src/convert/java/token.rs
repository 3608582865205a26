//! Java and Kotlin as tokens: comments are skipped, texts are kept as texts.

/// Longest text that is kept.
const MAX_TEXT: usize = 200;

/// A piece of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'s> {
    Word(&'s str),
    /// What stands between quotes, as written.
    Text(&'s str),
    Sign(char),
}

/// Tokens with their lines.
pub(super) fn tokens(source: &str) -> Vec<(Token<'_>, u32)> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_whitespace() {
            (None, rest.len() - rest.trim_start().len())
        } else if let Some(after) = rest.strip_prefix("//") {
            (None, 2 + after.find('\n').unwrap_or(after.len()))
        } else if let Some(after) = rest.strip_prefix("/*") {
            (None, 2 + after.find("*/").map_or(after.len(), |end| end + 2))
        } else if let Some(after) = rest.strip_prefix("\"\"\"") {
            let end = after.find("\"\"\"");
            let text = &after[..end.unwrap_or(after.len())];
            (Some(Token::Text(short(text))), 3 + end.map_or(after.len(), |end| end + 3))
        } else if matches!(first, '"' | '\'') {
            let length = quoted(rest, first);
            let text = rest[1..length].strip_suffix(first).unwrap_or(&rest[1..length]);
            // A character is no text.
            (if first == '"' { Some(Token::Text(short(text))) } else { None }, length)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (Some(Token::Word(&rest[..length])), length)
        } else {
            (Some(Token::Sign(first)), first.len_utf8())
        };
        found.extend(token.map(|token| (token, line)));
        let (read, after) = rest.split_at(length);
        line += u32::try_from(read.matches('\n').count()).unwrap_or(0);
        rest = after;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

fn short(text: &str) -> &str {
    if text.len() <= MAX_TEXT { text } else { "" }
}

/// How long a text is with its quotes; it ends with its line at the latest.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Token::*, *};

    #[test]
    fn comments_are_skipped_and_texts_are_texts() {
        let source = "// class A\n/* class\nB */ class C { String s = \"class \\\" D\"; char c = '\"'; }";
        let words: Vec<_> =
            tokens(source).into_iter().filter(|(token, _)| matches!(token, Word(_) | Text(_))).collect();
        assert_eq!(
            words,
            [
                (Word("class"), 3),
                (Word("C"), 3),
                (Word("String"), 3),
                (Word("s"), 3),
                (Text("class \\\" D"), 3),
                (Word("char"), 3),
                (Word("c"), 3),
            ]
        );
        assert_eq!(tokens("\"\"\"\na \"b\"\n\"\"\" x"), [(Text("\na \"b\"\n"), 1), (Word("x"), 3)]);
        for open in ["/* x", "\"abc", "'", "\"\"\" x", "\"a\\"] {
            assert!(tokens(open).len() <= 1, "{open}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(source in "[a-z\"'/*\\\\\n é杭{}@]{0,200}") {
            let found = tokens(&source);
            prop_assert!(found.len() <= source.chars().count());
        }
    }
}
