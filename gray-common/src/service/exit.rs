//! Exit codes, the same for every program: 0 done, 1 it could not be done or something was found, 2 wrong usage.

use std::{error::Error, process::ExitCode};

use gray_tls::TlsError;

use super::{CheckError, ServiceError};
use crate::{control::ControlError, telemetry::TelemetryError};

/// Exit code for a command line that asks for what cannot be; clap's own.
pub const WRONG_USAGE: u8 = 2;

/// The command line, or a variable, asks for what cannot be. What is wrong, and what would do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// 2 when the error, or one that caused it, is about the command line; else 1.
pub fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(is_usage) { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
}

fn is_usage(error: &(dyn Error + 'static)) -> bool {
    // A transparent error hides the one in it from those who walk along the causes.
    if let Some(ServiceError::Control(inner)) = error.downcast_ref() {
        return is_usage(inner);
    }
    if let Some(ServiceError::Certificates(inner)) = error.downcast_ref() {
        return is_usage(inner);
    }
    if let Some(ServiceError::Telemetry(inner)) = error.downcast_ref() {
        return is_usage(inner);
    }
    if let Some(CheckError::Control(inner)) = error.downcast_ref() {
        return is_usage(inner);
    }
    match error.downcast_ref::<ControlError>() {
        Some(ControlError::Certificates(inner)) => return is_usage(inner),
        Some(_) => return true,
        None => {}
    }
    error.is::<UsageError>()
        || error.downcast_ref::<TlsError>().is_some_and(TlsError::is_missing)
        || matches!(error.downcast_ref(), Some(TelemetryError::Filter { .. }))
}
