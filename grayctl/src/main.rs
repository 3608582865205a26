//! grayctl: the operator's command line of gray-chain.

mod demo;
mod find;
mod nacos;
mod print;
mod publish;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::print::complain;

/// The operator's command line of gray-chain.
///
/// Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "grayctl", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Publish(publish::PublishArgs),
    Demo(demo::DemoArgs),
    Schema(schema::SchemaArgs),
    #[command(hide = true)]
    Tied(demo::TiedArgs),
}

// One thread: the children of the demo are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Publish(args) => publish::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Tied(args) => demo::become_program(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
