//! Measures the scorecard and prints its table: `make scorecard`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use anyhow::{Result, bail};
use clap::Parser;
use e2e_tests::{
    Stage,
    documents::repository,
    scorecard::{Ground, Report, Row, Scale, scenarios, table},
};

/// Measures the rows of the scorecard, one after the other.
#[derive(Debug, Parser)]
#[command(name = "scorecard")]
struct Args {
    /// Rows to measure, by number (4, F2) or part of the name; all without
    rows: Vec<String>,
    /// Seconds instead of minutes for each
    #[arg(long)]
    short: bool,
    /// Write scorecard.md, scorecard.json and figures into this directory; rows not measured now stay as they are
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Break on purpose what each row measures: all have to fail, and the exit code is 0 if they do
    #[arg(long, conflicts_with = "write")]
    sabotage: bool,
    /// Print the names and measure nothing
    #[arg(long)]
    list: bool,
}

fn commit() -> String {
    let mut git = std::process::Command::new("git");
    let said = git
        .args(["describe", "--always", "--dirty"])
        .current_dir(repository())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_default()
}

/// The end of a long text, where the cause is.
fn last(text: &str) -> String {
    let start = text.char_indices().rev().nth(2000).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or(text).to_owned()
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let wanted = |number: &str, name: &str| {
        args.rows.is_empty()
            || args
                .rows
                .iter()
                .any(|row| row.eq_ignore_ascii_case(number) || name.contains(row.as_str()) && row.len() > 2)
    };
    let chosen: Vec<_> = scenarios().into_iter().filter(|scenario| wanted(scenario.number, scenario.name)).collect();
    if chosen.is_empty() {
        bail!("no row is called {:?}; --list has them all", args.rows);
    }
    if args.list {
        chosen.iter().for_each(|scenario| println!("{:>3}  {}", scenario.number, scenario.name));
        return Ok(ExitCode::SUCCESS);
    }
    let pages = args.write;
    let scale = if args.short { Scale::Short } else { Scale::Full };
    let stage = Arc::new(Stage::default());
    let ground = Ground::new(Arc::clone(&stage), true)
        .sabotaged(args.sabotage)
        .drawn_into(pages.as_ref().map(|pages| pages.join("figures")));
    let commit = commit();
    let mut report = Report::new(scale);
    let mut page = pages.as_deref().map(|pages| Report::known(scale, pages));
    for scenario in chosen {
        let began = Instant::now();
        // A scenario that cannot be carried out is a row that fails, not the end of the others.
        let row = match scenario.run(&ground, scale).await {
            Ok(row) => row,
            Err(error) => Row::new("could not be measured", "", false).note(last(&format!("{error:#}"))),
        };
        println!("{}", table([(scenario.number, scenario.name, &row)]));
        row.details.iter().for_each(|note| println!("    {note}"));
        // Row by row: what was measured is kept, should the rest not come to its end.
        if let (Some(page), Some(pages)) = (&mut page, &pages) {
            page.add(scenario, row.clone(), began.elapsed(), &commit);
            page.write(pages)?;
        }
        report.add(scenario, row, began.elapsed(), &commit);
    }
    println!("{}", report.table());
    ground.close().await?;
    if let Some(stage) = Arc::into_inner(stage) {
        stage.close().await?;
    }
    let good = if args.sabotage { report.all_fail() } else { report.pass() };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
