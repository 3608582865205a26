//! What `grayctl convert` tells: for people as text, for programs as JSON.

use std::collections::BTreeMap;

use gray_document::{Problem, Severity};
use gray_rules::Finding;
use serde_json::{Value, json};

use super::{
    java::{Found, Role},
    needs::Needs,
    plan::{Plan, RULES},
};
use crate::rules::text::{columns, counted};

/// Longest text from outside that is shown on a line.
const LONGEST: usize = 300;
/// Width of a line.
const WIDTH: usize = 110;
/// Problems of one kind that are listed one by one.
const LISTED: usize = 8;

/// Everything that was found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) needs: Needs,
    /// What the reader says of the documents with the choices, but for what is to be acknowledged.
    pub(super) problems: Vec<Problem>,
    /// Likely mistakes.
    pub(super) findings: Vec<Finding>,
    pub(super) java: Vec<Found>,
    pub(super) notes: Vec<String>,
    /// The commands to go on with.
    pub(super) commands: Vec<String>,
    /// Files that were written.
    pub(super) written: Vec<String>,
}

/// A text from outside as it may stand in a terminal: on one line, without anything that one obeys.
pub(super) fn shown(text: &str) -> String {
    let safe = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(LONGEST).map(|c| if safe(c) { c } else { '\u{fffd}' }).collect()
}

impl Report {
    fn of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(move |problem| problem.severity == severity)
    }

    fn choices(&self) -> usize {
        self.needs.all().count() + self.needs.access.len()
    }

    /// How much there is to do before the switch.
    pub(super) fn open(&self) -> usize {
        let java = self.java.iter().filter(|found| found.role.is_open()).count();
        let documents = self.plan.missing.len() + usize::from(self.plan.lacks_own());
        self.of(Severity::Error).count() + self.choices() + java + documents
    }

    pub(super) fn text(&self) -> String {
        let mut parts = vec![self.head(), self.documents()];
        parts.extend([self.taken(), self.chosen(), self.refused(), self.left_out(), self.java(), self.next()]);
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    fn head(&self) -> String {
        let profiles = match &self.plan.profiles[..] {
            [] => String::new(),
            profiles => {
                format!(", {} {}", if profiles.len() == 1 { "profile" } else { "profiles" }, profiles.join(", "))
            }
        };
        let open = match self.open() {
            0 => "everything is taken".to_owned(),
            open => format!("{} to do", counted(open, "thing")),
        };
        format!("{}{profiles}: {}, {open}", shown(&self.plan.name), counted(self.needs.routes, "route"))
    }

    fn documents(&self) -> String {
        let mut rows: Vec<_> = { self.plan.documents.iter() }
            .map(|one| {
                let how = if one.is_local { "--bootstrap" } else { "" };
                vec![format!("  {}", shown(&one.file)), shown(&one.input.place), how.to_owned()]
            })
            .collect();
        let missing = self.plan.missing.iter().map(|name| {
            let what = "named, and not given: export it from Nacos, and give it as well";
            vec![format!("  {}", shown(name)), what.to_owned(), String::new()]
        });
        rows.extend(missing);
        let mut lines = vec!["Documents, lowest precedence first".to_owned()];
        lines.extend(columns(&rows));
        if self.plan.lacks_own() {
            lines.push(format!(
                "  the program reads {0}.yaml and the like from Nacos, and none was given: export them, and give them as well",
                shown(&self.plan.name)
            ));
        }
        if !self.plan.other_profiles.is_empty() {
            let others: Vec<_> = self.plan.other_profiles.iter().map(|name| shown(name)).collect();
            lines.push(format!("  not active: {} (--profile)", others.join(", ")));
        }
        if let Some((first, others)) = self.plan.unread.split_first() {
            let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            lines.push(format!("  not read under this name: {}{others} (--name)", shown(first)));
        }
        lines.extend(self.notes.iter().map(|note| format!("  {}", shown(note))));
        if lines.len() == 1 { String::new() } else { lines.join("\n") }
    }

    fn taken(&self) -> String {
        let mut lines = vec!["Taken".to_owned()];
        for kind in ["predicates", "filters"] {
            let used = self.needs.used.iter().filter(|((of, _), _)| *of == kind);
            let used: Vec<_> = used.map(|((_, name), count)| format!("{} {count}", shown(name))).collect();
            if !used.is_empty() {
                lines.push(format!("  {kind:<10}  {}", used.join(", ")));
            }
        }
        if self.needs.has_locator {
            lines.push("  locator     a route for every service".to_owned());
        }
        if lines.len() == 1 { String::new() } else { lines.join("\n") }
    }

    fn chosen(&self) -> String {
        if self.choices() == 0 {
            return String::new();
        }
        let place = |places: &[super::needs::Place]| {
            let first = places.first().map_or_else(String::new, |place| shown(&place.origin.to_string()));
            if places.len() > 1 { format!("{first} and {} more", places.len() - 1) } else { first }
        };
        let mut rows: Vec<_> = { self.needs.all() }
            .map(|(kind, name, places)| {
                let what = match kind {
                    "filter" => "refused until chosen",
                    "key resolver" => "a key is guessed",
                    "scheme" => "taken for lb",
                    _ => "answers 503",
                };
                vec![format!("  {kind}"), shown(name), place(places), what.to_owned()]
            })
            .collect();
        let access = self.needs.access.iter();
        rows.extend(access.map(|(name, places)| {
            vec!["  access".to_owned(), name.clone(), place(places), "refused until acknowledged".to_owned()]
        }));
        let head = format!("To choose in {RULES} (gray.spring): what stands for Java code");
        [head].into_iter().chain(columns(&rows)).collect::<Vec<_>>().join("\n")
    }

    fn refused(&self) -> String {
        listed("To change: the documents are refused with it", self.of(Severity::Error))
    }

    fn left_out(&self) -> String {
        let findings =
            { self.findings.iter() }.map(|one| format!("  route {}: {}", shown(&one.name), shown(&one.message)));
        let mut text = listed("Different or skipped", self.of(Severity::Warning));
        let findings: Vec<_> = findings.collect();
        if !findings.is_empty() {
            text = if text.is_empty() { "Likely mistakes".to_owned() } else { text };
            text = format!("{text}\n{}", findings.join("\n"));
        }
        text
    }

    fn java(&self) -> String {
        let mut by_role: BTreeMap<Role, Vec<&Found>> = BTreeMap::new();
        for found in &self.java {
            by_role.entry(found.role).or_default().push(found);
        }
        if by_role.is_empty() {
            return String::new();
        }
        let mut lines = vec!["Java that runs in the old gateway, and not here".to_owned()];
        for (role, found) in by_role {
            lines.push(format!("  {}", role.title()));
            let rows: Vec<_> = found.iter().map(|one| vec![format!("    {}", shown(&one.class)), at(one)]).collect();
            lines.extend(columns(&rows));
            lines.extend(wrapped(role.advice(), "      "));
        }
        lines.join("\n")
    }

    fn next(&self) -> String {
        let mut lines = Vec::new();
        if !self.written.is_empty() {
            lines.push(format!(
                "Written: {}",
                self.written.iter().map(|file| shown(file)).collect::<Vec<_>>().join(", ")
            ));
        }
        if !self.commands.is_empty() {
            lines.push("Next".to_owned());
            lines.extend(self.commands.iter().map(|command| format!("  {command}")));
        }
        lines.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let documents = self
            .plan
            .documents
            .iter()
            .map(|one| json!({ "file": one.file, "from": one.input.place, "bootstrap": one.is_local }));
        let used = |kind: &str| -> Value {
            let used = self.needs.used.iter().filter(|((of, _), _)| *of == kind);
            used.map(|((_, name), count)| (name.clone(), json!(count))).collect::<serde_json::Map<_, _>>().into()
        };
        let place = |place: &super::needs::Place| json!({ "document": &*place.origin.document, "line": place.origin.line, "path": place.path });
        let choice = |(kind, name, places): (&str, &String, &Vec<super::needs::Place>)| json!({ "kind": kind, "name": name, "places": places.iter().map(place).collect::<Vec<_>>() });
        let access = self.needs.access.iter().map(|(name, places)| ("access", name, places));
        let java = self.java.iter().map(|one| {
            json!({
                "kind": one.role.title(), "class": one.class, "name": one.name, "file": one.file, "line": one.line,
                "open": one.role.is_open(), "advice": one.role.advice(),
            })
        });
        json!({
            "name": self.plan.name,
            "profiles": self.plan.profiles,
            "documents": documents.collect::<Vec<_>>(),
            "missing": self.plan.missing,
            "notRead": self.plan.unread,
            "otherProfiles": self.plan.other_profiles,
            "routes": self.needs.routes,
            "locator": self.needs.has_locator,
            "predicates": used("predicates"),
            "filters": used("filters"),
            "choices": self.needs.all().chain(access).map(choice).collect::<Vec<_>>(),
            "problems": self.problems,
            "findings": self.findings,
            "java": java.collect::<Vec<_>>(),
            "notes": self.notes,
            "commands": self.commands,
            "written": self.written,
            "open": self.open(),
        })
    }
}

fn at(found: &Found) -> String {
    if found.line == 0 { shown(&found.file) } else { format!("{}:{}", shown(&found.file), found.line) }
}

/// A text of ours on lines of a terminal's width.
fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines
}

/// Problems with their places; of those that say the same, the keys in one line.
fn listed<'p>(head: &str, problems: impl Iterator<Item = &'p Problem>) -> String {
    let mut by_message: Vec<(&str, Vec<&Problem>)> = Vec::new();
    for problem in problems {
        match by_message.iter_mut().find(|(message, _)| *message == problem.message) {
            Some((_, same)) => same.push(problem),
            None => by_message.push((&problem.message, vec![problem])),
        }
    }
    let mut lines = vec![head.to_owned()];
    for (message, same) in by_message {
        if let [one] = same[..] {
            lines.push(format!("  {}", shown(&one.to_string())));
            continue;
        }
        lines.push(format!("  {}:", shown(message)));
        for one in same.iter().take(LISTED) {
            lines.push(format!("    {}: {}", shown(&one.origin.to_string()), shown(&one.path)));
        }
        if same.len() > LISTED {
            lines.push(format!("    and {} more", same.len() - LISTED));
        }
    }
    if lines.len() == 1 { String::new() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use gray_document::Origin;

    use super::*;

    #[test]
    fn nothing_from_outside_commands_the_terminal() {
        assert_eq!(shown("a\u{1b}[31m\n杭\u{202e}"), "a\u{fffd}[31m\u{fffd}杭\u{fffd}");
        assert!(shown(&"x".repeat(5_000)).len() <= LONGEST);
    }

    #[test]
    fn long_texts_are_wrapped() {
        let lines = wrapped(&"word ".repeat(40), "  ");
        assert!(
            lines.len() == 2 && lines.iter().all(|line| line.starts_with("  word") && line.len() <= WIDTH),
            "{lines:?}"
        );
    }

    #[test]
    fn the_same_problem_is_told_once() {
        let problem = |path: &str, message: &str| Problem {
            severity: Severity::Warning,
            origin: Origin { document: "a.yaml".into(), line: 3 },
            path: path.into(),
            message: message.into(),
        };
        let problems = [problem("a", "not used"), problem("b", "odd"), problem("c", "not used")];
        let text = listed("Left out", problems.iter());
        assert_eq!(text, "Left out\n  not used:\n    a.yaml:3: a\n    a.yaml:3: c\n  a.yaml:3: b: odd");
        assert_eq!(listed("Left out", [].iter()), "");
    }
}
