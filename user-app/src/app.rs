//! The routes, and what they need to know of the process.

use axum::{Router, routing::get};

use crate::http::{not_found, user};

/// What this process is; shows up in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Port it listens on.
    pub port: u16,
    /// Version it registered with.
    pub version: String,
    /// Whether an unknown user is answered as by the Java demo: 200, with `null` for the name.
    pub java_answers: bool,
}

/// The service's routes.
pub fn app(identity: Identity) -> Router {
    Router::new().route("/user/{user_no}", get(user::show)).fallback(not_found).with_state(identity)
}
