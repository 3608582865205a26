//! Follows one service wherever the settings say it may live, and keeps the newest snapshot of its candidates.

mod bound;

pub use bound::{MAX_INSTANCES, MAX_METADATA};

use std::{collections::BTreeMap, sync::Arc};

use bound::LeftOut;
use gray_core::{
    ServiceKey,
    instance::{Admission, Instance, InstanceSet},
};
use gray_registry::{Registry, ServiceState, Space};
use gray_settings::{AdmissionRules, Caller, GraySettings};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use crate::clock::uptime_ms;

/// One service as one caller may use it: registry, other namespaces, static instances; without those that are drained
/// or forbidden to the caller.
#[derive(Debug)]
pub struct ServiceFollower {
    registry: Arc<dyn Registry>,
    caller: Caller,
    service: ServiceKey,
    changed: Arc<Notify>,
    /// Where the service is found as a rule, from the first update on.
    shared: Option<(Option<Space>, Place)>,
    spaces: BTreeMap<Space, Place>,
    admission: AdmissionRules,
    is_versioned: bool,
    set: Arc<InstanceSet>,
    known: bool,
    left_out: LeftOut,
}

/// The service in one place; dropping it ends the following.
#[derive(Debug)]
struct Place {
    state: watch::Receiver<ServiceState>,
    /// What the registry said last. "Not answered" after an answer is a lost connection, not a lost service.
    listed: ServiceState,
    forwarder: AbortHandle,
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "a control task, not part of any request")]
    fn new(state: watch::Receiver<ServiceState>, changed: &Arc<Notify>) -> Self {
        let (mut follower, changed) = (state.clone(), Arc::clone(changed));
        let forwarder = tokio::spawn(async move {
            while follower.changed().await.is_ok() {
                changed.notify_one();
            }
        });
        Self { state, listed: None, forwarder: forwarder.abort_handle() }
    }

    fn update(&mut self) -> Option<&Arc<[Instance]>> {
        if let Some(listed) = self.state.borrow_and_update().as_ref() {
            self.listed = Some(Arc::clone(listed));
        }
        self.listed.as_ref()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl ServiceFollower {
    /// Begins to follow; `changed` is told when there is something to [`update`](Self::update). Must be called within a
    /// tokio runtime.
    pub fn new(registry: Arc<dyn Registry>, caller: Caller, service: &str, changed: Arc<Notify>) -> Self {
        Self::of(registry, caller, service.into(), changed)
    }

    /// The same for a service that may be in a space of its own: then that one alone is meant, whatever else the settings say of
    /// the name, and no static instances.
    pub fn of(registry: Arc<dyn Registry>, caller: Caller, service: ServiceKey, changed: Arc<Notify>) -> Self {
        Self {
            registry,
            caller,
            service,
            changed,
            shared: None,
            spaces: BTreeMap::new(),
            admission: AdmissionRules::default(),
            is_versioned: false,
            set: Arc::default(),
            known: false,
            left_out: LeftOut::default(),
        }
    }

    /// Whether there is something to take in, with the same settings as before. Costs nothing like an update does.
    pub fn has_news(&self) -> bool {
        let mut places = self.shared.iter().map(|(_, place)| place).chain(self.spaces.values());
        self.shared.is_none() || places.any(|place| place.state.has_changed().unwrap_or(false))
    }

    /// Takes in what registry and settings say now; whether that changed the candidates, or made them known.
    pub fn update(&mut self, settings: &GraySettings) -> bool {
        let name = self.service.name();
        let wanted = &settings.mesh.namespaces;
        self.spaces.retain(|space, _| wanted.contains(space));
        for space in wanted {
            if !self.spaces.contains_key(space) {
                let state = self.registry.watch_space(space, name);
                self.spaces.insert(space.clone(), Place::new(state, &self.changed));
            }
        }
        let home = self.service.space().or_else(|| settings.mesh.spaces.get(name));
        let (_, shared) = match self.shared.take() {
            Some(shared) if shared.0.as_ref() == home => self.shared.insert(shared),
            _ => {
                let state = match home {
                    Some(space) => self.registry.watch_space(space, name),
                    None => self.registry.watch(name),
                };
                self.shared.insert((home.cloned(), Place::new(state, &self.changed)))
            }
        };
        let listed = shared.update();
        let candidates = match self.service.space() {
            Some(_) => listed.cloned(),
            None => settings.candidates(name, listed),
        };
        let became_known = candidates.is_some() && !self.known;
        self.known = candidates.is_some();
        let mut candidates = candidates.unwrap_or_default();
        let mut elsewhere = Vec::new();
        for (space, place) in &mut self.spaces {
            let name: Box<str> = space.to_string().into();
            let listed = place.update().into_iter().flat_map(|listed| listed.iter());
            elsewhere.extend(listed.map(|one| Instance { space: Some(name.clone()), ..one.clone() }));
        }
        if !elsewhere.is_empty() {
            candidates = candidates.iter().cloned().chain(elsewhere).collect();
        }
        self.bound(&mut candidates);
        let name = self.service.name();
        let rules = &settings.mesh.admission;
        let is_versioned = settings.is_versioned(name);
        let is_same = *rules == self.admission && is_versioned == self.is_versioned;
        if is_same && *candidates == *self.set.known() {
            return became_known;
        }
        self.admission = rules.clone();
        self.is_versioned = is_versioned;
        let excluded: &dyn Fn(&Instance) -> bool = &|instance| rules.excludes(&self.caller, name, instance);
        let slow_start_ms = u64::try_from(rules.slow_start.as_millis()).unwrap_or(u64::MAX);
        let cluster = self.caller.cluster.as_deref();
        let admission =
            Admission { excluded: Some(excluded), slow_start_ms, is_versioned, cluster, now_ms: uptime_ms() };
        self.set = Arc::new(InstanceSet::of(candidates, Some(&self.set), admission));
        true
    }

    fn bound(&mut self, candidates: &mut Arc<[Instance]>) {
        let left_out = bound::bound(candidates);
        if left_out != self.left_out {
            self.left_out = left_out;
            let LeftOut { too_large, too_many } = left_out;
            tracing::warn!(
                service = %self.service, too_large, too_many,
                "instances dropped: a service has at most {MAX_INSTANCES}, each with at most {MAX_METADATA} bytes of metadata; \
                 see who registers them"
            );
        }
    }

    /// The newest candidates.
    pub fn set(&self) -> &Arc<InstanceSet> {
        &self.set
    }

    /// Whether the registry has answered, or the settings name static instances.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether every place in which instances may live has answered, so that no instance is missing only because it is early.
    pub fn is_settled(&self) -> bool {
        self.known && self.spaces.values().all(|place| place.listed.is_some())
    }
}

#[cfg(test)]
mod tests;
