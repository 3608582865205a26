//! What changes from one text to another, line by line, as `diff -u` shows it.

use std::borrow::Cow;

use gray_document::is_secret_name;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Above that many pairs of lines the changed part is shown as removed and added as a whole.
const MAX_PAIRS: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Removed(&'t str),
    Added(&'t str),
}

/// The changed lines with some around them; values that sound like secrets are hidden. Empty when nothing but line ends
/// differs.
pub(super) fn unified(before: &str, after: &str) -> Vec<String> {
    let lines = compare(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let changes: Vec<_> = (0..lines.len()).filter(|&at| is_change(&lines[at])).collect();
    let mut shown = Vec::new();
    let mut next = 0;
    for at in changes {
        let (from, to) = (at.saturating_sub(CONTEXT).max(next), (at + CONTEXT + 1).min(lines.len()));
        if from >= next && (shown.is_empty() || from > next) {
            let ahead = &lines[..from];
            let count = |skipped: fn(&Line<'_>) -> bool| ahead.iter().filter(|line| !skipped(line)).count() + 1;
            let before = count(|line| matches!(line, Line::Added(_)));
            let after = count(|line| matches!(line, Line::Removed(_)));
            shown.push(format!("@@ line {before}, now {after} @@"));
        }
        shown.extend(lines[from..to.max(from)].iter().map(show));
        next = next.max(to);
    }
    shown
}

fn show(line: &Line<'_>) -> String {
    match line {
        Line::Same(text) => format!(" {}", hidden(text)),
        Line::Removed(text) => format!("-{}", hidden(text)),
        Line::Added(text) => format!("+{}", hidden(text)),
    }
}

/// Output may end up in the log of a build: `key: ***`.
fn hidden(line: &str) -> Cow<'_, str> {
    let Some((key, value)) = line.split_once(':') else { return Cow::Borrowed(line) };
    let name = key.trim_start_matches([' ', '-', '{', '"', '\'']).trim_end_matches([' ', '"', '\'']);
    let name = name.rsplit('.').next().unwrap_or(name);
    let is_plain = value.trim().is_empty() || value.trim_start().starts_with(['[', '{', '$', '|', '>']);
    if is_plain || !is_secret_name(name) { Cow::Borrowed(line) } else { Cow::Owned(format!("{key}: ***")) }
}

fn compare<'t>(before: &[&'t str], after: &[&'t str]) -> Vec<Line<'t>> {
    let ahead = before.iter().zip(after).take_while(|(one, two)| one == two).count();
    let (old, new) = (&before[ahead..], &after[ahead..]);
    let behind = old.iter().rev().zip(new.iter().rev()).take_while(|(one, two)| one == two).count();
    let (old, new) = (&old[..old.len() - behind], &new[..new.len() - behind]);
    let mut lines: Vec<_> = before[..ahead].iter().copied().map(Line::Same).collect();
    lines.extend(middle(old, new));
    lines.extend(before[before.len() - behind..].iter().copied().map(Line::Same));
    lines
}

/// By the longest common subsequence.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let removed = |lines: &[&'t str]| lines.iter().copied().map(Line::Removed).collect::<Vec<_>>();
    let added = |lines: &[&'t str]| lines.iter().copied().map(Line::Added).collect::<Vec<_>>();
    if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        return [removed(old), added(new)].concat();
    }
    // longest[i][j]: common lines of old[i..] and new[j..].
    let mut longest = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] =
                if old[i] == new[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            lines.push(Line::Removed(old[i]));
            i += 1;
        } else {
            lines.push(Line::Added(new[j]));
            j += 1;
        }
    }
    lines.extend(removed(&old[i..]));
    lines.extend(added(&new[j..]));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_are_shown_with_some_around_them() {
        let text = |lines: &[&str]| lines.join("\n");
        let many: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
        let before = many.join("\n");
        let after = before.replace("\n5\n", "\nfive\n").replace("\n18\n", "\n18\n18b\n");
        for (before, after, expect) in [
            ("a\nb", "a\nb\n", vec![]),
            ("a\nb\nc", "a\nB\nc", vec!["@@ line 1, now 1 @@", " a", "-b", "+B", " c"]),
            ("", "a", vec!["@@ line 1, now 1 @@", "+a"]),
            (
                &before,
                &after,
                vec![
                    "@@ line 2, now 2 @@",
                    " 2",
                    " 3",
                    " 4",
                    "-5",
                    "+five",
                    " 6",
                    " 7",
                    " 8",
                    "@@ line 16, now 16 @@",
                    " 16",
                    " 17",
                    " 18",
                    "+18b",
                    " 19",
                    " 20",
                ],
            ),
        ] {
            assert_eq!(unified(before, after), expect, "{}", text(&[before, after]));
        }
    }

    #[test]
    fn values_that_sound_like_secrets_are_hidden() {
        for (line, expect) in [
            ("    key: 0123456789abcdef", "    key: ***"),
            ("password: x", "password: ***"),
            ("- token: abc", "- token: ***"),
            ("gray.jwt.key: abc", "gray.jwt.key: ***"),
            ("    key: header.X-User", "    key: ***"),
            ("    key: [header.X-User]", "    key: [header.X-User]"),
            ("key: ${KEY}", "key: ${KEY}"),
            ("name: beta", "name: beta"),
        ] {
            assert_eq!(hidden(line), expect);
        }
    }

    #[test]
    fn long_texts_take_no_long_time() {
        let lines = |word: &str| (0..3_000).map(|at| format!("{word}{at}\n")).collect::<String>();
        assert_eq!(unified(&lines("a"), &lines("b")).len(), 6_001);
    }
}
