//! Demo user service: `GET /user/{userNo}` answers with the user, the port and the version that served.

pub mod app;
mod domain;
mod error;
mod http;
pub mod settings;

pub use app::app;
