//! Slips of the keyboard that a YAML parser blames on something else, often on the next line.

/// Such a space is a letter to YAML, so it begins a key.
pub(super) const ODD_SPACE: &str = "the line begins with a no-break or full-width space: indent with plain spaces";

/// The slip behind a syntax error in this line, and the line it is in.
pub(super) fn find(text: &str, line: u32) -> Option<(u32, &'static str)> {
    let nth = |line: u32| text.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?);
    // Seen one line late: `load:true` is a text, which only what follows makes wrong.
    [line, line.saturating_sub(1)].into_iter().find_map(|line| Some((line, slip(nth(line)?)?)))
}

fn slip(line: &str) -> Option<&'static str> {
    let code = line.split(" #").next().unwrap_or(line);
    let indent = code.split(|c: char| !c.is_whitespace()).next().unwrap_or_default();
    if !indent.is_ascii() {
        return Some(ODD_SPACE);
    }
    if code.contains('\u{ff1a}') {
        return Some("the line has a full-width colon: write `:` and a blank");
    }
    let entry = code.trim_start_matches([' ', '-', '{']);
    let (key, value) = entry.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    // `http://host` is a text.
    let is_glued = value.starts_with(|c: char| !c.is_whitespace() && c != '/' && c != ':');
    (is_key && is_glued).then_some("`:` needs a blank after it")
}

/// Whether a document that is a single text reads like one of Java's properties: `a.b=c`, line by line.
pub(super) fn is_properties(text: &str) -> bool {
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])).peekable();
    let is_property = |line: &str| {
        line.split_once('=').is_some_and(|(key, _)| !key.is_empty() && !key.contains([':', '{', '"', '\'']))
    };
    lines.peek().is_some() && lines.all(is_property)
}

/// The line in which a document that is named as Java's properties turns out to be YAML: a list, or a map below a key.
pub(super) fn yaml_line(text: &str) -> Option<u32> {
    let mut opened = None;
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        if code.starts_with("- ") {
            return Some(number);
        }
        let indent = line.len() - line.trim_start().len();
        if let Some((above, opened)) = opened
            && indent > above
        {
            return Some(opened);
        }
        opened = (code.ends_with(':') && !code.contains(['=', '\\'])).then_some((indent, number));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::ODD_SPACE;
    use crate::Documents;

    #[test]
    fn slips_are_told_where_they_are() {
        let colon = "the line has a full-width colon: write `:` and a blank";
        let glued = "`:` needs a blank after it";
        for (text, expect) in [
            ("a:\n  load\u{ff1a} true # all of them\n  b: 1\n", format!("a.yaml:2: not valid YAML: {colon}")),
            ("a: 1\nload\u{ff1a}true\n", format!("a.yaml:2: not valid YAML: {colon}")),
            ("load\u{ff1a}true\n", format!("a.yaml:1: not valid YAML: {colon}")),
            ("a:\n\u{a0}\u{a0}b: 1\nc: 2", format!("a.yaml:2: {ODD_SPACE}")),
            ("a:\n\u{3000}b: 1\n", format!("a.yaml:2: {ODD_SPACE}")),
            ("a:\n  load:true\n  b: 1\n", format!("a.yaml:2: not valid YAML: {glued}")),
            ("- { id:a, uri: 'lb://b' }\n  x: 1\n", format!("a.yaml:1: not valid YAML: {glued}")),
            ("load:true\n", format!("a.yaml:1: not valid YAML: {glued}")),
            (
                "a.b=1\n# none\nc.d=e:f\n",
                "a.yaml:1: this is a .properties document, and it is named as YAML".to_owned(),
            ),
            ("text\n", "a.yaml:1: expected `key: value` lines, found a single value".to_owned()),
            ("a: [1\nb: 2", "a.yaml:2: not valid YAML at column".to_owned()),
        ] {
            let problems = Documents::parse(&[("a.yaml", text)], &|_| None).expect_err(text).to_string();
            assert!(problems.starts_with(&expect), "{text:?}: {problems}, expected {expect}");
        }
        for text in ["url: http://h:80/x", "- http://h", "a: b:c", "a: '：'", "time: 10:30"] {
            assert!(Documents::parse(&[("a.yaml", text)], &|_| None).is_ok() || text.starts_with('-'), "{text}");
        }
    }
}
