//! `/metrics`: the workers' own counters, brought into the `metrics` facade on every scrape.

use std::sync::{Mutex, PoisonError};

use axum::{extract::State, http::header, response::IntoResponse};
use gray_common::{descriptors, telemetry};
use gray_core::{GrayStatus, balance::Reason, breaker::Phase};
use gray_live::clock::uptime_ms;
use gray_rules::Severity;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use super::{Admin, answer::REFUSED_TOTAL, lint::findings, series};
use crate::{
    egress::LaneSource,
    proxy::{FallbackKind, Fault, Refusal},
    rates::Missed,
    snapshot::Snapshot,
};

/// Installs the process-wide recorder; a second gateway of the same process gets it as well.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder()?;
    *installed = Some(handle.clone());
    describe_counter!("gray_gateway_requests_total", Unit::Count, "Requests answered, by status class");
    describe_counter!("gray_gateway_decisions_total", Unit::Count, "Requests decided, by tag");
    describe_counter!(
        "gray_gateway_tag_only_total",
        Unit::Count,
        "Requests on lanes that the header gray cannot say, to instances that may know nothing else"
    );
    describe_counter!(
        "gray_gateway_baggage_dropped_total",
        Unit::Count,
        "Members of clients' W3C Baggage that were not passed on, by reason"
    );
    describe_counter!(
        "gray_gateway_baggage_unwritten_total",
        Unit::Count,
        "Requests whose lane was too long for W3C Baggage"
    );
    describe_counter!("gray_gateway_fallbacks_total", Unit::Count, "Gray requests served by the fallback");
    describe_counter!("gray_gateway_no_instance_total", Unit::Count, "Requests that no instance could serve");
    describe_counter!("gray_gateway_no_route_total", Unit::Count, "Requests that no route matched");
    describe_counter!("gray_gateway_connect_failures_total", Unit::Count, "Connections to instances that failed");
    describe_counter!(
        "gray_gateway_upstream_failures_total",
        Unit::Count,
        "Attempts at instances that failed, by reason"
    );
    describe_counter!("gray_gateway_retries_total", Unit::Count, "Requests moved to another instance");
    describe_counter!("gray_gateway_repeats_total", Unit::Count, "Requests sent again after a connection broke");
    describe_counter!("gray_gateway_repeats_refused_total", Unit::Count, "Requests not sent again: budget spent");
    describe_counter!("gray_gateway_hedges_total", Unit::Count, "Requests sent to a second instance as well");
    describe_counter!(
        "gray_gateway_circuit_breaker_refused_total",
        Unit::Count,
        "Requests for which no instance was asked: the circuit breaker was open"
    );
    describe_counter!(
        "gray_gateway_circuit_breaker_changes_total",
        Unit::Count,
        "Changes of circuit breakers, by the state they changed to"
    );
    describe_counter!(
        "gray_gateway_circuit_breaker_fallbacks_total",
        Unit::Count,
        "Failed requests that a fallback was to answer, by what answered"
    );
    describe_counter!("gray_gateway_shed_total", Unit::Count, "Requests turned away: too many in flight");
    describe_counter!("gray_gateway_ejections_total", Unit::Count, "Ejections of instances, by reason");
    describe_counter!("gray_gateway_refused_total", Unit::Count, "Requests and connections turned away, by reason");
    describe_counter!(
        "gray_gateway_shared_rates_missed_total",
        Unit::Count,
        "Requests that Redis has not counted, by reason"
    );
    describe_counter!("gray_egress_lanes_total", Unit::Count, "Requests of an egress, by where their lane is from");
    describe_gauge!("gray_egress_addresses", Unit::Count, "Addresses of instances that an egress knows");
    describe_gauge!("gray_gateway_redis_connections", Unit::Count, "Workers that are connected to the Redis of rates");
    describe_gauge!("gray_gateway_in_flight", Unit::Count, "Requests in flight");
    describe_gauge!("gray_gateway_connections", Unit::Count, "Client connections open");
    describe_gauge!(
        "gray_gateway_upstream_connections",
        Unit::Count,
        "Connections to instances open, idle ones included"
    );
    descriptors::describe();
    describe_gauge!("gray_gateway_buffer_bytes", Unit::Bytes, "Buffers that requests hold while they wait");
    describe_gauge!("gray_gateway_config_revision", Unit::Count, "Configurations applied since the start");
    describe_gauge!("gray_gateway_certificate_refused", Unit::Count, "1 while a newer certificate file is refused");
    describe_counter!(
        "gray_gateway_key_fetches_total",
        Unit::Count,
        "Times that keys of tokens were fetched, by outcome"
    );
    describe_gauge!("gray_gateway_keys_missing", Unit::Count, "Servers whose keys of tokens are not known");
    describe_gauge!("gray_gateway_keys_age_seconds", Unit::Seconds, "Since the oldest keys of tokens were fetched");
    describe_gauge!("gray_gateway_config_refused", Unit::Count, "1 while the newest configuration is refused");
    describe_gauge!("gray_gateway_lint_findings", Unit::Count, "Likely mistakes in the rules, by severity");
    describe_gauge!("gray_gateway_replay_records", Unit::Count, "Requests of which facts are kept for replays");
    describe_counter!("gray_gateway_replay_recorded_total", Unit::Count, "Requests kept for replays");
    describe_counter!("gray_gateway_replay_dropped_total", Unit::Count, "Requests that were to be kept and were not");
    describe_counter!(
        "gray_gateway_access_log_dropped_total",
        Unit::Count,
        "Lines missing in the access log, by reason"
    );
    describe_gauge!("gray_gateway_snapshot_in_use", Unit::Count, "Lists and documents in use from disk");
    describe_gauge!("gray_gateway_snapshot_age_seconds", Unit::Seconds, "Age of the oldest of them");
    describe_counter!("gray_gateway_snapshot_failures_total", Unit::Count, "Snapshots not written or not readable");
    describe_counter!(
        gray_nacos::telemetry::RELAY_REFUSED_TOTAL,
        Unit::Count,
        "Connections of other users of the machine to our way to Nacos"
    );
    describe_gauge!(
        "gray_gateway_source_age_seconds",
        Unit::Seconds,
        "Since the registry, or the source of the settings, was last known to answer"
    );
    describe_counter!(REFUSED_TOTAL, Unit::Count, "Requests to the admin side turned away, by reason");
    describe_gauge!("gray_gateway_ready", Unit::Count, "1 while /readyz answers 200");
    telemetry::record_build();
    Ok(handle)
}

/// Brings the counters up to date and renders everything.
pub(super) async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    record(&admin);
    let text = admin.recorder.render() + &series::render(&admin.snapshot.load());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn record(admin: &Admin) {
    let stats = admin.stats.snapshot();
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(stats.responses) {
        counter!("gray_gateway_requests_total", "status" => class).absolute(count);
    }
    for (status, count) in GrayStatus::ALL.into_iter().zip(stats.decisions) {
        counter!("gray_gateway_decisions_total", "tag" => status.as_str()).absolute(count);
    }
    for (reason, count) in Reason::ALL.into_iter().zip(stats.ejections) {
        counter!("gray_gateway_ejections_total", "reason" => reason.as_str()).absolute(count);
    }
    counter!("gray_gateway_repeats_total").absolute(stats.repeats);
    counter!("gray_gateway_repeats_refused_total").absolute(stats.repeats_refused);
    counter!("gray_gateway_hedges_total").absolute(stats.hedges);
    counter!("gray_gateway_circuit_breaker_refused_total").absolute(stats.breaker_refused);
    for (state, count) in Phase::ALL.into_iter().zip(stats.breaker_changes) {
        counter!("gray_gateway_circuit_breaker_changes_total", "state" => state.as_str()).absolute(count);
    }
    for (kind, count) in FallbackKind::ALL.into_iter().zip(stats.breaker_fallbacks) {
        counter!("gray_gateway_circuit_breaker_fallbacks_total", "by" => kind.as_str()).absolute(count);
    }
    counter!("gray_gateway_shed_total").absolute(stats.shed);
    counter!("gray_gateway_fallbacks_total").absolute(stats.fallbacks);
    counter!("gray_gateway_tag_only_total").absolute(stats.tag_only);
    for (reason, count) in ["forged", "malformed", "limit"].into_iter().zip(stats.baggage_dropped) {
        counter!("gray_gateway_baggage_dropped_total", "reason" => reason).absolute(count);
    }
    counter!("gray_gateway_baggage_unwritten_total").absolute(stats.baggage_unwritten);
    counter!("gray_gateway_no_instance_total").absolute(stats.no_instance);
    counter!("gray_gateway_no_route_total").absolute(stats.no_route);
    for (why, count) in Refusal::ALL.into_iter().zip(stats.refused) {
        counter!("gray_gateway_refused_total", "reason" => why.as_str()).absolute(count);
    }
    for (why, count) in Missed::ALL.into_iter().zip(stats.rates_missed) {
        counter!("gray_gateway_shared_rates_missed_total", "reason" => why.as_str()).absolute(count);
    }
    if let Some(egress) = &admin.snapshot.load().egress {
        gauge!("gray_egress_addresses").set(egress.len().1 as f64);
        for (source, count) in LaneSource::ALL.into_iter().zip(stats.lanes) {
            counter!("gray_egress_lanes_total", "source" => source.as_str()).absolute(count);
        }
    }
    gauge!("gray_gateway_redis_connections").set(stats.redis_connections as f64);
    counter!("gray_gateway_connect_failures_total").absolute(stats.connect_failures());
    for (fault, count) in Fault::ALL.into_iter().zip(stats.faults) {
        counter!("gray_gateway_upstream_failures_total", "reason" => fault.as_str()).absolute(count);
    }
    counter!("gray_gateway_retries_total").absolute(stats.retries);
    gauge!("gray_gateway_in_flight").set(stats.in_flight as f64);
    gauge!("gray_gateway_connections").set(stats.connections as f64);
    gauge!("gray_gateway_upstream_connections").set(stats.upstream_connections as f64);
    descriptors::record();
    gauge!("gray_gateway_buffer_bytes").set(stats.held_bytes as f64);
    gauge!("gray_gateway_ready").set(if admin.readiness.report().is_ready() { 1.0 } else { 0.0 });
    for (whose, age) in admin.readiness.ages() {
        gauge!("gray_gateway_source_age_seconds", "of" => whose).set(age as f64);
    }
    if let Some(disk) = &admin.disk {
        let status = disk.status();
        gauge!("gray_gateway_snapshot_in_use").set(status.in_use.len() as f64);
        gauge!("gray_gateway_snapshot_age_seconds").set(status.age_secs().unwrap_or_default() as f64);
        counter!("gray_gateway_snapshot_failures_total").absolute(status.failures);
    }
    counter!("gray_gateway_replay_recorded_total").absolute(stats.recorded);
    counter!("gray_gateway_replay_dropped_total").absolute(stats.unrecorded);
    gauge!("gray_gateway_replay_records").set(admin.records.as_ref().map_or(0, |records| records.len()) as f64);
    for (reason, count) in [("queue_full", stats.log_dropped), ("write_failed", stats.log_failed)] {
        counter!("gray_gateway_access_log_dropped_total", "reason" => reason).absolute(count);
    }
    record_keys(&admin.snapshot.load());
    let findings = findings(&admin.snapshot.load());
    for severity in Severity::ALL {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        gauge!("gray_gateway_lint_findings", "severity" => severity.as_str()).set(count as f64);
    }
    let settings = admin.settings.borrow();
    gauge!("gray_gateway_config_revision").set(settings.revision as f64);
    gauge!("gray_gateway_config_refused").set(if settings.refused.is_some() { 1.0 } else { 0.0 });
}

fn record_keys(snapshot: &Snapshot) {
    let reports = snapshot.keys.reports();
    let missing = reports.values().filter(|report| report.set.is_none()).count();
    let oldest = reports.values().filter_map(|report| report.fetched_ms).min();
    let age = oldest.map_or(0, |fetched| uptime_ms().saturating_sub(fetched) / 1_000);
    gauge!("gray_gateway_keys_missing").set(missing as f64);
    gauge!("gray_gateway_keys_age_seconds").set(age as f64);
}
