//! gray-common: the starter crate of gray-chain.

pub mod balance;
pub mod client;
pub mod config_source;
pub mod context;
pub mod document;
pub mod instance;
pub mod layer;
pub mod registry;
pub mod rule;
pub mod service;
pub mod settings;
pub mod tag;
pub mod telemetry;

pub use context::{ReleaseContext, spawn};
pub use instance::{Endpoint, Instance, InstanceSet, Subset};
pub use tag::{GRAY_HEADER, GrayStatus};
