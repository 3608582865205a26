//! Balancing as a pure function: a [`Selection`] names the subset, a [`Strategy`] picks one endpoint of it.
//!
//! Nothing here reads a clock or a random source; the caller draws both ([`Draw`]), so that every pick can be
//! repeated in a test.

mod load;
mod ring;
mod select;
mod strategy;
mod weights;

pub use load::{InFlight, Load};
pub use ring::key_of;
pub use select::{Fallback, Selection, VersionPolicy, select};
pub use strategy::{Draw, Strategy, UnknownStrategy};
pub(crate) use {ring::Ring, weights::Weights};
