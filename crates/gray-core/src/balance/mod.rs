//! Balancing as a pure function: [`choose`] goes through the selectors, a [`Strategy`] picks one endpoint of those that
//! are selected, an [`OutlierPolicy`] says which are ejected for now.
//!
//! Nothing here reads a clock or a random source; the caller draws both ([`Draw`]), so that every pick can be
//! repeated in a test.

mod budget;
mod choose;
mod outlook;
mod policy;
mod strategy;
mod unversioned;

pub use budget::RetryBudget;
pub use choose::{Chosen, choose, is_reachable};
pub use outlook::{Outlook, outlook};
pub use policy::{Fallback, VersionPolicy};
pub use strategy::{Draw, Strategy, UnknownStrategy};
pub use unversioned::{choose_unversioned, outlook_unversioned};

// Part of what is known of an instance; balancing needs them as well.
pub use crate::instance::{Change, InFlight, Load, Outcome, OutlierPolicy, Reason, key_of};
