//! How results are laid out for people.

use serde::Deserialize;

/// A finding as the gateway or our own lint tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Finding {
    severity: String,
    code: String,
    about: String,
    name: String,
    message: String,
}

impl Finding {
    /// Whether it is more than a note.
    pub(super) fn is_problem(&self) -> bool {
        self.severity != "note"
    }
}

/// What is wrong with a document, as the gateway tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    severity: String,
    document: String,
    line: u32,
    path: String,
    message: String,
}

/// Columns one below the other: all but the last as wide as their widest cell.
pub(crate) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Two lines for each finding: what it is, and what it says.
pub(super) fn findings(findings: &[Finding]) -> Vec<String> {
    let head = |one: &Finding| vec![one.severity.clone(), format!("{} {}", one.about, one.name), one.code.clone()];
    let heads = columns(&findings.iter().map(head).collect::<Vec<_>>());
    let lines = heads.into_iter().zip(findings);
    lines.flat_map(|(head, one)| [format!("  {head}"), format!("           {}", one.message)]).collect()
}

/// One line for each problem.
pub(super) fn problems(problems: &[Problem]) -> Vec<String> {
    let line = |one: &Problem| {
        let place = if one.line > 0 { format!("{}:{}", one.document, one.line) } else { one.document.clone() };
        let path = if one.path.is_empty() { String::new() } else { format!("{}: ", one.path) };
        format!("  {:<7}  {place}: {path}{}", one.severity, one.message)
    };
    problems.iter().map(line).collect()
}

/// `10,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, expect) in [(0, "0"), (12, "12"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expect);
        }
        assert_eq!((counted(1, "rule"), counted(0, "rule")), ("1 rule".into(), "0 rules".into()));
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(columns(&[row(&["a", "杭州", "x"]), row(&["long", "b"])]), ["a     杭州  x", "long  b"]);
        assert!(columns(&[]).is_empty());
    }
}
