//! Tower layers that carry the release context across a process.
//!
//! The tag of a request has to reach every call the request causes. [`ReleaseLayer`] takes it from the incoming
//! request into a task-local; [`PropagateLayer`] puts it from there onto an outgoing one. Neither boxes or allocates.
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
mod propagate;

pub use extract::{ReleaseFuture, ReleaseLayer, ReleaseService};
pub use propagate::{PropagateLayer, PropagateService};
