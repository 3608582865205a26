//! Names of the metrics. All have the labels `queue` and `version`, the one of this process; those of gray-kafka have the same names.

/// Counter, with `outcome`: messages by what became of them here: `handled`, `fallback` (handled, wanted by a version that was
/// not there), `failed` (will be tried again), `dead`, `moved` (to the queue of its version).
pub const MESSAGES_TOTAL: &str = "gray_messages_total";
/// Counter: messages handled although a process of the version that they want had been there for longer than the stand-by time.
pub const WRONG_TOTAL: &str = "gray_messages_wrong_total";
/// Counter: messages handled that this process had handled before.
pub const DUPLICATES_TOTAL: &str = "gray_messages_duplicates_total";
/// Gauge: messages that wait.
pub const LAG: &str = "gray_messages_lag";
/// Counter, with `reason`: messages whose release context was not signed as it has to be.
pub const BAD_SIGNATURE_TOTAL: &str = "gray_messages_bad_signature_total";
