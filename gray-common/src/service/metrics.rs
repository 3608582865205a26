//! `/metrics` of a service: one recorder for the whole process, and what the service shows of itself on every scrape.

mod recorder;

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use gray_live::SettingsState;
use gray_settings::GraySettings;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, FORWARDED},
};
use metrics::{counter, gauge};
use tokio::sync::watch;

pub(super) use self::recorder::{Recorder, recorder};
use super::{Readiness, health::Traffic};
use crate::{
    descriptors,
    server::Server,
    telemetry::{
        self, SERVICE, SERVICE_AGE, SERVICE_CONNECTIONS, SERVICE_CONNECTIONS_REFUSED_TOTAL, SERVICE_IN_FLIGHT,
        SERVICE_READY, SERVICE_REQUESTS_TOTAL, SETTINGS_REFUSED,
    },
};

/// What one service shows.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) service: Arc<str>,
    pub(super) recorder: &'static Recorder,
    pub(super) traffic: Arc<Traffic>,
    pub(super) readiness: Readiness,
    pub(super) settings: watch::Receiver<SettingsState<GraySettings>>,
    pub(super) server: Server,
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
        gauge!(SERVICE_CONNECTIONS, SERVICE => service()).set(self.server.connections() as f64);
        counter!(SERVICE_CONNECTIONS_REFUSED_TOTAL, SERVICE => service()).absolute(self.server.refused());
        descriptors::record();
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
