//! The scorecard as a table, as a page of the documentation, and as JSON.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{Row, Scale, Scenario, proc};

const HEAD: &str = "\
# Scorecard

What a release, a fault or an attacker costs, measured. A failure is a status that was not expected, a reset, a time-out, or
the wrong version. Clients send at a fixed rate and never send again; every request has an id, and what the clients saw is
compared with what the backends wrote down.

";

/// Rows measured, in order.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, &'static str, Row, Duration)>,
}

fn verdict(row: &Row) -> &'static str {
    match (row.skipped, row.pass) {
        (true, _) => "skipped",
        (_, true) => "yes",
        (_, false) => "NO",
    }
}

/// A table of one or more rows, as wide as a terminal.
pub fn table<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str, &'a Row)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic).set_width(150);
    table.set_header(["#", "figure", "measured", "target", "pass"]);
    for (number, name, row) in rows {
        table.add_row([number, name, &row.measured, &row.target, verdict(row)]);
    }
    table.to_string()
}

impl Report {
    /// Adds what a scenario measured, and how long that took.
    pub fn add(&mut self, scenario: Scenario, row: Row, took: Duration) {
        self.rows.push((scenario.number, scenario.name, row, took));
    }

    /// Every row that was measured has reached its target.
    pub fn pass(&self) -> bool {
        self.rows.iter().all(|(_, _, row, _)| row.pass || row.skipped)
    }

    /// No row that was measured has reached its target.
    pub fn all_fail(&self) -> bool {
        self.rows.iter().all(|(_, _, row, _)| !row.pass)
    }

    /// All rows.
    pub fn table(&self) -> String {
        table(self.rows.iter().map(|(number, name, row, _)| (*number, *name, row)))
    }

    /// The page docs/scorecard.md.
    pub fn page(&self, scale: Scale, command: &str, commit: &str) -> String {
        let date =
            jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string();
        let form = scale.pick("short form, beside other work", "full form");
        let machine = proc::machine();
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let lines = self.rows.iter().map(|(number, name, row, _)| {
            format!("| {number} | {name} | {} | {} | {} |\n", cell(&row.measured), cell(&row.target), verdict(row))
        });
        let notes = self.rows.iter().map(|(number, name, row, took)| {
            let notes: String = row.details.iter().map(|note| format!("- {}\n", note.replace('\n', " "))).collect();
            format!("\n### {number} {name}\n\n{notes}- measured in {} s\n", took.as_secs())
        });
        format!(
            "{HEAD}| | |\n|---|---|\n| date | {date} |\n| machine | {machine} |\n| command | `{command}` ({form}) |\n\
             | commit | {commit} |\n\n| # | figure | measured | target | pass |\n|---|---|---|---|---|\n{}\n## Notes\n{}",
            lines.collect::<String>(),
            notes.collect::<String>()
        )
    }

    /// The same for programs.
    pub fn json(&self, commit: &str) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(number, name, row, took)| {
                json!({
                    "number": number, "name": name, "measured": row.measured, "target": row.target, "pass": row.pass,
                    "skipped": row.skipped, "details": row.details, "seconds": took.as_secs_f64(),
                })
            })
            .collect();
        json!({ "commit": commit, "machine": proc::machine(), "pass": self.pass(), "rows": rows })
    }
}
