//! `grayctl rules`: what rules say, what they would do, and whether that can be meant.

mod check;
mod explain;
mod gateway;
mod lint;
mod replay;
mod text;

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{find, print::complain};

/// Something was found; what it is has been said already.
const PROBLEMS: u8 = 1;
/// The command line asks for something that is not there.
const USAGE: u8 = 2;

/// Check rules, explain decisions, and try changes on the last requests.
///
/// Exit codes: 0 in order, 1 problems found or the gateway refused, 2 wrong usage.
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

/// The text of a file; without it, the exit code of a wrong command line.
fn read(file: &Path) -> Result<String, ExitCode> {
    find::read(file).map_err(|error| {
        complain(format_args!("error: {error}"));
        ExitCode::from(USAGE)
    })
}
