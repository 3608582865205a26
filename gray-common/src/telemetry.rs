//! Logs and the names of the metrics.

use std::io::{self, IsTerminal, Write};

pub use gray_nacos::telemetry::RELAY_REFUSED_TOTAL;
pub use gray_registry::telemetry::{DIRECTORY, REGISTRY_FILES_REFUSED};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::release;

/// Counter, label [`SERVICE`]: requests that were answered by the configured fallback, because no instance of the
/// wanted version was alive.
pub const FALLBACK_TOTAL: &str = "gray_fallback_total";
/// Counter, label [`SERVICE`]: connects of our client that failed; each was tried again on another instance if there
/// was one.
pub const CLIENT_CONNECT_FAILURES_TOTAL: &str = "gray_client_connect_failures_total";
/// Counter, label [`SERVICE`]: calls of our client that were sent again, because the connection broke.
pub const CLIENT_RETRIES_TOTAL: &str = "gray_client_retries_total";
/// Counter, labels [`SERVICE`] and `reason` (`unreachable`, `failures`): instances that our client has left out for a while.
pub const CLIENT_EJECTIONS_TOTAL: &str = "gray_client_ejections_total";
/// Counter, label [`SERVICE`]: calls that found no instance.
pub const CLIENT_NO_INSTANCE_TOTAL: &str = "gray_client_no_instance_total";
/// Counter, labels `from`, `to`, `fit`: requests that a service got, by caller (`order-app@V1`), and whether this instance
/// was what their lane or tag wants: `hit`, `fallback`, `wrong`, `leak` (an ordinary request on an instance that is not
/// for those), `untagged`.
pub const EDGE_REQUESTS_TOTAL: &str = "gray_edge_requests_total";
/// Counter, label `reason`: requests whose tag was not signed as it has to be (`unsigned`, `forged`, `expired`).
pub const BAD_SIGNATURE_TOTAL: &str = "gray_bad_signature_total";
/// Counter, labels [`SERVICE`] and `status` (`1xx` to `5xx`): requests that a service answered, health checks left out.
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
pub fn describe_metrics() {
    use metrics::{Unit::Count, Unit::Seconds, describe_counter, describe_gauge};
    describe_counter!(
        FALLBACK_TOTAL,
        Count,
        "Calls served by the fallback: no instance of the wanted version was alive"
    );
    describe_counter!(EDGE_REQUESTS_TOTAL, Count, "Requests by caller, and whether this instance was meant for them");
    describe_counter!(BAD_SIGNATURE_TOTAL, Count, "Requests whose tag was not signed as it has to be");
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

/// Sends logs to standard error, filtered as `RUST_LOG` does it: `info`, `info,gray_common=debug`.
///
/// The Nacos client is silent unless the filter names it (`nacos_sdk=warn`): what it reports as errors at every start
/// and reconnect is none, and we log the state of the connection ourselves. Below `warn` it never logs, whatever the
/// filter says: its debug logs contain passwords.
pub fn init(filter: &str) -> Result<(), TelemetryError> {
    let filter = parse(filter)?;
    let lines = fmt::layer()
        .with_writer(|| Bounded(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .with_filter(filter_fn(|metadata| may_log(metadata.target(), *metadata.level())));
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| TelemetryError::AlreadySet)
}

/// Cuts lines that are too long: what comes from outside is bounded where it comes in, this is for the rest.
struct Bounded<W>(W);

/// Longest line of the log, in bytes.
const MAX_LINE: usize = 32 * 1024;
const CUT: &[u8] = b"...\n";

impl<W: Write> Write for Bounded<W> {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(kept) = line.get(..MAX_LINE - CUT.len()).filter(|_| line.len() > MAX_LINE) else {
            return self.0.write_all(line).map(|()| line.len());
        };
        // Not in the middle of a character.
        let text = kept.utf8_chunks().next().map_or(kept, |chunk| chunk.valid().as_bytes());
        self.0.write_all(&[text, CUT].concat()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What is logged where the filter does not say.
const DEFAULT: &str = "info";

/// A filter with a default: one that only names modules, rightly or not, would otherwise silence everything else.
fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = |reason: String| TelemetryError::Filter { filter: filter.to_owned(), reason };
    let parts: Vec<_> = filter.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        if part.split('[').next().unwrap_or_default().contains(char::is_whitespace) {
            return Err(wrong(format!("`{part}` has a space in it; a comma stands between two parts")));
        }
        // A lone word that is not a level is taken for a module, of which everything is logged, and of others nothing.
        if !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err() {
            return Err(wrong(format!(
                "`{part}` is not a level: off, error, warn, info, debug or trace; for a module write `{part}=debug`"
            )));
        }
    }
    let has_default = parts.iter().any(|part| part.parse::<LevelFilter>().is_ok());
    let default = if has_default { None } else { Some(DEFAULT) };
    let quiet = (!filter.contains("nacos_sdk")).then_some("nacos_sdk=off");
    let whole = default.into_iter().chain(parts).chain(quiet).collect::<Vec<_>>().join(",");
    EnvFilter::builder().parse(whole).map_err(|source| wrong(source.to_string()))
}

fn may_log(target: &str, level: tracing::Level) -> bool {
    !target.starts_with("nacos_sdk") || level <= tracing::Level::WARN
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// Not a filter.
    #[error("not a log filter: `{filter}` ({reason}); write for example `info` or `info,gray_common=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody was faster.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_line_has_an_end() {
        let written = |text: &str| {
            let mut out = Bounded(Vec::new());
            out.write_all(text.as_bytes()).expect("written");
            String::from_utf8(out.0).expect("text")
        };
        let fits = format!("{}\n", "x".repeat(MAX_LINE - 1));
        assert_eq!(written(&fits), fits);
        for filler in ["x", "州"] {
            let long = written(&format!("{}\n", filler.repeat(MAX_LINE)));
            assert!(long.len() <= MAX_LINE && long.len() > MAX_LINE - 16 && long.ends_with("...\n"), "{}", long.len());
        }
    }

    #[test]
    fn filters_are_checked() {
        for filter in
            ["info", "", "warn,gray_common=trace", "off", "INFO", " info , gray_common=debug ", "gray[x]=debug"]
        {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let error = parse("info,gray_common=loud").expect_err("not a level").to_string();
        assert!(error.contains("info,gray_common=loud") && error.contains("write for example"), "{error}");
        for filter in ["inof", "info,gray_common", "warning"] {
            let error = parse(filter).expect_err(filter).to_string();
            assert!(error.contains("is not a level: off, error, warn, info, debug or trace"), "{error}");
        }
        let error = parse("info gray_common=debug").expect_err("two parts").to_string();
        assert!(error.contains("a comma stands between"), "{error}");
    }

    #[test]
    fn what_a_filter_does_not_name_is_logged_at_info() {
        for (filter, expect) in [
            ("", LevelFilter::INFO),
            ("grey_comon=error", LevelFilter::INFO),
            ("error,gray_common=error", LevelFilter::ERROR),
            ("off", LevelFilter::OFF),
        ] {
            let most = parse(filter).expect(filter).max_level_hint();
            assert_eq!(most, Some(expect), "{filter}");
        }
    }

    #[test]
    fn the_nacos_client_stays_at_warn() {
        for (target, level, expect) in [
            ("nacos_sdk::common", Level::DEBUG, false),
            ("nacos_sdk", Level::INFO, false),
            ("nacos_sdk::naming", Level::WARN, true),
            ("gray_common::registry", Level::TRACE, true),
        ] {
            assert_eq!(may_log(target, level), expect, "{target} {level}");
        }
    }
}
