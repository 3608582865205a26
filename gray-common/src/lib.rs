//! gray-common: the starter crate of gray-chain. It makes a service take part in a full-chain gray release.
//!
//! The gateway decides once per request who gets the new version of some services, and sends the decision along as a
//! header ([`GRAY_HEADER`]). A service that takes part registers with its version, keeps the header's value for the
//! time of a request ([`ReleaseContext`]), and calls other services through a client that picks instances of the
//! fitting version ([`client::GrayClient`]). [`service::run`] puts all of it together, with health checks, live
//! settings, and an orderly way out:
//!
//! ```no_run
//! use axum::{Router, extract::State, routing::get};
//! use clap::Parser;
//! use gray_common::{client::GrayClient, service::{self, ServiceCli}};
//!
//! async fn hello(State(users): State<GrayClient>) -> String {
//!     match users.get("/user/U0001").send().await {       // goes where the tag of this request belongs
//!         Ok(answer) => format!("{} says {}", answer.endpoint().authority(), answer.status()),
//!         Err(error) => error.to_string(),
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::process::ExitCode {
//!     let cli = ServiceCli::parse();                      // --port --service-version ..., and `healthcheck`
//!     service::run("hello-app", 7300, &cli.service, async |gray| {
//!         let users = gray.client("user-app")?;
//!         Ok(Router::new().route("/hello", get(hello)).with_state(users))
//!     })
//!     .await
//! }
//! ```
//!
//! A program with flags of its own flattens [`service::ServiceArgs`] into them. Work that a handler starts in the
//! background keeps the tag with [`spawn`]; a plain `tokio::spawn` loses it.
//!
//! What it is made of are crates of their own, under names of this one: the pure core ([`tag`], [`instance`], [`lane`],
//! [`rule`], [`balance`]), which knows neither clock nor network, and what stands around it ([`document`], [`settings`],
//! [`registry`], [`config_source`], [`disk`], [`follow`], [`context`], [`certificates`]).

#[cfg(not(unix))]
compile_error!("gray-chain needs a Unix system: Linux or macOS (signals, owners of files, limits of descriptors)");

pub mod api;
pub mod client;
pub mod clock;
pub mod config_source;
pub mod control;
pub mod descriptors;
pub mod flag;
pub mod layer;
pub mod registry;
pub mod release;
pub mod server;
pub mod service;
pub mod settings;
pub mod telemetry;

pub use gray_context::{self as context, ReleaseContext, spawn};
pub use gray_core::{
    Endpoint, GRAY_HEADER, GrayStatus, Instance, InstanceSet, Metadata, Subset, balance, instance, lane, tag,
};
pub use gray_document as document;
pub use gray_expression as expression;
pub use gray_live::follow;
pub use gray_registry::disk;
pub use gray_rules as rule;
pub use gray_tls as certificates;
