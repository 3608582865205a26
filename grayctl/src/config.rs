//! `grayctl config`: the documents of a gateway, all of them together.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::{Args, Subcommand};
use gray_common::{
    control::ControlArgs,
    documents::{ProgramDocuments, document_name},
    service::{SHARED_DOCUMENT, gather},
};
use gray_routes::{Configuration, Question, ROUTES_DOCUMENT, judge};
use serde_json::json;

use crate::print::say;

/// Who reads the documents.
const GATEWAY: &str = "gateway-app";
const RULES: &str = "gray-rules.yaml";

/// Check the documents of a gateway: settings, rules and routes together, as the gateway reads them.
///
/// Exit codes: 0 no errors; 1 problems found; 2 wrong usage.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Box<CheckArgs>),
}

/// Check all documents of a gateway where they are: every problem with its line, and likely mistakes.
///
/// Says what `gray-gateway --check-config` says. Without --profile, parts for each profile that the documents name are looked at
/// as well. Nothing is said about instances.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// Data id of a document with routes alone.
    #[arg(long, env = "GRAY_ROUTES_DOCUMENT", value_name = "DATAID", value_parser = document_name)]
    routes_document: Option<String>,
    /// Warnings count as errors do (exit code 1).
    #[arg(long, env = "GRAY_STRICT")]
    strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &ConfigArgs) -> Result<ExitCode> {
    let Command::Check(args) = &args.command;
    let control = &args.control;
    let routes = args.routes_document.as_deref();
    let last: Vec<_> = routes.into_iter().chain([RULES]).collect();
    let lists: Vec<_> = routes.map(|name| (name, ROUTES_DOCUMENT)).into_iter().collect();
    let plan =
        control.plan(&ProgramDocuments { name: GATEWAY, first: &[SHARED_DOCUMENT], last: &last, lists: &lists })?;
    let gathered = gather(control, GATEWAY, &plan, None, &Configuration::needed()).await?;
    let mut verdict = judge(&Question {
        sources: &gathered.sources(),
        reading: &plan.reading,
        prefix: &control.prefix,
        environment: &|name| std::env::var(name).ok(),
        now: now(),
        routes_in: Some(&gathered.own),
    });
    verdict.add(gathered.problems.iter().cloned());
    let is_good = verdict.is_good(args.strict);
    if args.json {
        let (problems, findings) = (&verdict.problems, &verdict.findings);
        say(format_args!("{:#}", json!({ "ok": is_good, "problems": problems, "findings": findings })));
    } else {
        verdict.report(args.strict, &gathered.summary()).iter().for_each(say);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
