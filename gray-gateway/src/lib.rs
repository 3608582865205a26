//! gray-gateway: decides once per request who gets the gray version, writes the decision onto the request, and
//! proxies it to an instance that fits. ARCHITECTURE.md follows a request through these modules.

pub mod admin;
pub mod app;
pub mod args;
pub mod breakers;
pub mod check;
pub mod checks;
pub mod client_address;
pub mod config;
pub mod control;
pub mod dye;
pub mod egress;
mod findings;
pub mod geo;
pub mod handover;
pub mod header;
pub mod hops;
pub mod keys;
mod life;
pub mod limit;
pub(crate) mod listing;
mod located;
mod name;
mod namesakes;
pub mod proxy;
pub mod rates;
pub mod record;
pub mod snapshot;
pub mod tally;
pub mod tls;
pub mod trusted_hops;

pub use gray_routes::{self as route, scheme};
