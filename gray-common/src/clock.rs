//! The clocks of the rim; the pure core is told the time.

pub use gray_live::clock::{uptime_ms, uptime_us};
pub use gray_registry::unix_seconds;
#[cfg(feature = "rules")]
pub use gray_rules::time::{parse_time, show_time};
