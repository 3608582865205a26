//! Tower layers that carry the release context across a process.
//!
//! The tag of a request has to reach every call the request causes. [`ReleaseLayer`] takes it from the incoming
//! request into a task-local; [`PropagateLayer`] puts it from there onto an outgoing one. A [`Hop`] adds what a service knows of itself: whose tags
//! it believes, what else travels along, and whether it should have got the request.
//!
//! ```
//! use axum::{Router, routing::get};
//! use gray_common::{ReleaseContext, layer::ReleaseLayer};
//!
//! let app: Router = Router::new()
//!     .route("/tag", get(async || format!("{:?}", ReleaseContext::current().tag)))
//!     .layer(ReleaseLayer::new());
//! ```

mod extract;
#[cfg(feature = "registry")]
mod hop;
mod propagate;

pub use extract::{ReleaseFuture, ReleaseLayer, ReleaseService};
#[cfg(feature = "registry")]
pub use hop::{Fit, Hop, Refused};
pub use propagate::{PropagateLayer, PropagateService};

#[cfg(test)]
mod tests;
