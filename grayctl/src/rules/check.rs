//! `grayctl rules check`: documents on their own, without a gateway.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;
use gray_common::service::UsageError;
use gray_document::{Documents, Origin, Outline, Problem, Profiles, Reading, Severity, check_for};
use gray_rules::{Fleet, RuleSet, Switch};
use gray_settings::GraySettings;
use serde_json::{Value, json};

use super::{
    PROBLEMS,
    text::{self, counted},
};
use crate::{
    find::{is_stdin, name, read},
    print::say,
};

/// What the settings are taken to be when none are given.
const USUAL: &str = "{ load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }";

/// Check rule documents: every problem with its line, and likely mistakes.
///
/// Each file is read on its own, after the settings. Needs no gateway and no registry, so nothing is said about instances;
/// `grayctl rules lint FILE` asks a gateway that knows them.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The documents; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Settings that the rules go with, such as common-config.yaml; repeated, later ones win. Without: V1 and V2.
    #[arg(long, value_name = "FILE")]
    settings: Vec<PathBuf>,
    /// Active profile; repeated, or separated by commas. Parts of documents for others are left out.
    #[arg(long, env = "GRAY_PROFILE", value_name = "NAME", value_delimiter = ',')]
    profile: Vec<String>,
    /// Prefix of the settings.
    #[arg(long, env = "GRAY_PREFIX", default_value = "kerwin.tool.gray")]
    prefix: String,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What was found in one file.
struct Report {
    file: String,
    problems: Vec<Problem>,
    rules: Option<RuleSet>,
    findings: Value,
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
        settings.push(("the usual settings".to_owned(), format!("{}: {USUAL}", args.prefix)));
    }
    let profiles = Profiles::new(args.profile.iter().map(String::as_str));
    let reading = Reading::from(profiles.map_err(|reason| UsageError(format!("--profile: {reason}")))?);
    let mut reports = Vec::new();
    for file in &args.files {
        reports.push(judge(name(file), &read(file)?, &settings, &reading, &args.prefix));
    }
    let mut good = true;
    let mut shown = Vec::new();
    for report in &reports {
        let findings: Vec<text::Finding> = serde_json::from_value(report.findings.clone())?;
        let has_problems = !report.problems.is_empty() || findings.iter().any(text::Finding::is_problem);
        good &= !has_problems;
        if args.json {
            shown.push(json!({
                "file": report.file,
                "ok": !has_problems,
                "problems": report.problems,
                "findings": report.findings,
            }));
        } else {
            print(report, &findings)?;
        }
    }
    if args.json {
        say(format_args!("{:#}", Value::Array(shown)));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

fn judge(file: String, text: &str, settings: &[(String, String)], reading: &Reading, prefix: &str) -> Report {
    let settings = settings.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let sources: Vec<_> = settings.chain([(file.as_str(), text)]).collect();
    let outcome = check_for(&sources, reading, |documents: &Documents| {
        let root = documents.root();
        let rules = RuleSet::read(documents, &GraySettings::read(&root, prefix));
        GraySettings::warn_unread(&root);
        rules
    });
    // A gateway that has rules would keep them.
    if Outline::of(&file, text, reading).is_some_and(|outline| !outline.states("gray")) {
        let origin = Origin { document: file.as_str().into(), line: 0 };
        let message =
            "there is no `gray` in it; is the key misspelt? If there are to be no rules, write `gray: {}`".to_owned();
        let problem = Problem { severity: Severity::Error, origin, path: String::new(), message };
        let others = outcome.map_or_else(|problems| problems, |(_, warnings)| warnings);
        let others = others.into_iter().filter(|problem| *problem.origin.document == *file);
        return Report {
            problems: std::iter::once(problem).chain(others).collect(),
            file,
            rules: None,
            findings: json!([]),
        };
    }
    match outcome {
        Ok((rules, warnings)) => {
            // What the settings say besides is not this file's matter.
            let problems = warnings.into_iter().filter(|problem| *problem.origin.document == *file).collect();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
            let findings = json!(rules.lint(&Fleet::default(), now));
            Report { file, problems, rules: Some(rules), findings }
        }
        Err(problems) => {
            let mut problems: Vec<_> = problems.into_iter().collect();
            problems.sort_by_key(|problem| problem.severity != Severity::Error);
            Report { file, problems, rules: None, findings: json!([]) }
        }
    }
}

fn print(report: &Report, findings: &[text::Finding]) -> Result<()> {
    let Report { file, problems, rules, .. } = report;
    let found = |count: usize, what: &str| if count == 0 { None } else { Some(counted(count, what)) };
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let count = [found(errors, "error"), found(problems.len() - errors, "warning"), found(findings.len(), "finding")];
    let count: Vec<_> = count.into_iter().flatten().collect();
    let count = if count.is_empty() { "in order".to_owned() } else { count.join(", ") };
    let holds = rules.as_ref().map_or_else(String::new, |rules| {
        let off = if rules.switch() == Switch::Off { ", and gray release is off by the settings" } else { "" };
        format!(" ({}, {}{off})", counted(rules.rules().len(), "rule"), counted(rules.lanes().len(), "lane"))
    });
    say(format_args!("{file}: {count}{holds}"));
    let problems: Vec<text::Problem> = serde_json::from_value(json!(problems))?;
    text::problems(&problems).into_iter().chain(text::findings(findings)).for_each(say);
    Ok(())
}
