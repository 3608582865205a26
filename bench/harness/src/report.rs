//! What came out, as tables for the terminal, as Markdown, and as JSON.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    footprint::Footprint,
    sample::{Outcome, Summary},
    stats::Spread,
    targets::Target,
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
    /// What went wrong.
    pub(crate) failures: Vec<String>,
    pub(crate) targets: Vec<Target>,
    pub(crate) footprint: Option<Footprint>,
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
    "busiest worker",
    "CPU: gateway/it",
    "req/s: gateway/it",
];
const FIXED_HEAD: [&str; 8] =
    ["", "CPU us/req", "min-max", "p50 ms", "p99 ms", "p99.9 ms", "CPU: gateway/it", "p99: gateway/it"];
const TARGET_HEAD: [&str; 6] = ["load", "what", "target", "median", "min-max", ""];
const FOOTPRINT_HEAD: [&str; 3] = ["", "median", "min-max"];

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
                for (cell, width) in line.iter().zip(&widths) {
                    if cell.chars().all(|letter| letter.is_ascii_digit() || letter == '.' || letter == '-') {
                        add(&mut text, format_args!("  {cell:>width$}"));
                    } else {
                        add(&mut text, format_args!("  {cell:<width$}"));
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
            add(&mut text, format_args!("\n**{title}**\n\n| {} |\n|", head.join(" | ")));
            text.push_str(&"---|".repeat(head.len()));
            text.push('\n');
            for row in rows {
                add(&mut text, format_args!("| {} |\n", row.join(" | ")));
            }
        }
        text
    }

    /// Everything, with each single measurement, and the Markdown beside it.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let beside = file.with_extension("md");
        std::fs::write(&beside, self.markdown()).with_context(|| format!("cannot write {}", beside.display()))
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
        for (said, lines) in [("FAILED", &self.failures), ("Left out", &self.left_out)] {
            for line in lines {
                add(&mut text, format_args!("{said}: {line}.{end}"));
            }
        }
        let logged = self.outcomes.iter().filter_map(|outcome| outcome.logged);
        if let Some(logged) = Spread::of(logged.map(|logged| logged.min)) {
            add(
                &mut text,
                format_args!("Access log: at least {:.1} % of the requests written.{end}", logged.min * 100.0),
            );
        }
        text
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        if !self.targets.is_empty() {
            let rows = self.targets.iter().map(target_row).collect();
            tables.push(("Targets".to_owned(), TARGET_HEAD.to_vec(), rows));
        }
        for outcome in &self.outcomes {
            let title = format!("{}: {}", outcome.workload.name(), outcome.title);
            let rows: Vec<_> = outcome.peers.iter().flat_map(rows).collect();
            tables.push((title, HEAD.to_vec(), rows));
            let rate = outcome.peers.iter().find_map(|peer| Some(peer.fixed.as_ref()?.rate));
            if let Some(rate) = rate {
                let title = format!("{}: the same at {rate} requests per second", outcome.workload.name());
                tables.push((title, FIXED_HEAD.to_vec(), outcome.peers.iter().filter_map(fixed_row).collect()));
            }
        }
        if let Some(footprint) = &self.footprint {
            tables.push(("footprint".to_owned(), FOOTPRINT_HEAD.to_vec(), footprint_rows(footprint)));
        }
        tables
    }
}

fn target_row(target: &Target) -> Vec<String> {
    let sign = if target.at_least { ">=" } else { "<=" };
    vec![
        target.work.clone(),
        target.what.clone(),
        format!("{sign} {}", target.limit),
        format!("{:.2}", target.measured.median),
        format!("{:.2}-{:.2}", target.measured.min, target.measured.max),
        if target.met { "met" } else { "missed" }.to_owned(),
    ]
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
        ratio(peer.busiest.as_ref()),
        ratio(peer.cpu_ratio.as_ref()),
        ratio(peer.rate_ratio.as_ref()),
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
        ratio(fixed.p99_ratio.as_ref()),
    ])
}

fn footprint_rows(footprint: &Footprint) -> Vec<Vec<String>> {
    let memory = |what: &str, mib: f64| vec![what.to_owned(), format!("{mib:.1}"), String::new()];
    let start = &footprint.start_millis;
    let mut rows = vec![
        vec!["gateway: start to listening, ms".to_owned(), format!("{:.1}", start.median), range(start)],
        memory("gateway: idle, MiB (the most of its starts)", footprint.idle_mib),
        memory("gateway: 10,000 idle connections, MiB", footprint.connections_mib),
        memory("the demo's five processes, MiB", footprint.demo_total_mib()),
    ];
    for (part, mib) in &footprint.demo_mib {
        rows.push(memory(&format!("- {part}{}", if part == "gateway" { "" } else { ", two" }), *mib));
    }
    rows
}

fn range(spread: &Spread) -> String {
    format!("{:.1}-{:.1}", spread.min, spread.max)
}

fn ratio(spread: Option<&Spread>) -> String {
    spread.map_or_else(String::new, |spread| format!("{:.2}", spread.median))
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
        targets::targets,
        workload::Workload,
    };

    fn report() -> Report {
        let samples = vec![sample(Peer::Nginx, 0, 10.0), sample(REFERENCE, 0, 9.7)];
        let outcomes = vec![Outcome::new(Workload::Small, samples)];
        let spread = Spread { min: 4.0, median: 5.0, max: 6.0 };
        let demo_mib = [("gateway", 10.0), ("order-app", 17.0), ("user-app", 15.0)];
        let demo_mib = demo_mib.map(|(part, mib)| (part.to_owned(), mib)).into();
        let footprint = Footprint { start_millis: spread, idle_mib: 9.0, connections_mib: 90.0, demo_mib };
        Report {
            date: "2026-01-01".to_owned(),
            command: "bench/run --quick".to_owned(),
            versions: vec![("nginx".to_owned(), "1".to_owned())],
            workers: 2,
            load_before: 3.0,
            left_out: vec!["pingora".to_owned()],
            failures: vec!["small, axum: a wrong answer".to_owned()],
            targets: targets(&outcomes, Some(&footprint)),
            footprint: Some(footprint),
            outcomes,
        }
    }

    #[test]
    fn tables_say_ratio_and_target() {
        let text = report().plain();
        let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_default();
        assert!(line("gateway / nginx, CPU").ends_with("0.97-0.97  missed"), "{text}");
        assert!(line("the demo's five").contains("42.00-42.00  met"), "{text}");
        assert!(text.contains("Provisional") && text.contains("Left out: pingora."), "{text}");
        assert!(text.contains("FAILED: small, axum: a wrong answer."), "{text}");
    }

    #[test]
    fn markdown_rows_have_as_many_cells_as_their_head() {
        let text = report().markdown();
        let mut bars = None;
        for line in text.lines() {
            let count = line.matches('|').count();
            assert!(count == 0 || bars.is_none_or(|bars| bars == count), "{line}\n{text}");
            bars = (count > 0).then_some(count);
        }
        assert_eq!(text.matches("**").count(), 8, "{text}");
    }
}
