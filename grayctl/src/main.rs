//! grayctl: the operator's command line of gray-chain.

mod config;
mod demo;
mod find;
mod nacos;
mod print;
mod publish;
mod rules;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gray_common::service::exit_code;

use crate::print::complain;

/// The operator's command line of gray-chain.
///
/// Exit codes: 0 done; 1 it could not be done, or problems were found; 2 wrong usage. Reasons are on standard error.
#[derive(Debug, Parser)]
#[command(name = "grayctl", version = gray_common::release::version(), max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Publish(publish::PublishArgs),
    Demo(demo::DemoArgs),
    Schema(schema::SchemaArgs),
    Rules(rules::RulesArgs),
    Config(config::ConfigArgs),
    #[command(hide = true)]
    Tied(demo::TiedArgs),
}

// One thread: the children of the demo are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Publish(args) => publish::run(&args).await,
        Command::Demo(args) => demo::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Rules(args) => rules::run(&args).await,
        Command::Config(args) => config::run(&args).await,
        Command::Schema(args) => schema::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Tied(args) => demo::become_program(&args).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("error: {error:#}"));
            exit_code(error.as_ref())
        }
    }
}
