//! Starts user-app.

use std::process::ExitCode;

use clap::Parser;
use gray_common::service;
use user_app::{
    app::{Identity, app},
    settings::Settings,
};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    service::run("user-app", 7200, &settings.service, async |gray| {
        Ok(app(Identity { port: gray.port(), version: gray.version().to_owned(), java_answers: settings.java_answers }))
    })
    .await
}
