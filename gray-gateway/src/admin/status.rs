//! `/status`: what the gateway runs with, and how its instances are.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use gray_common::release;
use gray_core::ServiceKey;
use gray_live::clock::uptime_ms;
use gray_registry::{ConfigSource, Health, config_source::GrayPublish, disk::DiskStatus, unix_seconds};
use gray_rules::{KeySet, Switch};
use gray_settings::AdmissionRules;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Admin, answer::fresh, lint};
use crate::snapshot::Snapshot;

/// What of it is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// This service alone; with a thousand of them, all are megabytes.
    service: Option<String>,
}

/// All of it.
#[derive(Serialize)]
struct Status<'s> {
    #[serde(flatten)]
    of_gateway: Value,
    services: Services<'s>,
}

/// Services, written one by one: as values, a thousand of them would take more than all else that the gateway knows of them.
struct Services<'s> {
    admin: &'s Admin,
    snapshot: &'s Snapshot,
    rules: Option<&'s AdmissionRules>,
    only: Option<&'s str>,
}

impl Serialize for Services<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_wanted =
            |key: &ServiceKey| self.only.is_none_or(|service| [key.as_str(), key.name()].contains(&service));
        let mut wanted: Vec<_> = self.snapshot.services.iter().filter(|(name, _)| is_wanted(name)).collect();
        wanted.sort_unstable_by_key(|(key, _)| *key);
        let status = |key: &ServiceKey, known| self.admin.service_status(key.name(), known, self.rules);
        serializer.collect_map(wanted.into_iter().map(|(key, known)| (key.as_str(), status(key, known))))
    }
}

pub(super) async fn show(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let snapshot = admin.snapshot.load();
    let settings = admin.settings.borrow().clone();
    let rules = settings.current.as_deref().map(|config| &config.gray.mesh.admission);
    let services = Services { admin: &admin, snapshot: &snapshot, rules, only: wanted.service.as_deref() };
    let health = |health: &Health| match health {
        Health::Up => json!("up"),
        Health::Down(reason) => json!({ "down": reason }),
    };
    let routes: Vec<_> = snapshot.routes.routes().iter().map(|route| route.id.to_string()).collect();
    let report = admin.readiness.report();
    let mut status = json!({
        "program": { "name": env!("CARGO_PKG_NAME"), "version": release::version() },
        "mode": if snapshot.egress.is_some() { "egress" } else { "gateway" },
        "registeredAs": admin.caller.to_string(),
        "uptimeSecs": uptime_ms() / 1_000,
        "ready": report.is_ready(),
        "degraded": report.degraded(),
        "phase": admin.readiness.phase().as_str(),
        "gray": match snapshot.rules.switch() {
            _ if snapshot.egress.as_ref().is_some_and(|egress| egress.policy().load) => "on",
            Switch::On => "on",
            Switch::Off => "off",
            Switch::Killed => "killed",
        },
        "revision": settings.revision,
        "refused": settings.refused.as_deref(),
        "settings": settings.current.as_ref().map(|config| &*config.listed),
        "registry": health(&admin.registry.borrow()),
        "config": health(&admin.config.health().borrow()),
        "grayPublish": gray_publish(&*admin.config),
        "keyServers": key_servers(&snapshot),
        "refusedFiles": &*admin.refused_files.borrow(),
        "snapshot": admin.disk_status(),
        "cityData": snapshot.city.is_some(),
        "rulesRevision": snapshot.rules.revision(),
        "rules": rules_of(&snapshot),
        "findings": lint::findings(&snapshot),
        "routes": routes,
        "circuitBreakers": breakers_of(&snapshot),
    });
    if let Some(egress) = &snapshot.egress {
        let (services, addresses) = egress.len();
        status["egress"] = json!({ "service": admin.caller.to_string(), "services": services, "addresses": addresses });
    }
    fresh(Status { of_gateway: status, services }).into_response()
}

/// Documents that this gateway has in a text of its own, and by which address it gets them.
fn gray_publish(source: &dyn ConfigSource) -> Value {
    let GrayPublish { address, documents, .. } = source.gray_publish();
    let documents: Vec<_> = documents.iter().map(|name| &**name).collect();
    json!({ "address": address.as_deref(), "documents": documents })
}

/// The keys of tokens, by the URL that documents name.
fn key_servers(snapshot: &Snapshot) -> serde_json::Map<String, Value> {
    let reports = snapshot.keys.reports().into_iter().map(|(server, report)| {
        let age = report.fetched_ms.map(|fetched| uptime_ms().saturating_sub(fetched) / 1_000);
        let keys = report.set.as_deref();
        let shown = json!({
            "keys": keys.map_or(0, KeySet::len),
            "excluded": keys.map(KeySet::skipped).unwrap_or_default(),
            "ageSecs": age,
            "error": report.error,
        });
        (server.to_string(), shown)
    });
    reports.collect()
}

fn rules_of(snapshot: &Snapshot) -> Vec<Value> {
    let lane = |place: usize| snapshot.rules.lanes()[place].lane().name();
    let rules = snapshot.rules.rules().iter();
    rules.map(|rule| json!({ "name": rule.name, "lane": lane(rule.lane) })).collect()
}

fn breakers_of(snapshot: &Snapshot) -> Vec<Value> {
    let percent = |rate: u32| f64::from(rate) / 100.0;
    let breakers = snapshot.breakers.all().into_iter().map(|live| {
        let (state, counts) = live.breaker.look();
        json!({
            "name": &*live.name,
            "state": state.as_str(),
            "calls": counts.calls,
            "failureRate": percent(counts.failure_rate()),
            "slowCallRate": percent(counts.slow_rate()),
        })
    });
    breakers.collect()
}

impl Admin {
    fn disk_status(&self) -> Value {
        let Some(disk) = &self.disk else { return Value::Null };
        let DiskStatus { in_use, failures, .. } = disk.status();
        let in_use: serde_json::Map<_, _> = in_use
            .into_iter()
            .map(|(name, saved)| (name, json!({ "ageSecs": unix_seconds().saturating_sub(saved) })))
            .collect();
        json!({ "inUse": in_use, "failures": failures })
    }
}
