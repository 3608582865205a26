//! Balancing as a pure function: a [`Selection`] names the subset, a [`Strategy`] picks one endpoint of it.
//!
//! Nothing here reads a clock or a random source; the caller draws both ([`Draw`]), so that every pick can be
//! repeated in a test.

mod load;
mod select;
mod strategy;

pub use load::{InFlight, Load};
pub use select::{Fallback, Selection, VersionPolicy, select};
pub use strategy::{Draw, Strategy, UnknownStrategy};
