//! Demo of messages: `GET /audits` answers with the orders that were viewed, as far as this process has handled them.

pub mod app;
pub mod audit;
mod http;
pub mod messages;
pub mod settings;

pub use app::app;
