//! The gateway's program: flags in, exit code out.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, parser::ValueSource};
use gray_common::{
    release,
    service::{ServiceCommand, StopSignals, UsageError, exit_code, healthcheck},
    telemetry,
};
use gray_gateway::{app::Application, args::GatewayArgs, check};

// The control plane needs one thread; requests are served by threads of their own.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    let matches = GatewayArgs::command().get_matches();
    // GRAY_PORT may be set for the gateway itself; a flag is meant for the question.
    let asks_another_port = matches.value_source("port") == Some(ValueSource::CommandLine);
    let args = GatewayArgs::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(args, asks_another_port).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gray-gateway: {error:#}");
            exit_code(error.as_ref())
        }
    }
}

async fn run(args: GatewayArgs, asks_another_port: bool) -> anyhow::Result<ExitCode> {
    match args.service.command {
        Some(ServiceCommand::Healthcheck) if asks_another_port => {
            let what = "healthcheck asks the admin side: give --admin-port PORT instead of --port";
            return Err(UsageError(what.to_owned()).into());
        }
        Some(ServiceCommand::Healthcheck) => {
            let asked = healthcheck(args.admin_bind, args.admin_port).map_err(anyhow::Error::msg);
            return asked.map(|()| ExitCode::SUCCESS);
        }
        None if args.service.check_config => return check::check(&args).await,
        None => {}
    }
    // First thing: a signal must not end a program that is only starting.
    let mut signals = StopSignals::listen()?;
    telemetry::init(&args.service.log_filter())?;
    tracing::info!(program = "gray-gateway", version = release::version(), "starting");
    let application = tokio::select! {
        built = Application::build(&args) => built?,
        signal = signals.next() => {
            tracing::info!(signal, "stopping before having started");
            return Ok(ExitCode::SUCCESS);
        }
    };
    application.run_until_stopped(signals).await;
    Ok(ExitCode::SUCCESS)
}
