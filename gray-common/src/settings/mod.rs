//! Typed settings, and how they follow their documents.

mod live;

pub use gray_document::{Lasting, check, lasting::losses};
pub use gray_settings::*;

pub use crate::rule::parse_source;
#[cfg(feature = "schema")]
pub use crate::rule::schema as rules_schema;
pub use live::{LiveSettings, SettingsState};
