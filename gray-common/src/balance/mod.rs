//! Balancing as a pure function: [`choose`] goes through the selectors, a [`Strategy`] picks one endpoint of those that
//! are selected, an [`OutlierPolicy`] says who is left out for now.
//!
//! Nothing here reads a clock or a random source; the caller draws both ([`Draw`]), so that every pick can be
//! repeated in a test.

mod budget;
mod choose;
mod health;
#[cfg(test)]
mod health_tests;
mod load;
mod outlier;
mod outlook;
mod policy;
mod ring;
mod strategy;
mod weights;

// For `health`, which tests/interleavings.rs takes in with others.
use std::sync::atomic;

pub use budget::RetryBudget;
pub use choose::{Chosen, choose};
pub use load::{InFlight, Load};
pub use outlier::{Change, Outcome, OutlierPolicy, Reason};
pub use outlook::{Outlook, outlook};
pub use policy::{Fallback, VersionPolicy};
pub use ring::key_of;
pub use strategy::{Draw, Strategy, UnknownStrategy};
pub(crate) use {choose::is_reachable, ring::Ring, weights::Weights};
