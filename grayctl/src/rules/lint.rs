//! `grayctl rules lint`: likely mistakes in rules, by a gateway that knows the instances.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;

use super::{
    PROBLEMS,
    gateway::{Answer, Body, GatewayArgs},
    text::{self, counted},
};
use crate::{
    find::{name, read},
    print::say,
};

/// Ask a gateway for likely mistakes in the rules: in those in effect, or in a document that is not applied.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// A rules document (gray-rules.yaml), `-` for standard input; without it, the rules in effect.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Linted {
    revision: String,
    findings: Vec<text::Finding>,
    #[serde(default)]
    warnings: Vec<text::Problem>,
}

/// Runs the command.
pub(super) async fn run(args: &LintArgs) -> Result<ExitCode> {
    let (method, body) = match args.file.as_deref() {
        None => (Method::GET, Body::Nothing),
        Some(file) => (Method::POST, Body::Document(read(file)?)),
    };
    let Answer::Good(Linted { revision, findings, warnings }) = args.gateway.ask(method, "/lint", body).await? else {
        return Ok(ExitCode::from(PROBLEMS));
    };
    let good = warnings.is_empty() && !findings.iter().any(text::Finding::is_problem);
    if !args.gateway.json {
        let count = findings.len() + warnings.len();
        let count = if count == 0 { "in order".to_owned() } else { counted(count, "finding") };
        let what = args.file.as_ref().map_or_else(|| format!("rules {revision} in effect"), |file| name(file));
        say(format_args!("{what}: {count}"));
        text::problems(&warnings).into_iter().chain(text::findings(&findings)).for_each(say);
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}
