//! One service as its callers see it: candidates, version policy, strategy.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use gray_core::{
    balance::{OutlierPolicy, Strategy, VersionPolicy},
    instance::{Instance, InstanceSet},
};
use gray_registry::Registry;
use gray_settings::{Caller, GraySettings, Signing};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use crate::{SettingsState, follow::ServiceFollower};

/// Follows one service and keeps an immutable [`ViewSnapshot`] of it ready for requests. Cheap to clone; the following
/// ends with the last clone.
#[derive(Clone, Debug)]
pub struct ServiceView {
    service: Arc<str>,
    current: Arc<ArcSwap<ViewSnapshot>>,
    known: watch::Receiver<bool>,
    _task: Option<Arc<AbortOnDrop>>,
}

/// Everything a call needs to know of the service it calls.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ViewSnapshot {
    /// Whether the registry has answered at all, or the settings have static instances.
    pub known: bool,
    /// The candidates.
    pub instances: Arc<InstanceSet>,
    /// How a tag becomes a version.
    pub policy: VersionPolicy,
    /// How one of the selected instances is picked.
    pub strategy: Strategy,
    /// When instances are ejected.
    pub outliers: OutlierPolicy,
    /// Whether tags are signed; `None` = they are not.
    pub signing: Option<Signing>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ServiceView {
    /// A view that follows registry and settings. Must be called within a tokio runtime; returns at once. As long as
    /// no settings are known gray release counts as switched off, as in the Java starter.
    #[expect(clippy::disallowed_methods, reason = "a control task, not part of any request")]
    ///
    /// `caller` is who calls: what it may not call is no candidate.
    pub fn follow(
        registry: Arc<dyn Registry>,
        caller: Caller,
        service: &str,
        mut settings: watch::Receiver<SettingsState<GraySettings>>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let mut follower = ServiceFollower::new(registry, caller, service, Arc::clone(&changed));
        let service: Arc<str> = service.into();
        let first = next(&service, &mut follower, &mut settings);
        let (known_sender, known) = watch::channel(first.known);
        let current = Arc::new(ArcSwap::from_pointee(first));
        let (name, shared) = (Arc::clone(&service), Arc::clone(&current));
        let task = tokio::spawn(async move {
            let mut settings_live = true;
            loop {
                tokio::select! {
                    () = changed.notified() => {}
                    // Without settings to come the last ones stay, and instances still change.
                    news = settings.changed(), if settings_live => settings_live = news.is_ok(),
                }
                let snapshot = next(&name, &mut follower, &mut settings);
                log_change(&name, &shared.load(), &snapshot);
                known_sender.send_if_modified(|known| std::mem::replace(known, snapshot.known) != snapshot.known);
                shared.store(Arc::new(snapshot));
            }
        });
        Self { service, current, known, _task: Some(Arc::new(AbortOnDrop(task.abort_handle()))) }
    }

    /// A view that never changes: a fixed list of instances, or a test.
    pub fn fixed(service: &str, instances: &[Instance], policy: VersionPolicy, strategy: Strategy) -> Self {
        let instances = Arc::new(InstanceSet::new(instances, None));
        let outliers = OutlierPolicy::default();
        let snapshot = ViewSnapshot { known: true, instances, policy, strategy, outliers, signing: None };
        Self {
            service: service.into(),
            current: Arc::new(ArcSwap::from_pointee(snapshot)),
            known: watch::channel(true).1,
            _task: None,
        }
    }

    /// Name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The newest snapshot; lock-free.
    pub fn load(&self) -> Guard<Arc<ViewSnapshot>> {
        self.current.load()
    }

    /// Whether anything is known of this service: the registry has answered, maybe with an empty list, or the settings
    /// have static instances.
    pub fn known(&self) -> watch::Receiver<bool> {
        self.known.clone()
    }
}

fn next(
    service: &str,
    follower: &mut ServiceFollower,
    settings: &mut watch::Receiver<SettingsState<GraySettings>>,
) -> ViewSnapshot {
    let settings = settings.borrow_and_update().current.clone().unwrap_or_default();
    follower.update(&settings);
    ViewSnapshot {
        known: follower.is_known(),
        instances: Arc::clone(follower.set()),
        policy: settings.policy.clone(),
        strategy: settings.strategy(service),
        outliers: settings.mesh.outliers,
        signing: settings.mesh.signing.clone(),
    }
}

fn log_change(service: &str, old: &ViewSnapshot, new: &ViewSnapshot) {
    if !Arc::ptr_eq(&old.instances, &new.instances) || old.known != new.known {
        let instances: Vec<_> = new
            .instances
            .all()
            .endpoints()
            .iter()
            .map(|endpoint| format!("{} {}", endpoint.authority(), endpoint.version().unwrap_or("-")))
            .collect();
        tracing::info!(service, ?instances, "instances changed");
    }
    if old.strategy != new.strategy {
        tracing::info!(service, strategy = %new.strategy, "strategy changed");
    }
}
