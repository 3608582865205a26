//! gray-chain for [tonic]: which lane a gRPC call is on is read from its metadata by [`GrayLayer`], kept while the call is served,
//! and written onto the calls that it causes by [`GrayInterceptor`].
//!
//! ```no_run
//! use gray_tonic::{GrayInterceptor, GrayLayer};
//! use tonic::{service::interceptor::InterceptedService, transport::{Channel, Server}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().layer(GrayLayer::new());
//! // The channel goes to the egress beside the service, which picks an instance of user-app by the lane.
//! let channel = Channel::from_static("http://127.0.0.1:15001").origin("http://user-app".parse()?).connect_lazy();
//! // As `UserClient::with_interceptor` does it.
//! let client = tonic::client::Grpc::new(InterceptedService::new(channel, GrayInterceptor::new()));
//! # Ok(())
//! # }
//! ```
//!
//! Metadata are headers, so they are read by the same rules (`gray-context`): the header `gray-lane`, where it is missing the
//! member `gray-lane` of `baggage`. A plain `tokio::spawn` loses the lane; [`spawn`] takes it along. Never depends on a registry,
//! rules or settings.

mod body;
mod intercept;
mod layer;
mod metadata;

pub use body::InContext;
pub use gray_context::{ReleaseContext, spawn};
pub use gray_core::lane::{SigningKey, SigningKeys};
pub use intercept::GrayInterceptor;
pub use layer::{GrayFuture, GrayLayer, GrayService};
pub use metadata::{Metadata, MetadataMut};

#[cfg(test)]
mod tests;
