//! `/metrics` of a service: one recorder for the whole process, and what the service shows of itself on every scrape.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, FORWARDED},
};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use super::{Readiness, health::Traffic};
use crate::{
    settings::{GraySettings, SettingsState},
    telemetry::{
        self, SERVICE, SERVICE_AGE, SERVICE_IN_FLIGHT, SERVICE_READY, SERVICE_REQUESTS_TOTAL, SETTINGS_REFUSED,
    },
};

/// The process's recorder, installed on the first call; `None` when the program has installed another one before. It
/// records what we count then, and where that is shown is the program's business.
pub(super) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let recorder = RECORDER.get_or_init(|| {
        install()
            .inspect_err(|error| tracing::info!(%error, "metrics go to the program's own recorder: no /metrics here"))
            .ok()
    });
    recorder.as_ref()
}

// Without histograms there is nothing to keep up between scrapes.
fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    telemetry::describe_metrics();
    Ok(handle)
}

/// What one service shows.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) service: Arc<str>,
    pub(super) recorder: &'static PrometheusHandle,
    pub(super) traffic: Arc<Traffic>,
    pub(super) readiness: Readiness,
    pub(super) settings: watch::Receiver<SettingsState<GraySettings>>,
}

impl Metrics {
    /// Brings into the recorder what is kept elsewhere.
    fn record(&self) {
        let service = || self.service.to_string();
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.traffic.responses()) {
            counter!(SERVICE_REQUESTS_TOTAL, SERVICE => service(), "status" => class).absolute(count);
        }
        let truth = |truth| if truth { 1.0 } else { 0.0 };
        gauge!(SERVICE_IN_FLIGHT, SERVICE => service()).set(self.traffic.in_flight() as f64);
        gauge!(SERVICE_READY, SERVICE => service()).set(truth(self.readiness.report().is_ready()));
        let settings = self.settings.borrow();
        gauge!(telemetry::SETTINGS_REVISION, SERVICE => service()).set(settings.revision as f64);
        for (whose, age) in self.readiness.ages() {
            gauge!(SERVICE_AGE, SERVICE => service(), "of" => whose).set(age as f64);
        }
        gauge!(SETTINGS_REFUSED, SERVICE => service()).set(truth(settings.refused.is_some()));
    }
}

/// Prometheus' text format. It is for those who ask directly: a route of the gateway that leads to this service must not
/// show it to the world, so a request that came through a proxy finds nothing here.
pub(super) async fn render(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    if headers.contains_key("x-forwarded-for") || headers.contains_key(FORWARDED) {
        return StatusCode::NOT_FOUND.into_response();
    }
    metrics.record();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.recorder.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_recorder_for_the_process() {
        let first = recorder().expect("nobody else installs one in these tests");
        assert!(install().is_err(), "there is one already");
        assert!(std::ptr::eq(first, recorder().expect("it stays")));
    }
}
