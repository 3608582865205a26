//! The routes, and what they need.

use axum::{Router, routing::get};

use crate::{
    audit::Audits,
    http::{audits, not_found},
    messages::Consuming,
};

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct State {
    /// Port this process listens on.
    pub port: u16,
    /// Version it registered with.
    pub version: String,
    /// What was handled.
    pub audits: Audits,
    /// What is consumed.
    pub consuming: Consuming,
}

/// The service's routes.
pub fn app(state: State) -> Router {
    Router::new().route("/audits", get(audits::list)).fallback(not_found).with_state(state)
}
