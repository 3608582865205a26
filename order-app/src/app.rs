//! The routes, and what they need.

use axum::{Router, routing::get};
use user_client::UserClient;

use crate::{
    events::Events,
    http::{not_found, order},
};

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct State {
    /// Port this process listens on.
    pub port: u16,
    /// Version it registered with.
    pub version: String,
    /// Asks user-app.
    pub users: UserClient,
    /// Who is told what happens.
    pub events: Events,
}

/// The service's routes.
pub fn app(state: State) -> Router {
    Router::new().route("/order/{order_no}", get(order::show)).fallback(not_found).with_state(state)
}
