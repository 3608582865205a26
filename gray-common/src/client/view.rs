//! One service as its callers see it: candidates, version policy, strategy.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    balance::{Strategy, VersionPolicy},
    instance::{Instance, InstanceSet},
    registry::ServiceState,
    settings::{GraySettings, SettingsState},
};

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
pub struct ViewSnapshot {
    /// Whether the registry has answered at all, or the settings have static instances.
    pub known: bool,
    /// The candidates.
    pub instances: Arc<InstanceSet>,
    /// How a tag becomes a version.
    pub policy: VersionPolicy,
    /// How one of the selected instances is picked.
    pub strategy: Strategy,
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
    pub fn follow(
        service: &str,
        mut instances: watch::Receiver<ServiceState>,
        mut settings: watch::Receiver<SettingsState<GraySettings>>,
    ) -> Self {
        let name: Arc<str> = service.into();
        let mut listed = None;
        let first = next(&name, &ViewSnapshot::default(), &mut listed, &mut instances, &mut settings);
        let (known_sender, known) = watch::channel(first.known);
        let current = Arc::new(ArcSwap::from_pointee(first));
        let (service, shared) = (Arc::clone(&name), Arc::clone(&current));
        let task = tokio::spawn(async move {
            // Ends when both sides are gone; the last snapshot stays in use.
            while changed(&mut instances, &mut settings).await {
                let snapshot = next(&service, &shared.load(), &mut listed, &mut instances, &mut settings);
                log_change(&service, &shared.load(), &snapshot);
                known_sender.send_if_modified(|known| std::mem::replace(known, snapshot.known) != snapshot.known);
                shared.store(Arc::new(snapshot));
            }
            // A receiver must not take a dropped sender for a registry that never answers.
            known_sender.closed().await;
        });
        Self { service: name, current, known, _task: Some(Arc::new(AbortOnDrop(task.abort_handle()))) }
    }

    /// A view that never changes: a fixed list of instances, or a test.
    pub fn fixed(service: &str, instances: &[Instance], policy: VersionPolicy, strategy: Strategy) -> Self {
        let instances = Arc::new(InstanceSet::new(instances, None));
        let snapshot = ViewSnapshot { known: true, instances, policy, strategy };
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

/// Waits for news; `false` when no more can come.
async fn changed(
    instances: &mut watch::Receiver<ServiceState>,
    settings: &mut watch::Receiver<SettingsState<GraySettings>>,
) -> bool {
    tokio::select! {
        Ok(()) = instances.changed() => true,
        Ok(()) = settings.changed() => true,
        else => false,
    }
}

/// The snapshot after `previous`; `listed` keeps what the registry said last.
fn next(
    service: &str,
    previous: &ViewSnapshot,
    listed: &mut ServiceState,
    instances: &mut watch::Receiver<ServiceState>,
    settings: &mut watch::Receiver<SettingsState<GraySettings>>,
) -> ViewSnapshot {
    let mut snapshot = previous.clone();
    // "Not answered" after an answer is a lost connection, not a lost service: what was known stays.
    if let Some(list) = instances.borrow_and_update().as_ref() {
        *listed = Some(Arc::clone(list));
    }
    let settings = settings.borrow_and_update().current.clone().unwrap_or_default();
    snapshot.policy = settings.policy.clone();
    snapshot.strategy = settings.strategy(service);
    let candidates = settings.candidates(service, listed.as_deref());
    snapshot.known = candidates.is_some();
    let candidates = candidates.unwrap_or_default();
    if candidates != snapshot.instances.known() {
        snapshot.instances = Arc::new(InstanceSet::new(&candidates, Some(&previous.instances)));
    }
    snapshot
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
