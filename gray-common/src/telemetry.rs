//! Logs and the names of the metrics.

#[cfg(feature = "service")]
mod log;

#[cfg(feature = "service")]
pub use log::{TelemetryError, init};

use crate::release;

/// Counter, label [`SERVICE`]: calls of a service that is not under gray release: none of its instances says a version, so
/// every instance serves.
pub const UNVERSIONED_TOTAL: &str = "gray_unversioned_total";
/// Counter, label [`SERVICE`]: requests that were answered by the configured fallback, because no instance of the
/// wanted version was alive.
pub const FALLBACK_TOTAL: &str = "gray_fallback_total";
/// Counter, label [`SERVICE`]: connects of our client that failed; each was tried again on another instance if there
/// was one.
pub const CLIENT_CONNECT_FAILURES_TOTAL: &str = "gray_client_connect_failures_total";
/// Counter, label [`SERVICE`]: calls of our client that were sent again, because the connection broke.
pub const CLIENT_RETRIES_TOTAL: &str = "gray_client_retries_total";
/// Counter, labels [`SERVICE`] and `reason` (`unreachable`, `failures`): instances that our client has ejected.
pub const CLIENT_EJECTIONS_TOTAL: &str = "gray_client_ejections_total";
/// Counter, label [`SERVICE`]: calls that found no instance.
pub const CLIENT_NO_INSTANCE_TOTAL: &str = "gray_client_no_instance_total";
/// Counter, labels `from`, `to`, `fit`: requests that a service got, by caller (`order-app@V1`), and whether this instance
/// was what their lane or tag wants: `hit`, `fallback`, `wrong`, `leak` (an ordinary request on an instance that is not
/// for those), `untagged`.
pub const EDGE_REQUESTS_TOTAL: &str = "gray_edge_requests_total";
/// Counter, label `reason`: requests whose tag was not signed as it has to be (`unsigned`, `forged`, `expired`).
pub const BAD_SIGNATURE_TOTAL: &str = "gray_bad_signature_total";
/// Counter, label `outcome`: requests whose lane was read from W3C Baggage, because the header was missing (`used`), and those
/// whose baggage said something else than the header (`conflict`).
pub const BAGGAGE_TOTAL: &str = "gray_baggage_total";
/// Counter, labels [`SERVICE`] and `status` (`1xx` to `5xx`): requests that a service answered, without health checks.
pub const SERVICE_REQUESTS_TOTAL: &str = "gray_service_requests_total";
/// Gauge, label [`SERVICE`]: requests whose answer has not begun.
pub const SERVICE_IN_FLIGHT: &str = "gray_service_in_flight";
/// Gauge, label [`SERVICE`]: open connections of callers, with those that were upgraded.
pub const SERVICE_CONNECTIONS: &str = "gray_service_connections";
/// Counter, label [`SERVICE`]: connections turned away (503) because there were too many.
pub const SERVICE_CONNECTIONS_REFUSED_TOTAL: &str = "gray_service_connections_refused_total";
/// Gauge, label [`SERVICE`]: 1 while `/readyz` answers 200.
pub const SERVICE_READY: &str = "gray_service_ready";
/// Gauge, labels [`SERVICE`] and `of` (`registry`, `settings`): seconds since it was last known to answer.
pub const SERVICE_AGE: &str = "gray_service_source_age_seconds";
/// Gauge, label [`SERVICE`]: settings put into effect since the start.
pub const SETTINGS_REVISION: &str = "gray_service_config_revision";
/// Gauge, label [`SERVICE`]: 1 while the newest settings are refused.
pub const SETTINGS_REFUSED: &str = "gray_service_config_refused";
/// Gauge, label `version`: always 1; tells which release runs where.
pub const BUILD_INFO: &str = "gray_build_info";
/// Label: name of the called service, for `gray_service_*` of the service itself.
pub const SERVICE: &str = "service";

/// Describes every metric above to the recorder that is installed, and records [`BUILD_INFO`]. A service does so by itself; a program that installs
/// a recorder of its own may call this.
#[cfg(feature = "service")]
pub fn describe_metrics() {
    use gray_nacos::telemetry::RELAY_REFUSED_TOTAL;
    use gray_registry::telemetry::REGISTRY_FILES_REFUSED;
    use metrics::{Unit::Count, Unit::Seconds, describe_counter, describe_gauge};
    describe_counter!(
        FALLBACK_TOTAL,
        Count,
        "Calls served by the fallback: no instance of the wanted version was alive"
    );
    describe_counter!(
        UNVERSIONED_TOTAL,
        Count,
        "Calls of services of which no instance says a version: every instance serves"
    );
    describe_counter!(EDGE_REQUESTS_TOTAL, Count, "Requests by caller, and whether this instance was meant for them");
    describe_counter!(BAD_SIGNATURE_TOTAL, Count, "Requests whose tag was not signed as it has to be");
    describe_counter!(
        BAGGAGE_TOTAL,
        Count,
        "Requests whose W3C Baggage said a lane that counted, or another than the header"
    );
    describe_counter!(CLIENT_CONNECT_FAILURES_TOTAL, Count, "Connects to instances of the called service that failed");
    describe_counter!(CLIENT_RETRIES_TOTAL, Count, "Calls sent again because the connection broke");
    describe_counter!(CLIENT_EJECTIONS_TOTAL, Count, "Ejections of instances of the called service");
    describe_counter!(CLIENT_NO_INSTANCE_TOTAL, Count, "Calls that found no instance of the called service");
    describe_counter!(SERVICE_REQUESTS_TOTAL, Count, "Requests answered, by status class");
    describe_counter!(RELAY_REFUSED_TOTAL, Count, "Connections of other users of the machine to our way to Nacos");
    describe_gauge!(SERVICE_IN_FLIGHT, Count, "Requests whose answer has not begun");
    describe_gauge!(SERVICE_CONNECTIONS, Count, "Open connections of callers");
    describe_counter!(SERVICE_CONNECTIONS_REFUSED_TOTAL, Count, "Connections turned away because there were too many");
    crate::descriptors::describe();
    describe_gauge!(SERVICE_READY, Count, "1 while /readyz answers 200");
    describe_gauge!(
        SERVICE_AGE,
        Seconds,
        "Since the registry, or the source of the settings, was last known to answer"
    );
    describe_gauge!(SETTINGS_REVISION, Count, "Settings put into effect since the start");
    describe_gauge!(SETTINGS_REFUSED, Count, "1 while the newest settings are refused");
    describe_gauge!(REGISTRY_FILES_REFUSED, Count, "Instance files whose newest text is refused");
    record_build();
}

/// Records [`BUILD_INFO`] with the recorder that is installed.
pub fn record_build() {
    use metrics::{describe_gauge, gauge};
    describe_gauge!(BUILD_INFO, "Always 1; the label says which version of gray-chain runs");
    gauge!(BUILD_INFO, "version" => release::version()).set(1.0);
}
