//! grayctl: the operator's command line of gray-chain.

mod config;
mod convert;
mod demo;
mod diff;
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
#[command(name = "grayctl", version = gray_common::release::version(), max_term_width = 120, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  The whole chain on this machine, without Docker or Nacos:
    grayctl demo

  From Spring Cloud Gateway: what is taken, what has to be chosen, and the documents for the new gateway:
    grayctl convert shop-gateway/ nacos_config_export.zip --profile prod --out converted

  The same requests to the old gateway and the new one, before the switch:
    grayctl diff --spring http://127.0.0.1:8080 --ours http://127.0.0.1:7000 --requests requests.http

  Rules before they are published:
    grayctl rules check gray-rules.yaml";

#[derive(Debug, Subcommand)]
enum Command {
    Convert(convert::ConvertArgs),
    Diff(diff::DiffArgs),
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
        Command::Convert(args) => convert::run(&args),
        Command::Diff(args) => diff::run(&args).await,
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
