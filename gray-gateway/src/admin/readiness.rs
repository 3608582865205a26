//! When a gateway may be sent requests, and what is wrong when it serves all the same.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use gray_common::{
    control::ControlPlane,
    service::{Needs, Phase, Readiness, Registration, RegistrationState},
};
use gray_live::SettingsState;
use gray_registry::{Health, unix_seconds};
use tokio::{sync::watch, time::Instant};

use crate::{config::GatewayConfig, control::Warmth, snapshot::Snapshot};

/// What a gateway is told of.
pub(crate) struct Sources<'s> {
    pub(crate) control: &'s ControlPlane,
    pub(crate) settings: watch::Receiver<SettingsState<GatewayConfig>>,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) warmth: watch::Receiver<Warmth>,
    pub(crate) registration: watch::Receiver<RegistrationState>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether routes have to be stated: not for an egress.
    pub(crate) needs_routes: bool,
}

/// How long after the first service the others may be known, where the registry is away and all come from disk. One that is on no
/// disk is not waited for any longer.
const OTHERS: Duration = Duration::from_secs(2);

/// Before it has served: settings with routes, an instance to send requests to, and its own registration. A gateway
/// that may not register serves: who calls it knows its address, as with a registry away and a snapshot on disk.
pub(crate) fn readiness(sources: Sources<'_>) -> Readiness {
    let Sources { control, settings, snapshot, warmth, registration, phase, needs_routes } = sources;
    let (registry, config) = (control.registry.health(), control.config.health());
    let phase = {
        let registration = registration.clone();
        move || phase.borrow().with(&registration.borrow())
    };
    let refused = {
        let settings = settings.clone();
        move || settings.borrow().refused.as_ref().map(ToString::to_string)
    };
    let no_settings = {
        let config = config.clone();
        move || why_no_settings(&settings.borrow(), &config.borrow(), needs_routes)
    };
    let nobody = {
        let (registry, first) = (registry.clone(), OnceLock::new());
        move || {
            let Health::Down(reason) = &*registry.borrow() else { return None };
            let missing = missing(&snapshot.load(), *warmth.borrow(), &first)?;
            Some(format!("{missing}: {reason}"))
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

/// Why the first requests would be 503, while the registry is away. `first`: when instances of any service were first seen.
fn missing(snapshot: &Snapshot, warmth: Warmth, first: &OnceLock<Instant>) -> Option<&'static str> {
    if snapshot.services.values().all(|known| known.set.known().is_empty()) {
        return Some("no instances known yet");
    }
    let is_early = first.get_or_init(Instant::now).elapsed() < OTHERS;
    (is_early && warmth < Warmth::Warm).then_some("not all services known yet")
}

fn why_no_settings(settings: &SettingsState<GatewayConfig>, source: &Health, needs_routes: bool) -> Option<String> {
    let Some(config) = &settings.current else {
        return Some(match (&settings.refused, source) {
            (Some(refused), _) => format!("the configuration was refused: {refused}"),
            (None, Health::Down(reason)) => format!("no configuration yet: {reason}"),
            (None, Health::Up) => "no configuration yet".into(),
        });
    };
    (needs_routes && !config.routes.is_stated())
        .then(|| "the configuration has no routes: is gateway-app.yaml published in this namespace?".into())
}

#[cfg(test)]
mod tests {
    use gray_core::{Instance, InstanceSet};
    use gray_document::Documents;

    use super::*;
    use crate::snapshot::ServiceSnapshot;

    /// With the registry away, services come from disk one after the other: the first is not enough, but one that is nowhere is
    /// not waited for.
    #[tokio::test(start_paused = true)]
    async fn the_first_service_from_disk_is_not_enough() {
        let with = |instances: &[Instance]| {
            let service = |name: &str, instances: &[Instance]| {
                let set = Arc::new(InstanceSet::new(instances, None));
                (name.into(), Arc::new(ServiceSnapshot { set, ..ServiceSnapshot::default() }))
            };
            let services = [service("a", &[]), service("b", instances)].into_iter().collect();
            Snapshot { services: Arc::new(services), ..Snapshot::empty() }
        };
        let (none, one) = (with(&[]), with(&[Instance::new("10.0.0.1", 1)]));
        let first = OnceLock::new();
        assert_eq!(missing(&none, Warmth::Cold, &first), Some("no instances known yet"));
        tokio::time::advance(10 * OTHERS).await;
        assert_eq!(
            missing(&one, Warmth::Cold, &first),
            Some("not all services known yet"),
            "the others get their time"
        );
        assert_eq!(missing(&one, Warmth::Warm, &first), None);
        tokio::time::advance(OTHERS).await;
        assert_eq!(missing(&one, Warmth::Cold, &first), None, "one is not waited for");
        assert_eq!(missing(&none, Warmth::Cold, &first), Some("no instances known yet"));
    }

    #[test]
    fn no_routes_are_enough_where_a_document_says_so() {
        for (text, is_enough) in
            [("spring.cloud.gateway.routes: []", true), ("spring.cloud.gateway: {}", false), ("", false)]
        {
            let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
            let settings = SettingsState::of(GatewayConfig::read(&documents, "kerwin.tool.gray"), 1);
            assert_eq!(why_no_settings(&settings, &Health::Up, true).is_none(), is_enough, "{text}");
            assert_eq!(why_no_settings(&settings, &Health::Up, false), None, "{text}");
        }
    }
}
