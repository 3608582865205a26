//! `grayctl rules replay`: what a document would have done to the last requests.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;

use super::{
    PROBLEMS,
    gateway::{Answer, Body, GatewayArgs},
    text::{self, columns, grouped},
};
use crate::{find::read, print::say};

/// Ask a gateway which of its last requests a rules document would lead to another lane. Nothing is applied.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The rules document (gray-rules.yaml), `-` for standard input, read together with the settings in effect.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    requests: u64,
    moved: u64,
    moves: Vec<Move>,
    by_rule: Vec<RuleCount>,
    changed_lanes: Vec<String>,
    unanswerable: u64,
    missing_facts: Vec<Missing>,
    #[serde(default)]
    warnings: Vec<text::Problem>,
}

#[derive(Debug, Deserialize)]
struct Move {
    from: String,
    to: String,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct RuleCount {
    rule: String,
    before: u64,
    after: u64,
}

#[derive(Debug, Deserialize)]
struct Missing {
    fact: String,
    requests: u64,
}

/// Runs the command.
pub(super) async fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let document = Body::Document(read(&args.file)?);
    match args.gateway.ask::<Replayed>(Method::POST, "/replay", document).await? {
        Answer::Refused => return Ok(ExitCode::from(PROBLEMS)),
        Answer::Good(_) if args.gateway.json => {}
        Answer::Good(replayed) => shown(&replayed).into_iter().for_each(say),
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(replayed: &Replayed) -> Vec<String> {
    let requests = grouped(replayed.requests);
    let mut lines = vec![match (replayed.requests, replayed.moved) {
        (0, _) => "no requests to replay yet: the gateway keeps the last ones it served".to_owned(),
        (_, 0) => format!("moves none of {requests} requests"),
        (_, moved) => {
            let moves = replayed.moves.iter();
            let moves: Vec<_> = moves.map(|one| format!("{}->{} {}", one.from, one.to, grouped(one.count))).collect();
            format!("moves {} of {requests} requests: {}", grouped(moved), moves.join(", "))
        }
    }];
    if replayed.requests > 0 {
        let cells = |rule: &str, before: &str, after: &str| {
            vec![rule.to_owned(), format!("{before:>10}"), format!("{after:>10}")]
        };
        let rows = replayed.by_rule.iter().map(|one| cells(&one.rule, &grouped(one.before), &grouped(one.after)));
        let table: Vec<_> = [cells("rule", "before", "after")].into_iter().chain(rows).collect();
        lines.extend(columns(&table).into_iter().map(|line| format!("  {line}")));
    }
    if replayed.unanswerable > 0 {
        let facts = replayed.missing_facts.iter();
        let facts: Vec<_> = facts.map(|one| format!("{} ({})", one.fact, grouped(one.requests))).collect();
        lines.push(format!(
            "cannot tell for {}: they need {}, which is not kept as long as no rule in effect asks for it",
            grouped(replayed.unanswerable),
            facts.join(", ")
        ));
    }
    if !replayed.changed_lanes.is_empty() {
        let lanes = replayed.changed_lanes.join(", ");
        lines.push(format!(
            "selects other instances under the same name: {lanes}; requests on it move without changing lanes"
        ));
    }
    lines.extend(text::problems(&replayed.warnings));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_it_all() {
        let moves = [("baseline", "v2", 1290), ("v2", "baseline", 22)];
        let moves = moves.map(|(from, to, count)| Move { from: from.into(), to: to.into(), count });
        let replayed = Replayed { requests: 10_000, moved: 1312, moves: moves.into(), ..Replayed::default() };
        assert_eq!(shown(&replayed)[0], "moves 1,312 of 10,000 requests: baseline->v2 1,290, v2->baseline 22");
        assert_eq!(shown(&Replayed { requests: 5, ..Replayed::default() })[0], "moves none of 5 requests");
        assert!(shown(&Replayed::default())[0].starts_with("no requests"));
    }

    #[test]
    fn rules_line_up_and_what_is_missing_is_named() {
        let count = |rule: &str, before, after| RuleCount { rule: rule.into(), before, after };
        let replayed = Replayed {
            requests: 2000,
            by_rule: vec![count("beta", 100, 1200), count("default", 1900, 800)],
            unanswerable: 3,
            missing_facts: vec![Missing { fact: "cookie.session".into(), requests: 3 }],
            changed_lanes: vec!["v2".into()],
            ..Replayed::default()
        };
        let lines = shown(&replayed);
        assert_eq!(
            lines[1..4],
            [
                "  rule         before       after",
                "  beta            100       1,200",
                "  default       1,900         800",
            ]
        );
        assert!(lines[4].contains("cannot tell for 3: they need cookie.session (3)"), "{}", lines[4]);
        assert!(lines[5].contains("under the same name: v2"), "{}", lines[5]);
    }
}
