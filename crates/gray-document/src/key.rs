//! Keys as Spring writes them flat: `routes[0].args[pattern]` is a way through maps and lists.

use std::sync::Arc;

/// The steps of a key: names, and `[0]` for the places of a list.
///
/// What stands in brackets is one step, dots included; brackets that are empty or never closed are part of a name. An empty
/// step (`a..b`) stays one: whether that matters depends on whose key it is.
pub(super) fn steps(key: &str) -> Vec<Arc<str>> {
    let (mut steps, mut rest) = (Vec::new(), key);
    loop {
        if let Some((inside, after)) = bracketed(rest) {
            steps.push(if number(inside).is_some() { rest[..inside.len() + 2].into() } else { inside.into() });
            rest = after.strip_prefix('.').unwrap_or(after);
            if after.is_empty() {
                return steps;
            }
            continue;
        }
        let end = end_of_name(rest);
        steps.push(rest[..end].into());
        match rest[end..].strip_prefix('.') {
            Some(after) => rest = after,
            None if end == rest.len() => return steps,
            None => rest = &rest[end..],
        }
    }
}

/// Where a name ends: at a dot, or at a pair of brackets.
fn end_of_name(text: &str) -> usize {
    let is_end = |&(at, c): &(usize, char)| c == '.' || (at > 0 && c == '[' && bracketed(&text[at..]).is_some());
    text.char_indices().find(is_end).map_or(text.len(), |(at, _)| at)
}

/// What stands in the brackets that a text begins with, and what follows them.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']').filter(|(inside, _)| !inside.is_empty())
}

/// The place in a list that a step stands for.
pub(super) fn place(step: &str) -> Option<usize> {
    number(step.strip_prefix('[')?.strip_suffix(']')?)
}

/// A place is a number as it is counted: `00` is a name.
fn number(text: &str) -> Option<usize> {
    let is_counted = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    is_counted.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart_as_spring_does() {
        for (key, expect) in [
            ("a", &["a"][..]),
            ("a.b-c.D", &["a", "b-c", "D"]),
            ("a[0].b", &["a", "[0]", "b"]),
            ("a[0][12]", &["a", "[0]", "[12]"]),
            ("a[10].b[com.x.Y].c", &["a", "[10]", "b", "com.x.Y", "c"]),
            ("[a.b]", &["a.b"]),
            ("[a.b].c", &["a.b", "c"]),
            ("args[pattern]", &["args", "pattern"]),
            ("a[00]", &["a", "00"]),
            ("a[-1]", &["a", "-1"]),
            ("a[99999999999999999999]", &["a", "99999999999999999999"]),
            ("a[0]b", &["a", "[0]", "b"]),
            ("a..b", &["a", "", "b"]),
            ("a.", &["a", ""]),
            (".a", &["", "a"]),
            ("", &[""]),
            ("a[]", &["a[]"]),
            ("a[0", &["a[0"]),
            ("a]0[", &["a]0["]),
            ("a[0].", &["a", "[0]", ""]),
            ("杭[州]", &["杭", "州"]),
        ] {
            let found = steps(key);
            let found: Vec<&str> = found.iter().map(AsRef::as_ref).collect();
            assert_eq!(found, expect, "{key}");
        }
        assert_eq!(
            (place("[4000000000]"), place("[01]"), place("[x]"), place("0")),
            (Some(4_000_000_000), None, None, None)
        );
    }
}
