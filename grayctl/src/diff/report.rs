//! What `grayctl diff` tells: each request that differs, and how many.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Outcome, requests::Request};
use crate::{
    print::say,
    rules::text::{columns, counted, grouped},
};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    same: u64,
    different: u64,
    failed: u64,
    /// How many requests differ in what.
    kinds: BTreeMap<String, u64>,
    /// Requests that were not sent, by method.
    skipped: BTreeMap<String, u64>,
    unread: usize,
    /// How many more are shown.
    room: usize,
    listed: Vec<Value>,
}

impl Tally {
    pub(super) fn new(room: usize, unread: usize) -> Self {
        Self { room, unread, ..Self::default() }
    }

    pub(super) fn skip(&mut self, method: &str) {
        *self.skipped.entry(method.to_owned()).or_default() += 1;
    }

    pub(super) fn has_skipped(&self) -> bool {
        !self.skipped.is_empty()
    }

    pub(super) fn is_same(&self) -> bool {
        self.different + self.failed == 0
    }

    /// Counts a request, and shows it when it differs.
    pub(super) fn note(&mut self, request: &Request, outcome: Outcome, json: bool) {
        let (word, rows, value) = match outcome {
            Outcome::Same => {
                self.same += 1;
                return;
            }
            Outcome::Different(differences) => {
                self.different += 1;
                let kinds: std::collections::BTreeSet<_> = differences.iter().map(|one| one.kind.clone()).collect();
                for kind in kinds {
                    *self.kinds.entry(kind).or_default() += 1;
                }
                let rows = differences.iter().map(|one| {
                    let place = if one.place.is_empty() { String::new() } else { format!("{}: ", one.place) };
                    vec![format!("  {}", one.kind), format!("{place}{} | {}", one.spring, one.ours)]
                });
                let value = differences
                    .iter()
                    .map(|one| json!({ "kind": one.kind, "place": one.place, "spring": one.spring, "ours": one.ours }));
                ("different", rows.collect::<Vec<_>>(), json!({ "differences": value.collect::<Vec<_>>() }))
            }
            Outcome::Failed(errors) => {
                self.failed += 1;
                let rows = errors.iter().map(|(side, error)| vec![format!("  {side}"), error.clone()]).collect();
                let value = errors.iter().map(|(side, error)| json!({ "side": side, "error": error }));
                ("failed", rows, json!({ "errors": value.collect::<Vec<_>>() }))
            }
        };
        if self.room == 0 {
            return;
        }
        self.room -= 1;
        if json {
            let mut value = value;
            value["line"] = json!(request.line);
            value["method"] = json!(request.method);
            value["target"] = json!(request.target);
            self.listed.push(value);
            return;
        }
        say(format_args!("{word:<9}  {} {} (line {})", request.method, request.target, request.line));
        columns(&rows).into_iter().for_each(say);
    }

    /// Tells the sum.
    pub(super) fn end(&self, json: bool) {
        if json {
            let sum = json!({
                "same": self.same, "different": self.different, "failed": self.failed, "kinds": self.kinds,
                "skipped": self.skipped, "notRead": self.unread, "requests": self.listed,
            });
            return say(format_args!("{sum:#}"));
        }
        let all = self.same + self.different + self.failed;
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, count)| format!("{kind} {}", grouped(*count))).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        let counts = [(self.different, format!(" different{kinds}")), (self.failed, " failed".to_owned())];
        let counts: String = { counts.iter() }
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!(", {}{what}", grouped(*count)))
            .collect();
        say(format_args!(
            "{}: {} the same{counts}",
            counted(usize::try_from(all).unwrap_or(usize::MAX), "request"),
            grouped(self.same)
        ));
        if !self.skipped.is_empty() {
            let skipped: Vec<_> =
                self.skipped.iter().map(|(method, count)| format!("{method} {}", grouped(*count))).collect();
            say(format_args!("not sent: {} (--unsafe-methods sends them)", skipped.join(", ")));
        }
        if self.unread > 0 {
            say(format_args!("not read: {} of the log", counted(self.unread, "line")));
        }
    }
}
