//! Typed settings, and how they follow their documents.

mod live;

pub use gray_document::{Lasting, check, lasting::losses};
pub use gray_rules::parse_source;
#[cfg(feature = "schema")]
pub use gray_rules::schema as rules_schema;
pub use gray_settings::*;
pub use live::{LiveSettings, SettingsState};
