//! Typed settings, and how they follow their documents.

pub use gray_document::{Lasting, check, lasting::losses};
pub use gray_live::{Followed, LiveSettings, SettingsState};
#[cfg(feature = "rules")]
pub use gray_rules::parse_source;
#[cfg(feature = "schema")]
pub use gray_rules::schema as rules_schema;
pub use gray_settings::*;
