//! What the admin side looks at.

use std::sync::Arc;

use arc_swap::ArcSwap;
use gray_common::service::Readiness;
use gray_document::Reading;
use gray_live::SettingsState;
use gray_registry::{ConfigSource, Health, disk::DiskStore};
use gray_settings::Caller;
use tokio::sync::watch;

use super::{gate::Gate, judge::Judge};
use crate::{
    config::GatewayConfig,
    proxy::{Limits, Stats},
    record::RecordBuffer,
    snapshot::Snapshot,
    tls::Refused,
};

/// What the admin side looks at.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The snapshot in use.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The settings in use, and what was refused.
    pub settings: watch::Receiver<SettingsState<GatewayConfig>>,
    /// How the documents in effect were read.
    pub reading: Arc<Reading>,
    /// Whether the registry answers.
    pub registry: watch::Receiver<Health>,
    /// Where the documents come from.
    pub config: Arc<dyn ConfigSource>,
    /// Certificates that were replaced by bad ones.
    pub refused_files: Refused,
    /// Whether requests may come here.
    pub readiness: Readiness,
    /// Where instances and documents are kept for a start without Nacos, if they are.
    pub disk: Option<Arc<DiskStore>>,
    /// The counters of all workers.
    pub stats: Arc<Stats>,
    /// Renders what was recorded through the `metrics` facade.
    pub recorder: metrics_exporter_prometheus::PrometheusHandle,
    /// Who may ask for more than probes and metrics, and by which name.
    pub gate: Gate,
    /// Facts of the last requests; `None`: none are kept.
    pub records: Option<Arc<RecordBuffer>>,
    /// Prefix of the gray settings.
    pub prefix: Arc<str>,
    /// What the gateway is for the instances that it calls.
    pub caller: Caller,
    /// What clients may use.
    pub limits: Limits,
    /// Judges documents that are not in effect.
    pub judge: Judge,
}
