//! Eureka as a registry: the REST interface of Netflix' and Spring Cloud's server, in JSON. It has no documents and no namespaces.
//!
//! - `wire`: what a server sends; `record`: one instance there and here; `apps`: all of them, changes, and the server's own count.
//!   These three are pure.
//! - `http`: questions to the servers, one after the other; `options`: where they are.
//! - `follow`: one task that keeps the lists; `registration`: one task per own instance.

mod apps;
mod follow;
mod http;
mod options;
mod record;
mod registration;
pub mod telemetry;
mod wire;

#[cfg(test)]
mod tests;

pub use options::{EurekaOptions, EurekaTls, without_passwords};

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use gray_core::{entry, instance::Instance};
use gray_registry::{
    Announcements, CallError, Doubts, Health, Registry, RegistryError, ServiceNames, ServiceState, Space, hold::Terms,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinSet,
};

use self::{follow::Followed, http::Client, record::service_name, registration::Registration};

/// How long a deregistration may take: a program is about to end.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that a server lists in this answer, taken in as all there is and once more as changes; `None` when it is none. For
/// fuzzing.
#[doc(hidden)]
pub fn instances_from_json(json: &[u8]) -> Option<Vec<Instance>> {
    let (mut apps, delta) = (apps::read_full(json).ok()?, apps::read_delta(json).ok()?);
    apps.apply(&delta);
    let names = apps.names();
    Some(apps.of(names.iter().map(|name| &**name)).into_values().flatten().collect())
}

/// A registry on Eureka, meant to live as long as the process.
pub struct EurekaRegistry {
    shared: Arc<Shared>,
    announcements: Announcements,
    /// What was known before this process started, by service in lower case, until it is followed.
    remembered: Mutex<HashMap<Box<str>, Arc<[Instance]>>>,
    spaces: Mutex<Vec<Space>>,
    /// Ends with the registry.
    _tasks: JoinSet<()>,
}

/// What the tasks have in common.
#[derive(Debug)]
struct Shared {
    client: Client,
    followed: Mutex<Followed>,
    health: watch::Sender<Health>,
    doubts: Doubts,
    /// The servers are to be asked now.
    wake: Notify,
    /// Another service is followed.
    asked: Notify,
    /// How often a server has come back, or another has taken its place.
    back: watch::Sender<u64>,
}

impl EurekaRegistry {
    /// Starts to ask in the background and returns at once. Servers that cannot be reached are retried for ever;
    /// [`health`](Registry::health) says so.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn connect(options: EurekaOptions) -> Arc<Self> {
        let (runtime, mut tasks) = (Handle::current(), JoinSet::new());
        let shared = Arc::new(Shared {
            client: Client::new(options),
            followed: Mutex::default(),
            health: watch::Sender::new(Health::Down("Eureka has not answered yet".into())),
            doubts: Doubts::default(),
            wake: Notify::new(),
            asked: Notify::new(),
            back: watch::Sender::new(0),
        });
        tasks.spawn_on(follow::follow(Arc::clone(&shared)), &runtime);
        let announcements = Announcements::new(runtime.clone());
        let (remembered, spaces) = Default::default();
        Arc::new(Self { shared, announcements, remembered, spaces, _tasks: tasks })
    }

    /// Longest time that all servers take to fail.
    fn patience(&self) -> Duration {
        let Client { options, .. } = &self.shared.client;
        options.request_timeout * u32::try_from(options.servers.len()).unwrap_or(1) * 2 + Duration::from_secs(1)
    }
}

#[async_trait]
impl Registry for EurekaRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        let failed = |failure: CallError| failure.into_registry_error("registration", service);
        if service_name(service).is_none() {
            return Err(failed(CallError::Failed(format!("`{}` cannot be a name in Eureka", service.escape_debug()))));
        }
        entry::check(instance).map_err(|reason| failed(CallError::Failed(reason)))?;
        let announcer = || Registration::new(Arc::clone(&self.shared), service.to_owned());
        self.announcements.register(service, instance, self.patience(), announcer).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.announcements.deregister(service, instance, DEREGISTER_TIMEOUT).await
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        let name = service_name(service).unwrap_or_else(|| service.into());
        let remembered = lock(&self.remembered).remove(&name);
        let options = &self.shared.client.options;
        let state = lock(&self.shared.followed).watch(&name, Terms::new(options.hold, options.recovery), remembered);
        self.shared.asked.notify_one();
        state
    }

    /// Eureka has no namespaces and no groups: there is nothing in any, and it is said once.
    fn watch_space(&self, space: &Space, _service: &str) -> watch::Receiver<ServiceState> {
        let mut told = lock(&self.spaces);
        if !told.contains(space) {
            told.push(space.clone());
            tracing::warn!(%space, "Eureka has no namespaces and no groups: no instance is found in this space");
        }
        watch::channel(Some(Arc::from([]))).1
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        lock(&self.shared.followed).names()
    }

    fn recall(&self, space: Option<&Space>, service: &str, known: Arc<[Instance]>) {
        if let (None, Some(name)) = (space, service_name(service)) {
            lock(&self.remembered).insert(name, known);
        }
    }

    fn refresh(&self) {
        self.shared.wake.notify_one();
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn doubts(&self) -> watch::Receiver<Option<String>> {
        self.shared.doubts.subscribe()
    }
}

/// No code panics while holding one of our locks, and what they protect is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for EurekaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EurekaRegistry").field("options", &self.shared.client.options).finish_non_exhaustive()
    }
}
