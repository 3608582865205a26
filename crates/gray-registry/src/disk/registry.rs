//! A registry with a memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use gray_core::instance::Instance;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{interval_at, sleep},
};

use super::{Content, DiskStore, GRACE, Kept};
use crate::{Health, Registry, RegistryError, ServiceNames, ServiceState, Space};

/// How often a list that does not change is written again while the registry answers, so that its age says something.
const REFRESH: Duration = Duration::from_secs(600);

/// How long it may take to answer when it has not done so since the start.
const SHORT_GRACE: Duration = Duration::from_millis(200);

/// A service, and where it is when that is elsewhere.
type Key = (Option<Space>, String);

/// Another registry, whose lists are kept on disk.
pub struct KeptRegistry {
    inner: Arc<dyn Registry>,
    store: Arc<DiskStore>,
    place: String,
    services: Mutex<HashMap<Key, watch::Receiver<ServiceState>>>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl KeptRegistry {
    /// Keeps what `inner` says in this store. `place` tells one server, namespace and group from another.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn new(inner: Arc<dyn Registry>, store: Arc<DiskStore>, place: &str) -> Arc<Self> {
        let (services, tasks) = (Mutex::default(), Mutex::default());
        Arc::new(Self { inner, store, place: place.to_owned(), services, tasks, runtime: Handle::current() })
    }

    fn keep(&self, space: Option<&Space>, service: &str) -> watch::Receiver<ServiceState> {
        let key = (space.cloned(), service.to_owned());
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = services.get(&key) {
            return state.clone();
        }
        let name = space.map_or_else(|| service.to_owned(), |space| format!("{service} in {space}"));
        let kept = self.store.read(&name, &self.place).and_then(|kept| list_of(kept, service));
        if let Some((list, _)) = &kept {
            self.inner.recall(space, service, Arc::clone(list));
        }
        let inner = match space {
            Some(space) => self.inner.watch_space(space, service),
            None => self.inner.watch(service),
        };
        let (sender, state) = watch::channel(inner.borrow().clone());
        let keeper = Keeper {
            store: Arc::clone(&self.store),
            place: self.place.clone(),
            name,
            service: service.to_owned(),
            health: self.inner.health(),
            sender,
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn_on(keeper.run(inner, kept), &self.runtime);
        services.insert(key, state.clone());
        state
    }
}

fn list_of(kept: Kept, expect: &str) -> Option<(Arc<[Instance]>, u64)> {
    match kept.content {
        Content::Instances { service, list } if service == expect => Some((list.into(), kept.saved)),
        _ => None,
    }
}

/// The task behind one service.
struct Keeper {
    store: Arc<DiskStore>,
    place: String,
    name: String,
    service: String,
    health: watch::Receiver<Health>,
    sender: watch::Sender<ServiceState>,
}

impl Keeper {
    async fn run(self, mut inner: watch::Receiver<ServiceState>, kept: Option<(Arc<[Instance]>, u64)>) {
        if let Some((list, saved)) = kept {
            tokio::select! {
                answered = inner.wait_for(ServiceState::is_some) => if answered.is_err() { return },
                () = sleep(self.grace()) => {
                    tracing::warn!(
                        service = %self.name, instances = list.len(),
                        age_secs = crate::unix_seconds().saturating_sub(saved),
                        "the registry does not answer; going on with the instances that were kept on disk"
                    );
                    self.store.uses(&self.name, Some(saved));
                    self.sender.send_replace(Some(list));
                }
            }
        }
        let mut refresh = interval_at(tokio::time::Instant::now() + REFRESH, REFRESH);
        loop {
            let list = inner.borrow_and_update().clone();
            if let Some(list) = list {
                self.store.uses(&self.name, None);
                self.save(&list);
                self.sender.send_if_modified(|state| {
                    let is_news = state.as_ref() != Some(&list);
                    *state = Some(Arc::clone(&list));
                    is_news
                });
            }
            loop {
                tokio::select! {
                    changed = inner.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    _ = refresh.tick() => {
                        if *self.health.borrow() == Health::Up && let Some(list) = &*inner.borrow() {
                            self.save(list);
                        }
                    }
                }
            }
        }
    }

    /// A registry that had its time and is known to be away need not be waited for again, service by service.
    fn grace(&self) -> Duration {
        let is_away = matches!(*self.health.borrow(), Health::Down(_));
        if is_away && self.store.is_open_for() > GRACE { SHORT_GRACE } else { GRACE }
    }

    fn save(&self, list: &[Instance]) {
        let content = Content::Instances { service: self.service.clone(), list: list.to_vec() };
        self.store.write(&self.name, &self.place, content);
    }
}

#[async_trait]
impl Registry for KeptRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.inner.register(service, instance).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.inner.deregister(service, instance).await
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        self.keep(None, service)
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        self.keep(Some(space), service)
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.inner.services()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn doubts(&self) -> watch::Receiver<Option<String>> {
        self.inner.doubts()
    }

    fn refresh(&self) {
        self.inner.refresh();
    }
}

impl fmt::Debug for KeptRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRegistry").field("inner", &self.inner).finish_non_exhaustive()
    }
}
