//! A service program from its flags to its exit code.

use std::{error::Error, process::ExitCode};

use axum::Router;
use gray_tls::Trust;

use super::{
    GrayService, SHARED_DOCUMENT, ServiceArgs, ServiceCommand, ServiceError, StopSignals, check::check_config,
    documents_of, exit_code, healthcheck::healthcheck, read_settings,
};
use crate::{causes::with_causes, release, telemetry};

/// Whatever goes wrong while a service builds its routes.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Does what the flags say: serve until SIGTERM, SIGINT or SIGQUIT, check the configuration, or ask a running process.
///
/// `build` makes the routes, with the clients it takes from the service. Errors are printed to standard error with
/// their causes.
pub async fn run(
    name: &str,
    default_port: u16,
    args: &ServiceArgs,
    build: impl AsyncFnOnce(&mut GrayService) -> Result<Router, BoxError>,
) -> ExitCode {
    let outcome = match args.command {
        Some(ServiceCommand::Healthcheck) => {
            healthcheck(args.bind, args.port.unwrap_or(default_port)).map_err(BoxError::from)
        }
        None if args.check_config => check(name, args).await,
        None => serve(name, default_port, args, build).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", with_causes(&*error));
            exit_code(&*error)
        }
    }
}

async fn serve(
    name: &str,
    default_port: u16,
    args: &ServiceArgs,
    build: impl AsyncFnOnce(&mut GrayService) -> Result<Router, BoxError>,
) -> Result<(), BoxError> {
    // First thing: a signal must not end a program that is only starting.
    let mut signals = StopSignals::listen().map_err(|source| ServiceError::Signals { source })?;
    telemetry::init(&args.log_filter())?;
    tracing::info!(program = name, version = release::version(), "starting");
    let starting = async {
        let mut service = GrayService::start(name, default_port, args).await?;
        let app = build(&mut service).await?;
        Ok::<_, BoxError>((service, app))
    };
    let (service, app) = tokio::select! {
        started = starting => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopping before having started");
            return Ok(());
        }
    };
    // The service listens for itself from here on.
    drop(signals);
    Ok(service.serve(app).await?)
}

async fn check(name: &str, args: &ServiceArgs) -> Result<(), BoxError> {
    Trust::new("--upstream-ca", args.upstream_ca.as_deref())?;
    let plan = args.control.plan(&documents_of(name))?;
    let read = |documents: &_| read_settings(documents, &args.control.prefix);
    let report = check_config(&args.control, name, &plan, SHARED_DOCUMENT, read).await?;
    eprintln!("{report}");
    Ok(())
}
