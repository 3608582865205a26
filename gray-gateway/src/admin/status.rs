//! `/status`: what the gateway runs with, and how its instances are.

use axum::{extract::State, response::IntoResponse};
use gray_common::release;
use gray_live::clock::uptime_ms;
use gray_registry::{Health, disk::DiskStatus, unix_seconds};
use gray_rules::{KeySet, Switch};
use serde_json::{Value, json};

use super::{Admin, answer::fresh, lint};
use crate::snapshot::Snapshot;

pub(super) async fn show(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshot = admin.snapshot.load();
    let settings = admin.settings.borrow().clone();
    let rules = settings.current.as_deref().map(|config| &config.gray.mesh.admission);
    let services = snapshot.services.iter().map(|(name, known)| {
        let status = admin.service_status(name, known, rules);
        (name.to_string(), status)
    });
    let services: serde_json::Map<String, Value> = services.collect();
    let health = |health: &Health| match health {
        Health::Up => json!("up"),
        Health::Down(reason) => json!({ "down": reason }),
    };
    let routes: Vec<_> = snapshot.routes.routes().iter().map(|route| route.id.to_string()).collect();
    let report = admin.readiness.report();
    fresh(json!({
        "program": { "name": env!("CARGO_PKG_NAME"), "version": release::version() },
        "registeredAs": admin.caller.to_string(),
        "uptimeSecs": uptime_ms() / 1_000,
        "ready": report.is_ready(),
        "degraded": report.degraded(),
        "phase": admin.readiness.phase().as_str(),
        "gray": match snapshot.rules.switch() {
            Switch::On => "on",
            Switch::Off => "off",
            Switch::Killed => "killed",
        },
        "revision": settings.revision,
        "refused": settings.refused.as_deref(),
        "settings": settings.current.as_ref().map(|config| &*config.listed),
        "registry": health(&admin.registry.borrow()),
        "config": health(&admin.config.borrow()),
        "keyServers": key_servers(&snapshot),
        "refusedFiles": &*admin.refused_files.borrow(),
        "snapshot": admin.disk_status(),
        "cityData": snapshot.city.is_some(),
        "rulesRevision": snapshot.rules.revision(),
        "rules": rules_of(&snapshot),
        "findings": lint::findings(&snapshot),
        "routes": routes,
        "circuitBreakers": breakers_of(&snapshot),
        "services": services,
    }))
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
        let DiskStatus { in_use, failures } = disk.status();
        let in_use: serde_json::Map<_, _> = in_use
            .into_iter()
            .map(|(name, saved)| (name, json!({ "ageSecs": unix_seconds().saturating_sub(saved) })))
            .collect();
        json!({ "inUse": in_use, "failures": failures })
    }
}
