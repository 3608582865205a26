//! `.properties` documents: lines of `key=value` as Java reads them (`java.util.Properties`, `OriginTrackedPropertiesLoader`).

use std::borrow::Cow;

/// One entry: key, value and the line that it begins in; or the end of a part (`#---`).
pub(super) enum Entry<'t> {
    Value { key: Cow<'t, str>, value: Cow<'t, str>, line: u32 },
    EndOfPart,
}

/// The entries of a text, in order.
///
/// # Errors
/// (As items) the line, and what is wrong in it.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Result<Entry<'_>, (u32, String)>> {
    let mut lines = lines(text);
    std::iter::from_fn(move || {
        loop {
            let (number, line) = lines.next()?;
            let line = line.trim_start_matches(is_blank);
            if matches!(line.trim_end_matches(is_blank), "#---" | "!---") {
                return Some(Ok(Entry::EndOfPart));
            }
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            return Some(entry(join(line, &mut lines), number));
        }
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines and their numbers; `\n`, `\r` and `\r\n` end one.
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let (mut rest, mut number) = (Some(text), 0u32);
    std::iter::from_fn(move || {
        let text = rest?;
        number = number.saturating_add(1);
        let end = text.find(['\n', '\r']).unwrap_or(text.len());
        let (line, after) = text.split_at(end);
        let after = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        rest = after;
        Some((number, line))
    })
}

/// A line with those that it goes on in: a backslash at the end that is not one of a pair.
fn join<'t>(first: &'t str, lines: &mut impl Iterator<Item = (u32, &'t str)>) -> Cow<'t, str> {
    let goes_on = |line: &str| line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    if !goes_on(first) {
        return Cow::Borrowed(first);
    }
    let mut whole = first[..first.len() - 1].to_owned();
    for (_, line) in lines {
        let line = line.trim_start_matches(is_blank);
        if !goes_on(line) {
            whole.push_str(line);
            break;
        }
        whole.push_str(&line[..line.len() - 1]);
    }
    Cow::Owned(whole)
}

fn entry(line: Cow<'_, str>, number: u32) -> Result<Entry<'_>, (u32, String)> {
    let (mut end, mut is_escaped) = (line.len(), false);
    for (at, c) in line.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '=' | ':' if !is_escaped => {
                end = at;
                break;
            }
            c if is_blank(c) && !is_escaped => {
                end = at;
                break;
            }
            _ => is_escaped = false,
        }
    }
    let after = line[end..].trim_start_matches(is_blank);
    let value = after.strip_prefix(['=', ':']).map_or(after, |value| value.trim_start_matches(is_blank));
    let value = line.len() - value.len();
    let plain = |text: Cow<'_, str>| unescape(&text).map(|plain| plain.map(Cow::Owned));
    let split = |from: usize, to: usize| match &line {
        Cow::Borrowed(line) => Cow::Borrowed(&line[from..to]),
        Cow::Owned(line) => Cow::Owned(line[from..to].to_owned()),
    };
    let read = |text: Cow<'_, str>| plain(text).map_err(|reason| (number, reason));
    let (key, text) = (split(0, end), split(value, line.len()));
    let (plain_key, plain_text) = (read(key.clone())?, read(text.clone())?);
    Ok(Entry::Value { key: plain_key.unwrap_or(key), value: plain_text.unwrap_or(text), line: number })
}

/// The text without its escapes; `None` when there are none.
fn unescape(text: &str) -> Result<Option<String>, String> {
    if !text.contains('\\') {
        return Ok(None);
    }
    let mut plain = String::with_capacity(text.len());
    // UTF-16, as Java writes it: a pair of units may be one character.
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        if escaped == Some('u') {
            let digits: String = chars.by_ref().take(4).collect();
            let unit =
                Some(&digits).filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
            units.push(unit.ok_or("`\\u` needs four hexadecimal digits after it; for a backslash write `\\\\`")?);
            continue;
        }
        flush(&mut units, &mut plain)?;
        match (c, escaped) {
            ('\\', None) => {}
            ('\\', Some('t')) => plain.push('\t'),
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('r')) => plain.push('\r'),
            ('\\', Some('f')) => plain.push('\u{c}'),
            ('\\', Some(other)) => plain.push(other),
            (other, _) => plain.push(other),
        }
    }
    flush(&mut units, &mut plain)?;
    Ok(Some(plain))
}

fn flush(units: &mut Vec<u16>, plain: &mut String) -> Result<(), String> {
    for decoded in char::decode_utf16(units.drain(..)) {
        match decoded {
            Ok('\0') => return Err("`\\u0000` cannot stand in a setting; remove it".to_owned()),
            Ok(c) => plain.push(c),
            Err(half) => {
                let half = half.unpaired_surrogate();
                return Err(format!("`\\u{half:04x}` is half of a character; write both halves"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, u32)> {
        entries(text)
            .map(|entry| match entry.unwrap_or_else(|(line, reason)| panic!("{line}: {reason}")) {
                Entry::Value { key, value, line } => (key.into_owned(), value.into_owned(), line),
                Entry::EndOfPart => ("---".to_owned(), String::new(), 0),
            })
            .collect()
    }

    #[test]
    fn lines_are_read_as_java_does() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a = b ", "a", "b "),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a\t:  b", "a", "b"),
            ("a  b=c", "a", "b=c"),
            ("a==b", "a", "=b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            ("a\\=b=c", "a=b", "c"),
            ("a\\:b c", "a:b", "c"),
            ("a\\ b c", "a b", "c"),
            ("a=\\ b", "a", " b"),
            ("a=b\\nc\\td\\\\e", "a", "b\nc\td\\e"),
            ("a=\\q\\\"", "a", "q\""),
            ("a=\\u676d\\u5dde", "a", "杭州"),
            ("a=\\ud83d\\ude00!", "a", "😀!"),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\r\n\tc", "a", "bc"),
            ("a\\\n  b=c", "ab", "c"),
            ("a=b\\\\", "a", "b\\"),
            ("a=b\\", "a", "b"),
            ("a=b\\\n# c", "a", "b# c"),
            ("a=b # c", "a", "b # c"),
            ("routes[0].predicates[1]=Path=/x", "routes[0].predicates[1]", "Path=/x"),
            ("a=/(?<s>/?.*), /$\\\\{s}", "a", "/(?<s>/?.*), /$\\{s}"),
            ("a=${b:c}", "a", "${b:c}"),
        ] {
            assert_eq!(read(text), [(key.to_owned(), value.to_owned(), 1)], "{text:?}");
        }
    }

    #[test]
    fn comments_blank_lines_and_parts() {
        let text = "# none\r\n\r  ! none\n\na=1\n#---\n\\u0062=2\n!--- \n#----\nc=3";
        let found = read(text);
        let expect = [("a", "1", 5), ("---", "", 0), ("b", "2", 7), ("---", "", 0), ("c", "3", 10)];
        assert_eq!(found, expect.map(|(key, value, line)| (key.to_owned(), value.to_owned(), line)));
    }

    #[test]
    fn what_cannot_be_decoded_is_told_with_its_line() {
        for (text, expect) in [
            ("a=1\nb=\\u12", "four hexadecimal digits"),
            ("a=1\nb=\\uxyzw", "four hexadecimal digits"),
            ("a=1\nb=\\u+123", "four hexadecimal digits"),
            ("a=1\nb=\\ud83d", "half of a character"),
            ("a=1\nb=\\u0000", "cannot stand in a setting"),
        ] {
            let Some(Err((line, reason))) = entries(text).nth(1) else { panic!("{text:?} is read") };
            assert!(line == 2 && reason.contains(expect), "{text:?}: {line}: {reason}");
        }
    }
}
