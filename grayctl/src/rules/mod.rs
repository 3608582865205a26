//! `grayctl rules`: what rules say, what they would do, and whether that can be meant.

mod check;
mod explain;
mod gateway;
mod lint;
mod replay;
pub(crate) mod text;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Something was found; what it is has been said already.
const PROBLEMS: u8 = 1;

/// Check rules, explain decisions, and try changes on the last requests.
///
/// Exit codes: 0 no errors; 1 problems found, or the gateway refused; 2 wrong usage. FILE may be `-`, standard input.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Lint(lint::LintArgs),
    Replay(replay::ReplayArgs),
}

/// Runs the command.
pub(crate) async fn run(args: &RulesArgs) -> Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args).await,
        Command::Lint(args) => lint::run(args).await,
        Command::Replay(args) => replay::run(args).await,
    }
}
