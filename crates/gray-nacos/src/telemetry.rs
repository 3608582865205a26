//! Names of metrics.

/// Counter: connections to the port on loopback by which our Nacos client goes, made by other users of the machine.
pub const RELAY_REFUSED_TOTAL: &str = "gray_nacos_relay_refused_total";
