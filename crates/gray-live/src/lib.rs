//! What gateway and services follow: settings that follow their documents ([`LiveSettings`]), services that follow registry
//! and settings ([`ServiceFollower`]), and both ready for requests ([`ServiceView`]).
//!
//! Whatever changes, readers get one newest whole, swapped; what is bad changes nothing. Never depends on rules, on HTTP or
//! on a particular registry.

pub mod clock;
pub mod follow;
mod settings;
mod view;

pub use follow::ServiceFollower;
pub use settings::{Followed, LiveSettings, SettingsState};
pub use view::{ServiceView, ViewSnapshot};
