//! What came out, as tables for the terminal, as Markdown, and as JSON.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    sample::{Outcome, Summary},
    stats::Spread,
};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) workers: usize,
    /// The load average of the minute before.
    pub(crate) load_before: f64,
    /// What was not measured, and why.
    pub(crate) left_out: Vec<String>,
    pub(crate) outcomes: Vec<Outcome>,
}

const HEAD: [&str; 11] = [
    "",
    "req/s",
    "CPU us/req",
    "min-max",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "RSS MiB",
    "CPU: gateway/it",
    "req/s",
    "target",
];
const FIXED_HEAD: [&str; 7] = ["", "CPU us/req", "min-max", "p50 ms", "p99 ms", "p99.9 ms", "CPU: gateway/it"];

/// Cores that may be busy with something else before figures are called provisional.
const QUIET: f64 = 0.1;

/// A table: how it is called, its head, its rows.
type Table = (String, Vec<&'static str>, Vec<Vec<String>>);

impl Report {
    /// Aligned tables.
    pub(crate) fn plain(&self) -> String {
        let mut text = self.preface("\n");
        for (title, head, rows) in self.tables() {
            let lines: Vec<Vec<String>> =
                std::iter::once(head.iter().map(|cell| (*cell).to_owned()).collect()).chain(rows).collect();
            let width = |column: usize| {
                let cells = lines.iter().filter_map(|line| line.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..head.len()).map(width).collect();
            add(&mut text, format_args!("\n{title}\n"));
            for line in &lines {
                for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                    match column {
                        0 => add(&mut text, format_args!("  {cell:<width$}")),
                        _ => add(&mut text, format_args!("  {cell:>width$}")),
                    }
                }
                text.truncate(text.trim_end_matches(' ').len());
                text.push('\n');
            }
        }
        text
    }

    /// The same for docs/benchmarks.md.
    pub(crate) fn markdown(&self) -> String {
        let mut text = self.preface("  \n");
        for (title, head, rows) in self.tables() {
            add(&mut text, format_args!("\n**{title}**\n\n| {} |\n|---|", head.join(" | ")));
            text.push_str(&"---:|".repeat(head.len().saturating_sub(1)));
            text.push('\n');
            for row in rows {
                add(&mut text, format_args!("| {} |\n", row.join(" | ")));
            }
        }
        text
    }

    /// Everything, with each single measurement.
    pub(crate) fn write_json(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn preface(&self, end: &str) -> String {
        let versions: Vec<_> = self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let mut text = format!("{}, `{}`, {} workers each{end}", self.date, self.command, self.workers);
        add(&mut text, format_args!("{}{end}", versions.join(", ")));
        let others = self.outcomes.iter().filter_map(|outcome| outcome.others_cores);
        if let Some(others) = Spread::of(others.map(|others| others.median)).filter(|others| others.max > QUIET) {
            let (least, most, load) = (others.min, others.max, self.load_before);
            add(
                &mut text,
                format_args!(
                    "Provisional: other work kept {least:.1} to {most:.1} cores busy meanwhile (median per kind of load; \
                     load average before {load:.1}).{end}"
                ),
            );
        }
        for left_out in &self.left_out {
            add(&mut text, format_args!("Left out: {left_out}.{end}"));
        }
        text
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for outcome in &self.outcomes {
            let title = format!("{}: {}", outcome.workload.name(), outcome.title);
            tables.push((title, HEAD.to_vec(), outcome.peers.iter().flat_map(rows).collect()));
            let rate = outcome.peers.iter().find_map(|peer| Some(peer.fixed.as_ref()?.rate));
            if let Some(rate) = rate {
                let title = format!("{}: the same at {rate} requests per second", outcome.workload.name());
                tables.push((title, FIXED_HEAD.to_vec(), outcome.peers.iter().filter_map(fixed_row).collect()));
            }
        }
        tables
    }
}

/// A row of the peer, and one for each of its programs where there are several.
fn rows(peer: &Summary) -> Vec<Vec<String>> {
    let mut rows = vec![vec![
        peer.peer.title().to_owned(),
        format!("{:.0}", peer.per_second.median),
        format!("{:.1}", peer.cpu_micros.median),
        range(&peer.cpu_micros),
        format!("{:.2}", peer.p50_millis.median),
        format!("{:.2}", peer.p99_millis.median),
        format!("{:.2}", peer.p999_millis.median),
        format!("{:.1}", peer.rss_mib.median),
        ratio(peer.cpu_ratio.as_ref()),
        ratio(peer.rate_ratio.as_ref()),
        target(peer),
    ]];
    for (part, cpu) in &peer.parts {
        let mut row = vec![format!("- {part}"), String::new(), format!("{:.1}", cpu.median), range(cpu)];
        row.resize(HEAD.len(), String::new());
        rows.push(row);
    }
    rows
}

fn fixed_row(peer: &Summary) -> Option<Vec<String>> {
    let fixed = peer.fixed.as_ref()?;
    Some(vec![
        peer.peer.title().to_owned(),
        format!("{:.1}", fixed.cpu_micros.median),
        range(&fixed.cpu_micros),
        format!("{:.2}", fixed.p50_millis.median),
        format!("{:.2}", fixed.p99_millis.median),
        format!("{:.2}", fixed.p999_millis.median),
        ratio(fixed.cpu_ratio.as_ref()),
    ])
}

fn range(spread: &Spread) -> String {
    format!("{:.1}-{:.1}", spread.min, spread.max)
}

fn ratio(spread: Option<&Spread>) -> String {
    spread.map_or_else(String::new, |spread| format!("{:.2}", spread.median))
}

fn target(peer: &Summary) -> String {
    match (peer.target, peer.cpu_ratio) {
        (Some(target), Some(ratio)) if ratio.median <= target => format!("<= {target:.2} met"),
        (Some(target), Some(_)) => format!("<= {target:.2} missed"),
        _ => String::new(),
    }
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peer::{Peer, REFERENCE},
        sample::tests::sample,
        workload::Workload,
    };

    fn report() -> Report {
        let samples = vec![sample(Peer::Nginx, 0, 10.0), sample(REFERENCE, 0, 9.7)];
        Report {
            date: "2026-01-01".to_owned(),
            command: "bench/run --quick".to_owned(),
            versions: vec![("nginx".to_owned(), "1".to_owned())],
            workers: 2,
            load_before: 3.0,
            left_out: vec!["pingora".to_owned()],
            outcomes: vec![Outcome::new(Workload::Small, samples)],
        }
    }

    #[test]
    fn tables_say_ratio_and_target() {
        let text = report().plain();
        assert!(text.contains("0.97") && text.contains("<= 0.95 missed"), "{text}");
        assert!(text.contains("Provisional") && text.contains("Left out: pingora."), "{text}");
    }

    #[test]
    fn markdown_rows_have_as_many_cells_as_their_head() {
        let text = report().markdown();
        let bars = |line: &str| line.matches('|').count();
        let counts: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(bars).collect();
        assert_eq!(counts, [12, 12, 12, 12, 8, 8, 8, 8], "{text}");
    }
}
