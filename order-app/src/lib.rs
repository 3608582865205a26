//! Demo order service: `GET /order/{orderNo}` answers with the order and, asked from user-app, its user.

pub mod app;
mod domain;
mod error;
pub mod events;
mod http;
pub mod settings;

pub use app::app;
