//! The pure core: what a lane is, which instances of a service a request on it may use, and how one of them is picked.
//!
//! Everything here is a function of its arguments, so every decision can be repeated in a test: the caller says what time
//! it is and draws random numbers ([`balance::Draw`]). It never depends on a runtime, on I/O, on a clock or on a random
//! source, nor on rules: those lead to lanes.
//!
//! Feature `signing`: [`lane::SigningKey`]. Feature `document`: how an instance is written in YAML ([`entry`]).

pub mod balance;
pub mod breaker;
#[cfg(feature = "document")]
pub mod entry;
pub mod instance;
mod ip_set;
pub mod lane;
pub mod message;
mod service_key;
mod side;
mod space;
mod strangers;
pub mod tag;

pub use instance::{Endpoint, Instance, InstanceSet, Metadata, Subset};
pub use ip_set::{Addresses, InvalidAddress, IpSet};
pub use service_key::ServiceKey;
pub use side::Side;
pub use space::{MAX_SPACES, Space, SpaceError};
pub use strangers::takes_everybody;
pub use tag::{GRAY_HEADER, GrayStatus};
