//! Starts audit-app.

use std::process::ExitCode;

use audit_app::{
    app::{State, app},
    audit::Audits,
    messages::Consumer,
    settings::Settings,
};
use clap::Parser;
use gray_common::service;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    let mut consumer = Consumer::default();
    let code = service::run("audit-app", 7400, &settings.service, async |gray| {
        let audits = Audits::default();
        consumer = Consumer::start(&settings, gray, &audits)?;
        let consuming = consumer.consuming.clone();
        Ok(app(State { port: gray.port(), version: gray.version().to_owned(), audits, consuming }))
    })
    .await;
    consumer.stop().await;
    code
}
