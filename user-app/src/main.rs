//! Starts user-app.

use std::process::ExitCode;

use clap::Parser;
use gray_common::service::{self, ServiceCli};
use user_app::app::{Identity, app};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = ServiceCli::parse();
    service::run("user-app", 7200, &cli.service, async |gray| {
        Ok(app(Identity { port: gray.port(), version: gray.version().to_owned() }))
    })
    .await
}
