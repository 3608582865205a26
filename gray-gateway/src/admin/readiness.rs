//! When a gateway may be sent requests, and what is wrong when it serves all the same.

use std::sync::Arc;

use arc_swap::ArcSwap;
use gray_common::{
    control::ControlPlane,
    service::{Needs, Phase, Readiness, Registration, RegistrationState},
};
use gray_live::SettingsState;
use gray_registry::{Health, unix_seconds};
use tokio::sync::watch;

use crate::{config::GatewayConfig, snapshot::Snapshot};

/// What a gateway is told of.
pub(crate) struct Sources<'s> {
    pub(crate) control: &'s ControlPlane,
    pub(crate) settings: watch::Receiver<SettingsState<GatewayConfig>>,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) registration: watch::Receiver<RegistrationState>,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Before it has served: settings with routes, an instance to send requests to, and its own registration. A gateway
/// that may not register serves: who calls it knows its address, as with a registry away and a snapshot on disk.
pub(crate) fn readiness(sources: Sources<'_>) -> Readiness {
    let Sources { control, settings, snapshot, registration, phase } = sources;
    let (registry, config) = (control.registry.health(), control.config.health());
    let phase = {
        let registration = registration.clone();
        move || phase.borrow().with(&registration.borrow())
    };
    let refused = {
        let settings = settings.clone();
        move || settings.borrow().refused.as_ref().map(|refused| format!("the newest are refused: {refused}"))
    };
    let no_settings = {
        let config = config.clone();
        move || why_no_routes(&settings.borrow(), &config.borrow())
    };
    let nobody = {
        let registry = registry.clone();
        move || match &*registry.borrow() {
            // The first requests would all be 503.
            Health::Down(reason) if snapshot.load().services.values().all(|known| known.set.known().is_empty()) => {
                Some(format!("no instances known yet: {reason}"))
            }
            _ => None,
        }
    };
    let disk = control.disk.clone();
    let from_disk = move || {
        let in_use = disk.as_ref()?.status().in_use;
        let (name, saved) = in_use.iter().min_by_key(|(_, saved)| **saved)?;
        let age = unix_seconds().saturating_sub(*saved);
        Some(format!("{} in use from disk; the oldest, {name}, was last known to be true {age} s ago", in_use.len()))
    };
    let unregistered = {
        let (registration, registry, from_disk) = (registration.clone(), registry.clone(), from_disk.clone());
        move || match (&*registration.borrow(), &*registry.borrow()) {
            (RegistrationState::Refused(_), _) => None,
            (_, Health::Down(_)) if from_disk().is_some() => None,
            _ => Registration::reason(&registration),
        }
    };
    let doubts = control.registry.doubts();
    let unlisted = move || match &*registration.borrow() {
        RegistrationState::Refused(reason) => {
            Some(format!("not registered, callers do not find this gateway: {reason}"))
        }
        _ => doubts.borrow().clone(),
    };
    Needs::new()
        .requires("settings", no_settings)
        .requires("instances", nobody)
        .requires("registration", unregistered)
        .hears("registry", registry)
        .hears("settings", config)
        .notes("settings refused", refused)
        .notes("registration", unlisted)
        .notes("snapshot", from_disk)
        .of(phase)
}

fn why_no_routes(settings: &SettingsState<GatewayConfig>, source: &Health) -> Option<String> {
    let Some(config) = &settings.current else {
        return Some(match (&settings.refused, source) {
            (Some(refused), _) => format!("the configuration was refused: {refused}"),
            (None, Health::Down(reason)) => format!("no configuration yet: {reason}"),
            (None, Health::Up) => "no configuration yet".into(),
        });
    };
    (!config.routes.is_stated())
        .then(|| "the configuration has no routes: is gateway-app.yaml published in this namespace?".into())
}

#[cfg(test)]
mod tests {
    use gray_document::Documents;

    use super::*;

    #[test]
    fn no_routes_are_enough_where_a_document_says_so() {
        for (text, is_enough) in
            [("spring.cloud.gateway.routes: []", true), ("spring.cloud.gateway: {}", false), ("", false)]
        {
            let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
            let config = Arc::new(GatewayConfig::read(&documents, "kerwin.tool.gray"));
            let settings =
                SettingsState { current: Some(config), revision: 1, refused: None, documents: Arc::default() };
            assert_eq!(why_no_routes(&settings, &Health::Up).is_none(), is_enough, "{text}");
        }
    }
}
