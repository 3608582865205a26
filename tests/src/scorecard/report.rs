//! The scorecard as a table, as a page of the documentation, and as JSON.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Row, Scale, Scenario, proc, scenarios};

const HEAD: &str = "\
# Scorecard

What a release, a fault or an attacker costs, measured. A failure is a status that was not expected, a reset, a time-out, or
the wrong version. Clients send at a fixed rate and never send again; every request has an id, and what the clients saw is
compared with what the backends wrote down.

";

/// The scorecard, as scorecard.json has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    form: String,
    rows: Vec<Measured>,
}

/// A row, and what it was measured on.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    number: String,
    name: String,
    #[serde(flatten)]
    row: Row,
    seconds: f64,
    date: String,
    commit: String,
    machine: String,
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
    /// Without a row.
    pub fn new(scale: Scale) -> Self {
        let form = scale.pick("short form, beside other work", "full form").to_owned();
        Self { form, rows: Vec::new() }
    }

    /// What `directory` has from before, as far as it was measured in this form.
    pub fn known(scale: Scale, directory: &Path) -> Self {
        let new = Self::new(scale);
        let old = fs::read(directory.join("scorecard.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        old.filter(|old: &Self| old.form == new.form).unwrap_or(new)
    }

    /// Adds what a scenario measured, and how long that took; it takes the place of what was known.
    pub fn add(&mut self, scenario: Scenario, row: Row, took: Duration, commit: &str) {
        let date = jiff::Zoned::now().with_time_zone(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string();
        let (number, name) = (scenario.number.to_owned(), scenario.name.to_owned());
        self.rows.retain(|known| known.number != number);
        let (seconds, commit, machine) = (took.as_secs_f64(), commit.to_owned(), proc::machine());
        self.rows.push(Measured { number, name, row, seconds, date, commit, machine });
        let place = |number: &str| scenarios().iter().position(|scenario| scenario.number == number);
        self.rows.sort_by_key(|measured| place(&measured.number));
    }

    /// Every row that was measured has reached its target.
    pub fn pass(&self) -> bool {
        self.rows.iter().all(|Measured { row, .. }| row.pass || row.skipped)
    }

    /// No row that was measured has reached its target.
    pub fn all_fail(&self) -> bool {
        self.rows.iter().all(|Measured { row, .. }| !row.pass)
    }

    /// All rows.
    pub fn table(&self) -> String {
        table(self.rows.iter().map(|measured| (&*measured.number, &*measured.name, &measured.row)))
    }

    /// Writes scorecard.json and the page scorecard.md.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("scorecard.json"), format!("{}\n", serde_json::to_string_pretty(self)?))?;
        fs::write(directory.join("scorecard.md"), self.page())?;
        Ok(())
    }

    fn page(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let lines = self.rows.iter().map(|Measured { number, name, row, .. }| {
            format!("| {number} | {name} | {} | {} | {} |\n", cell(&row.measured), cell(&row.target), verdict(row))
        });
        let notes = self.rows.iter().map(|Measured { number, name, row, seconds, date, commit, machine }| {
            let notes: String = row.details.iter().map(|note| format!("- {}\n", note.replace('\n', " "))).collect();
            format!("\n### {number} {name}\n\n{notes}- measured in {seconds:.0} s until {date}, at commit {commit}, on {machine}\n")
        });
        let machines: BTreeSet<&str> = self.rows.iter().map(|measured| &*measured.machine).collect();
        format!(
            "{HEAD}| | |\n|---|---|\n| machine | {} |\n| command | `make scorecard` ({}) |\n\n\
             | # | figure | measured | target | pass |\n|---|---|---|---|---|\n{}\n## Notes\n{}",
            machines.into_iter().collect::<Vec<_>>().join("; "),
            self.form,
            lines.collect::<String>(),
            notes.collect::<String>()
        )
    }
}
