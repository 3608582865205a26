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
//! What it is made of are the crates below `crates/`; tools and adapters depend on those. Here is what the author of a
//! service uses: the life cycle ([`service`], with its flags), the [`layer`]s, the [`client`], and the few types that their
//! signatures need.
//!
//! **Features.** All of them by default. Without any: the context, its way through headers and tasks, and the tower layers.
//! `client`: the gray-aware client. `nacos`: instances and settings in Nacos. `cli`: the flags of the control plane.
//! `service`: a service from its flags to its exit code; with `metrics` it shows `/metrics`, without it counts go to the
//! recorder that the program installs. `registry`: what the others need of sources and settings, and [`layer::Hop`].

#[cfg(not(unix))]
compile_error!("gray-chain needs a Unix system: Linux or macOS (signals, owners of files, limits of descriptors)");

#[cfg(any(feature = "client", feature = "service"))]
pub mod api;
#[cfg(feature = "client")]
mod causes;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "cli")]
pub mod control;
#[cfg(feature = "service")]
pub mod descriptors;
#[cfg(feature = "cli")]
pub mod documents;
#[cfg(feature = "cli")]
pub mod flag;
pub mod layer;
pub mod release;
#[cfg(feature = "service")]
pub mod server;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "registry")]
pub mod telemetry;

#[cfg(feature = "client")]
pub use causes::with_causes;
pub use gray_context::{HttpHeaders, HttpHeadersMut, ReleaseContext, spawn};
pub use gray_core::{
    Endpoint, Instance,
    tag::{GRAY_HEADER, GrayStatus},
};
