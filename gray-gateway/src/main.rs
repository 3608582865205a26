//! The gateway's program: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use gray_common::{
    service::{ServiceCommand, StopSignals, healthcheck},
    telemetry,
};
use gray_gateway::{
    app::{self, Application},
    args::GatewayArgs,
};

// The control plane needs one thread; requests are served by threads of their own.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    match run(GatewayArgs::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gray-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: GatewayArgs) -> anyhow::Result<()> {
    match args.service.command {
        Some(ServiceCommand::Healthcheck) => {
            return healthcheck(args.admin_bind, args.admin_port).map_err(anyhow::Error::msg);
        }
        None if args.service.check_config => return app::check(&args).await,
        None => {}
    }
    // First thing: a signal must not end a program that is only starting.
    let mut signals = StopSignals::listen()?;
    telemetry::init(&args.service.log_filter())?;
    let application = tokio::select! {
        built = Application::build(&args) => built?,
        signal = signals.next() => {
            tracing::info!(signal, "stopping before having started");
            return Ok(());
        }
    };
    application.run_until_stopped(signals).await;
    Ok(())
}
