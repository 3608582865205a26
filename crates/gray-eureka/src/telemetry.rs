//! Names of metrics.

/// Counter, label [`KIND`]: answers of a server that were taken in.
pub const EUREKA_FETCHES_TOTAL: &str = "gray_eureka_fetches_total";
/// Counter: fetches that no server answered, or with something that cannot be used.
pub const EUREKA_FETCH_FAILURES_TOTAL: &str = "gray_eureka_fetch_failures_total";
/// Counter: changes that did not lead to what the server counts, so that the whole list was read again.
pub const EUREKA_DELTA_MISMATCHES_TOTAL: &str = "gray_eureka_delta_mismatches_total";
/// Counter: instances that the changes of a server had left out or told wrongly, found in its whole list.
pub const EUREKA_CORRECTED_TOTAL: &str = "gray_eureka_corrected_total";
/// Gauge: instances listed by the server that cannot be called: no host, no port.
pub const EUREKA_UNUSABLE_INSTANCES: &str = "gray_eureka_unusable_instances";
/// Label: `full` or `delta`.
pub const KIND: &str = "kind";
