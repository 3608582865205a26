//! Nacos as a registry and as a source of documents. The SDK is used in this crate and nowhere else, and no public signature
//! names it. Never depends on settings or rules: what instances and documents are for is not known here.
//!
//! - `client`: the SDK with time limits; `connection`: the one client that lists are followed on, kept connected.
//! - `relay`: what stands between the SDK and the servers, so that we can cut it; `peer`: who may use it; `wire`:
//!   sockets, with TLS.
//! - `follow`: one task per followed service; `registration`: one task and one client per own instance.
//! - `config_source`: documents, by two clients of their own.
//! - `names`: the names of all services.
//! - [`http`]: the other port of the servers; [`dialect`]: what is said there, in two versions; `console`: tells what is gone from
//!   what an operator switched off.
//! - `error`: which failures are refusals.
//! - `login`: the token. The SDK never gets to know the password; its own plugin would write it to the log.

mod client;
mod config_source;
mod connection;
mod console;
pub mod dialect;
mod error;
mod follow;
mod gray_publish;
pub mod http;
mod login;
mod names;
mod options;
mod peer;
mod registration;
mod relay;
pub mod telemetry;
mod wire;

#[doc(hidden)] // For fuzzing.
pub use client::instances_from_json;
pub use config_source::NacosConfigSource;
pub use options::{DEFAULT_CONTEXT, NacosOptions, context_path};
pub use wire::NacosTls;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use gray_core::instance::Instance;
use gray_registry::{
    Announcements, CallError, Doubts, Health, Opened, Registry, RegistryError, ServiceNames, ServiceState, Space,
};
use nacos_sdk::api::naming::NamingService;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use self::{
    client::{Dialer, Wired},
    connection::Connection,
    registration::Registration,
};

type Followed = watch::Receiver<ServiceState>;

/// A registry on Nacos; a [`Space`] is another namespace or group on the same server. Meant to live as long as the
/// process: dropping it closes its connections, but the SDK's own tasks stay behind.
pub struct NacosRegistry {
    connection: Arc<Connection<Wired<NamingService>>>,
    /// To other namespaces, by ID.
    elsewhere: Opened<String, Connection<Wired<NamingService>>>,
    /// By namespace ID, group and name.
    services: Mutex<HashMap<[String; 3], Followed>>,
    /// By the same; what was known before this process started, until it is followed.
    remembered: Mutex<HashMap<[String; 3], Arc<[Instance]>>>,
    announcements: Announcements,
    doubts: Arc<Doubts>,
    /// Of all services, from when they are first asked for.
    names: OnceLock<watch::Receiver<ServiceNames>>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl NacosRegistry {
    /// Starts to connect in the background and returns at once. A server that cannot be reached is retried for ever;
    /// [`health`](Registry::health) says so.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn connect(options: NacosOptions) -> Arc<Self> {
        let runtime = Handle::current();
        let connection = Connection::new(Arc::new(Dialer::new(options)));
        let mut tasks = JoinSet::new();
        tasks.spawn_on(Arc::clone(&connection).keep(), &runtime);
        let (mut client, dialer) = (connection.client(), Arc::clone(connection.dialer()));
        let inspect = async move {
            if client.wait_for(Option::is_some).await.is_ok() {
                dialer.login().inspect().await;
            }
        };
        tasks.spawn_on(inspect, &runtime);
        Arc::new(Self {
            connection,
            elsewhere: Opened::new(),
            services: Mutex::default(),
            remembered: Mutex::default(),
            announcements: Announcements::new(runtime.clone()),
            doubts: Arc::default(),
            names: OnceLock::new(),
            tasks: Mutex::new(tasks),
            runtime,
        })
    }

    fn options(&self) -> &NacosOptions {
        self.connection.dialer().options()
    }

    fn follow(
        &self,
        connection: &Arc<Connection<Wired<NamingService>>>,
        options: NacosOptions,
        service: &str,
    ) -> Followed {
        let key = key(&options, service);
        let mut services = lock(&self.services);
        if let Some(state) = services.get(&key) {
            return state.clone();
        }
        let (sender, state) = watch::channel(None);
        let remembered = lock(&self.remembered).remove(&key);
        let task = follow::follow(Arc::clone(connection), options, service.to_owned(), remembered, sender);
        lock(&self.tasks).spawn_on(task, &self.runtime);
        services.insert(key, state.clone());
        state
    }

    /// The connection to the namespace of `options`; one for each, opened when first asked for.
    fn connection_to(&self, space: &Space, options: &NacosOptions) -> Option<Arc<Connection<Wired<NamingService>>>> {
        let namespace = options.namespace_id();
        if namespace == self.options().namespace_id() {
            return Some(Arc::clone(&self.connection));
        }
        self.elsewhere.get(namespace.to_owned(), space, || {
            let options = NacosOptions { group: self.options().group.clone(), ..options.clone() };
            let connection = Connection::new(Arc::new(Dialer::new(options)));
            lock(&self.tasks).spawn_on(Arc::clone(&connection).keep(), &self.runtime);
            Ok(connection)
        })
    }
}

/// One service of one namespace and group.
fn key(options: &NacosOptions, service: &str) -> [String; 3] {
    [options.namespace_id().to_owned(), options.group.clone(), service.to_owned()]
}

#[async_trait]
impl Registry for NacosRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        if !instance.weight.is_finite() || instance.port == 0 || instance.host.is_empty() {
            let reason = format!("`{}` with weight {} cannot be announced", instance.authority(), instance.weight);
            return Err(CallError::Failed(reason).into_registry_error("registration", service));
        }
        // Dial and announce have their own limits; the margin lets their clearer errors through.
        let limit = self.options().connect_timeout + self.options().register_timeout + Duration::from_secs(3);
        let (dialer, doubts) = (self.connection.dialer(), &self.doubts);
        let announcer = || Registration::new(Arc::clone(dialer), service.to_owned(), Arc::clone(doubts));
        self.announcements.register(service, instance, limit, announcer).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.announcements.deregister(service, instance, self.options().deregister_timeout).await
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        self.follow(&self.connection, self.options().clone(), service)
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        let options = self.options().clone().in_space(space);
        match self.connection_to(space, &options) {
            Some(connection) => self.follow(&connection, options, service),
            None => self.elsewhere.silent(),
        }
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.names
            .get_or_init(|| {
                let (sender, names) = watch::channel(None);
                lock(&self.tasks).spawn_on(names::follow(Arc::clone(&self.connection), sender), &self.runtime);
                names
            })
            .clone()
    }

    fn recall(&self, space: Option<&Space>, service: &str, known: Arc<[Instance]>) {
        let options = self.options().clone();
        let options = space.map_or_else(|| options.clone(), |space| options.clone().in_space(space));
        lock(&self.remembered).insert(key(&options, service), known);
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.connection.health()
    }

    fn doubts(&self) -> watch::Receiver<Option<String>> {
        self.doubts.subscribe()
    }
}

/// No code panics while holding one of our locks, and what they protect is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for NacosRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NacosRegistry").field("options", self.options()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Options for a server that is not there.
    fn nowhere() -> NacosOptions {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        NacosOptions { grpc_port: Some(port), ..NacosOptions::new("127.0.0.1:8848") }
    }

    #[tokio::test]
    async fn without_a_server_every_call_ends_in_time_and_says_why() {
        let registry = NacosRegistry::connect(nowhere());
        let instance = Instance::new("127.0.0.1", 7202).with_version("V2");
        let start = Instant::now();
        let error = registry.register("user-app", &instance).await.expect_err("no server");
        assert!(error.to_string().contains("registration of user-app failed"), "{error}");
        registry.deregister("user-app", &instance).await.expect("nothing was announced");
        assert!(start.elapsed() < Duration::from_secs(5));

        let state = registry.watch("user-app");
        assert_eq!(*state.borrow(), None, "unknown is not empty");
        let mut health = registry.health();
        let told = health.wait_for(|health| matches!(health, Health::Down(reason) if reason.contains("refused")));
        timeout(Duration::from_secs(5), told).await.expect("told in time").expect("alive");
    }

    #[tokio::test]
    async fn one_connection_for_each_namespace_and_one_subscription_for_each_service() {
        let registry = NacosRegistry::connect(NacosOptions { namespace: "own".into(), ..nowhere() });
        let watch = |space: &str| registry.watch_space(&space.parse().expect("a space"), "user-app");
        let own = registry.watch("user-app");
        assert!(own.same_channel(&watch("own")) && own.same_channel(&watch("own@DEFAULT_GROUP")));
        let lane = watch("lane");
        assert!(lane.same_channel(&watch("lane")) && !lane.same_channel(&own));
        assert!(!lane.same_channel(&watch("lane@blue")) && !own.same_channel(&watch("@blue")));
        let tasks = || lock(&registry.tasks).len();
        assert_eq!(tasks(), 3 + 4, "two connections, a look at the server, four subscriptions");

        for number in 0..20 {
            drop(watch(&format!("lane-{number}")));
        }
        assert_eq!(tasks(), 3 + 4 + 2 * 15, "sixteen other namespaces are enough");
        let refused = watch("lane-19");
        assert!(refused.borrow().is_none() && refused.has_changed().is_ok(), "it never answers");
    }

    #[tokio::test]
    async fn nonsense_is_refused_before_it_reaches_the_server() {
        let registry = NacosRegistry::connect(nowhere());
        for instance in [
            Instance { weight: f64::NAN, ..Instance::new("10.0.0.1", 80) },
            Instance::new("10.0.0.1", 0),
            Instance::new("", 80),
        ] {
            let error = registry.register("user-app", &instance).await.expect_err("nonsense");
            assert!(error.to_string().contains("cannot be announced"), "{error}");
        }
    }
}
