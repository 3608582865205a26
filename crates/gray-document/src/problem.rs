//! What is wrong with a document, where, and what to do about it.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Origin, budget::TOO_MUCH, masked};

/// Whether a document with this problem may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The documents must not be used.
    Error,
    /// They may.
    Warning,
    /// Nothing is wrong: what is not used because it changes nothing, and the like. For checks of documents.
    Note,
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Document and line.
    pub origin: Origin,
    /// The key as written, from the root (`kerwin.tool.gray.load`); empty when no key is to blame.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Severity {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Problem {
    fn is_too_much(&self) -> bool {
        self.severity == Severity::Error && self.message.contains(TOO_MUCH)
    }
}

impl Serialize for Problem {
    /// Flat, as programs read it: severity, document, line, path, message.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut problem = serializer.serialize_struct("Problem", 5)?;
        problem.serialize_field("severity", self.severity.as_str())?;
        problem.serialize_field("document", &*self.origin.document)?;
        problem.serialize_field("line", &self.origin.line)?;
        problem.serialize_field("path", &self.path)?;
        problem.serialize_field("message", &self.message)?;
        problem.end()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// How many problems are listed; a document with more has made its point.
const LISTED: usize = 100;

/// All problems of a set of documents, each once. Displays one per line, errors first, without notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    errors: usize,
    unlisted: usize,
}

impl Problems {
    /// Adds a problem, unless it is there already. That documents come to too much is said once, where they first do: it
    /// is as true of everything behind it.
    pub fn push(&mut self, problem: Problem) {
        if self.listed.contains(&problem) || (problem.is_too_much() && self.listed.iter().any(Problem::is_too_much)) {
            return;
        }
        let is_error = problem.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.listed.len() < LISTED {
            self.listed.push(problem);
            return;
        }
        self.unlisted += 1;
        // An error is worth more than anything else.
        if is_error && let Some(place) = self.listed.iter_mut().rfind(|p| p.severity != Severity::Error) {
            *place = problem;
        }
    }

    /// Every problem, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.listed.iter()
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.iter().filter(|problem| problem.severity == Severity::Warning)
    }

    /// The notes.
    pub fn notes(&self) -> impl Iterator<Item = &Problem> {
        self.iter().filter(|problem| problem.severity == Severity::Note)
    }

    /// How many there are besides those that are listed.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Whether the documents must not be used.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The warnings when that is all there is.
    ///
    /// # Errors
    /// All problems, when one of them is an error.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.listed.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.errors().chain(self.warnings()).enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        match self.unlisted {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

/// A value or key from outside as it may stand in a message: short, on one line, nothing a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let text = masked(text);
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    // escape_debug also escapes quotes, which are harmless here and common in YAML.
    short.replace("\\\"", "\"").replace("\\'", "'")
}

/// The last word on every message: whatever part of it came from outside, it stays on one line and is not endless.
pub(super) fn one_line(message: &str) -> String {
    const LONGEST: usize = 600;
    let escaped = |c: char| if c.is_control() { c.escape_debug().collect() } else { String::from(c) };
    masked(message).chars().take(LONGEST).map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity, line: u32) -> Problem {
        Problem {
            severity,
            origin: Origin { document: "gateway-app.yaml".into(), line },
            path: "kerwin.tool.gray.laod".into(),
            message: "unknown key; did you mean `load`?".into(),
        }
    }

    #[test]
    fn says_where_what_and_what_to_do() {
        let problem = problem(Severity::Error, 12);
        let expect = "gateway-app.yaml:12: kerwin.tool.gray.laod: unknown key; did you mean `load`?";
        assert_eq!(problem.to_string(), expect);
    }

    #[test]
    fn an_error_is_never_lost_among_warnings() {
        let mut problems = Problems::default();
        problems.extend((0..500).map(|line| problem(Severity::Warning, line)));
        assert!(!problems.has_errors());
        problems.push(problem(Severity::Error, 7));
        assert!(problems.has_errors());
        assert_eq!(problems.errors().count(), 1);
        let text = problems.to_string();
        assert!(text.starts_with("gateway-app.yaml:7:") && text.ends_with("... and 401 more"), "{text}");
    }

    #[test]
    fn too_much_is_said_once() {
        let mut problems = Problems::default();
        for line in 1..50 {
            problems.push(Problem { message: format!("`x`: {TOO_MUCH}{line} MiB"), ..problem(Severity::Error, line) });
        }
        problems.push(problem(Severity::Error, 50));
        let lines: Vec<_> = problems.errors().map(|problem| problem.origin.line).collect();
        assert_eq!(lines, [1, 50]);
    }

    #[test]
    fn shown_text_is_short_and_on_one_line() {
        assert_eq!(shown("杭州\n\u{1b}[31m"), "杭州\\n\\u{1b}[31m");
        assert_eq!(shown("it's \"x\""), "it's \"x\"");
        assert!(shown(&"x".repeat(10_000)).chars().count() <= 81);
    }
}
