//! The command line.

use clap::Parser;
use gray_common::{release, service::ServiceArgs};

/// Demo user service. GET /user/{userNo} answers with the user, the port and the version that served. Usual port: 7200
#[derive(Clone, Debug, Parser)]
#[command(name = "user-app", version = release::version())]
pub struct Settings {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Answer an unknown user as the Java demo does: 200, with `null` for the name. For callers whose Feign client makes an
    /// exception of 404
    #[arg(long, env = "GRAY_JAVA_ANSWERS")]
    pub java_answers: bool,
}
