//! Starts order-app.

use std::process::ExitCode;

use clap::Parser;
use gray_common::service;
use order_app::{
    app::{State, app},
    events::Events,
    settings::Settings,
};
use user_client::UserClient;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    service::run("order-app", 7100, &settings.service, async |gray| {
        let users = UserClient::new(gray.client_builder(user_client::SERVICE).timeout(settings.user_timeout).build()?);
        let events = Events::of(&settings, gray)?;
        Ok(app(State { port: gray.port(), version: gray.version().to_owned(), users, events }))
    })
    .await
}
