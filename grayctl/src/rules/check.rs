//! `grayctl rules check`: documents on their own, without a gateway.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use gray_common::service::UsageError;
use gray_document::{Origin, Outline, Problem, Profiles, Reading, Severity};
use gray_routes::{Configuration, Counts, Question, Verdict, judge};
use gray_rules::Switch;
use serde_json::{Value, json};

use super::{PROBLEMS, text::counted};
use crate::{
    config::now,
    find::{is_stdin, name, read},
    print::say,
};

/// Name of what the settings are taken to be when none are given.
const NO_FILE: &str = "the usual settings";
/// And what that is.
const USUAL: &str = "{ load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }";

/// Check rule documents: every problem with its line, and likely mistakes.
///
/// Each file is read on its own, after the settings; with routes among those, what it says of them is judged as well. Needs no
/// gateway and no registry, so nothing is said about instances; `grayctl rules lint FILE` asks a gateway that knows them.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The documents; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Documents that the rules go with, such as common-config.yaml and gateway-app.yaml; repeated, later ones win. Without: V1 and V2.
    #[arg(long, value_name = "FILE")]
    settings: Vec<PathBuf>,
    /// Active profile; repeated, or separated by commas. Parts of documents for others are skipped.
    #[arg(long, env = "GRAY_PROFILE", value_name = "NAME", value_delimiter = ',')]
    profile: Vec<String>,
    /// Prefix of the settings.
    #[arg(long, env = "GRAY_PREFIX", default_value = "kerwin.tool.gray")]
    prefix: String,
    /// Warnings count as errors do (exit code 1).
    #[arg(long, env = "GRAY_STRICT")]
    strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    if args.files.iter().chain(&args.settings).filter(|file| is_stdin(file)).count() > 1 {
        return Err(UsageError("`-` is given twice: standard input can be read once".to_owned()).into());
    }
    let mut settings = Vec::new();
    for file in &args.settings {
        settings.push((name(file), read(file)?));
    }
    if settings.is_empty() {
        settings.push((NO_FILE.to_owned(), format!("{}: {USUAL}", args.prefix)));
    }
    let profiles = Profiles::new(args.profile.iter().map(String::as_str));
    let reading = Reading::from(profiles.map_err(|reason| UsageError(format!("--profile: {reason}")))?);
    let mut is_good = true;
    let mut shown = Vec::new();
    for file in &args.files {
        let (file, text) = (name(file), read(file)?);
        let verdict = judged(&file, &text, &settings, &reading, &args.prefix);
        let is_ok = verdict.is_good(args.strict);
        is_good &= is_ok;
        if args.json {
            let (problems, findings) = (&verdict.problems, &verdict.findings);
            shown.push(json!({ "file": file, "ok": is_ok, "problems": problems, "findings": findings }));
        } else {
            let holds = verdict.read.as_ref().map_or_else(String::new, |read| holds(read, args.settings.is_empty()));
            let counts = verdict.counts();
            let found = if counts == Counts::default() { "in order".to_owned() } else { counts.to_string() };
            say(format_args!("{file}: {found}{holds}"));
            verdict.lines().iter().for_each(|line| say(format_args!("  {line}")));
        }
    }
    if args.json {
        say(format_args!("{:#}", Value::Array(shown)));
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

/// What a document comes to together with the settings.
fn judged(file: &str, text: &str, settings: &[(String, String)], reading: &Reading, prefix: &str) -> Verdict {
    let others = settings.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let sources: Vec<_> = others.chain([(file, text)]).collect();
    let environment = |name: &str| std::env::var(name).ok();
    let question =
        Question { sources: &sources, reading, prefix, environment: &environment, now: now(), routes_in: None };
    let mut verdict = judge(&question);
    verdict.problems.retain(|problem| *problem.origin.document != *NO_FILE);
    // A gateway that has rules would keep them.
    if Outline::of(file, text, reading).is_some_and(|outline| !outline.states("gray")) {
        let origin = Origin { document: file.into(), line: 0 };
        let message =
            "there is no `gray` in it; is the key misspelt? If there are to be no rules, write `gray: {}`".to_owned();
        verdict.add([Problem { severity: Severity::Error, origin, path: String::new(), message }]);
        verdict.findings.clear();
        verdict.read = None;
    }
    verdict
}

/// ` (2 rules, 4 lanes)`
fn holds(read: &Configuration, are_rules_alone: bool) -> String {
    let (rules, routes) = (&read.rules, read.routes.routes().len());
    let routes = if are_rules_alone && routes == 0 { String::new() } else { format!(", {}", counted(routes, "route")) };
    let off = if rules.switch() == Switch::Off { ", and gray release is off by the settings" } else { "" };
    format!(" ({}, {}{routes}{off})", counted(rules.rules().len(), "rule"), counted(rules.lanes().len(), "lane"))
}
