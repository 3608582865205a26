//! The verdict on documents of a gateway that are not in effect: the same one wherever it is asked for.
//!
//! What `gray-gateway --check-config` and `grayctl` tell is made here: routes and rules are read as the gateway reads them, merged,
//! without a profile and once more for each that the documents name. Offline, a placeholder may have no value; that is a warning.

mod profiles;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use gray_document::{Documents, Origin, Problem, Problems, Purpose, Reading, Severity, lasting::nowhere};
use gray_rules::{Finding, Fleet, Severity as Weight};

use crate::Configuration;

/// Longest wait for the head of an answer, where nothing sets it: the gateway's own.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The documents (name, text), the one that counts least first.
    pub sources: &'q [(&'q str, &'q str)],
    /// For which profiles; without any, for each that the documents name as well.
    pub reading: &'q Reading,
    /// Key of the gray settings.
    pub prefix: &'q str,
    /// What placeholders stand for that no document sets.
    pub environment: &'q dyn Fn(&str) -> Option<String>,
    /// Seconds since 1970: rules may be in force for a time.
    pub now: u64,
    /// The document to blame where there are no routes; `None`: there need not be any.
    pub routes_in: Option<&'q str>,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the texts: there may be passwords among them.
        f.debug_struct("Question").field("reading", self.reading).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What is to be said.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong with the documents, by line.
    pub problems: Vec<Problem>,
    /// Likely mistakes in rules and routes, where the documents have no errors.
    pub findings: Vec<Finding>,
    /// What they come to without a profile, or for the profiles that were asked for; `None` with errors.
    pub read: Option<Configuration>,
    /// Problems that are not listed.
    unlisted: usize,
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The documents would be refused, or requests fail.
    pub errors: usize,
    /// A part does not do what it says.
    pub warnings: usize,
    /// Nothing is wrong.
    pub notes: usize,
}

/// Judges documents.
pub fn judge(question: &Question<'_>) -> Verdict {
    let Run { mut verdict, named } = Run::of(question, question.reading, Purpose::Check);
    let others = match question.reading.profiles.names().next() {
        None => profiles::look(question, &named, &mut verdict),
        Some(_) => Vec::new(),
    };
    if let (Some(blamed), Some(key)) = (question.routes_in, lacks_routes(question, question.reading)) {
        let message =
            || format!("no document has it; is another key misspelt? If there is to be nothing, write `{key}: []`");
        let problem = match profiles::hint(&others) {
            Some(hint) => whole(Severity::Warning, blamed, key, hint),
            None => whole(Severity::Error, blamed, key.clone(), message()),
        };
        verdict.problems.push(problem);
    }
    if let (Some(read), Some(blamed)) = (&verdict.read, question.routes_in)
        && let Some(note) = read.routes.note(RESPONSE_TIMEOUT)
    {
        let key = "spring.cloud.gateway.httpclient.response-timeout".to_owned();
        verdict.problems.push(whole(Severity::Note, blamed, key, note));
    }
    verdict
}

/// A problem of a document as a whole.
fn whole(severity: Severity, document: &str, path: String, message: String) -> Problem {
    Problem { severity, origin: Origin { document: document.into(), line: 0 }, path, message }
}

/// The key under which there are no routes.
fn lacks_routes(question: &Question<'_>, reading: &Reading) -> Option<String> {
    nowhere(question.sources, reading, &Configuration::needed()).next().map(str::to_owned)
}

/// The documents read once.
struct Run {
    verdict: Verdict,
    /// Profiles that parts name.
    named: Vec<String>,
}

impl Run {
    fn of(question: &Question<'_>, reading: &Reading, purpose: Purpose) -> Self {
        let reading = Reading { purpose, ..reading.clone() };
        let documents = match Documents::parse_for(question.sources, &reading, question.environment) {
            Ok(documents) => documents,
            Err(problems) => return Self { verdict: Verdict::of(problems, None, question.now), named: Vec::new() },
        };
        let read = Configuration::read(&documents, question.prefix);
        let named = documents.profiles_named().map(str::to_owned).collect();
        Self { verdict: Verdict::of(documents.take_problems(), Some(read), question.now), named }
    }
}

impl From<Problems> for Verdict {
    /// The verdict on documents that have neither rules nor routes.
    fn from(problems: Problems) -> Self {
        Self::of(problems, None, 0)
    }
}

impl Verdict {
    fn of(problems: Problems, read: Option<Configuration>, now: u64) -> Self {
        let read = read.filter(|_| !problems.has_errors());
        let findings = read.as_ref().map_or_else(Vec::new, |read| {
            let mut findings = read.rules.lint(&Fleet::default(), now);
            findings.extend_from_slice(&read.findings);
            findings
        });
        Self { unlisted: problems.unlisted(), problems: problems.into_iter().collect(), findings, read }
    }

    /// Adds what is known of the documents otherwise.
    pub fn add(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> Counts {
        let problems = |severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        let findings = |weight| self.findings.iter().filter(|finding| finding.severity == weight).count();
        Counts {
            errors: problems(Severity::Error) + findings(Weight::Error),
            warnings: problems(Severity::Warning) + findings(Weight::Warning),
            notes: problems(Severity::Note) + findings(Weight::Note),
        }
    }

    /// Whether the documents may be used; `strict`: without warnings.
    pub fn is_good(&self, strict: bool) -> bool {
        let counts = self.counts();
        counts.errors == 0 && (counts.warnings == 0 || !strict)
    }

    /// All of it for people: what it comes to, a line for each, and at last how many there are and what was read.
    pub fn report(&self, strict: bool, read: &str) -> Vec<String> {
        let first = std::iter::once(self.opening(strict).to_owned());
        first.chain(self.lines()).chain([format!("{} ({read})", self.counts())]).collect()
    }

    fn opening(&self, strict: bool) -> &'static str {
        match self.counts() {
            Counts { errors: 1.., .. } => "the settings would be refused:",
            Counts { warnings: 1.., .. } if strict => "the settings have warnings, which count (--strict):",
            Counts { warnings: 1.., .. } => "the settings can be used:",
            _ => "the settings are in order:",
        }
    }

    /// One line for each, errors first: kind, place and text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (severity, weight) in
            [(Severity::Error, Weight::Error), (Severity::Warning, Weight::Warning), (Severity::Note, Weight::Note)]
        {
            let problems = self.problems.iter().filter(|problem| problem.severity == severity);
            lines.extend(problems.map(|problem| format!("{:<7}  {problem}", severity.as_str())));
            let findings = self.findings.iter().filter(|finding| finding.severity == weight);
            lines.extend(findings.map(|finding| {
                let (about, name) = (finding.about.as_str(), &finding.name);
                format!("{:<7}  {about} `{name}`: {} [{}]", weight.as_str(), finding.message, finding.code)
            }));
        }
        if self.unlisted > 0 {
            lines.push(format!("... and {} more", self.unlisted));
        }
        lines
    }
}

impl fmt::Display for Counts {
    /// `no errors, 2 warnings, 1 note`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |number: usize, what: &str| match number {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let (errors, warnings) = (counted(self.errors, "error"), counted(self.warnings, "warning"));
        write!(f, "{errors}, {warnings}, {}", counted(self.notes, "note"))
    }
}
