//! The SDK, with what it lacks: time limits, a bounded number of attempts, panics kept in.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nacos_sdk::api::{
    config::{ConfigService, ConfigServiceBuilder},
    naming::{NamingService, NamingServiceBuilder, ServiceInstance},
    props::ClientProps,
};
use tokio::{task::JoinSet, time};

use super::{NacosOptions, login::Login, relay::Relay};
use crate::{instance::Instance, registry::RegistryError};

/// A call to Nacos failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// No answer within the limit.
    Timeout(Duration),
    /// An answer, but not the one we want.
    Failed(String),
}

impl CallError {
    /// The same, for the caller of a [`Registry`](crate::registry::Registry).
    pub(crate) fn into_registry_error(self, operation: &'static str, service: &str) -> RegistryError {
        let service = service.to_owned();
        match self {
            Self::Timeout(limit) => RegistryError::Timeout { operation, service, limit },
            Self::Failed(reason) => RegistryError::Failed { operation, service, reason },
        }
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// Runs one call of the SDK in a task of its own: it ends after `limit`, and a panic inside (the SDK has `expect`s on
/// what the server sends) is an error here instead of the end of the caller.
pub(crate) async fn within<T, F>(limit: Duration, call: F) -> Result<T, CallError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, nacos_sdk::api::error::Error>> + Send + 'static,
{
    // Dropping the set, on timeout or with the caller, aborts the task.
    let mut task = JoinSet::new();
    task.spawn(call);
    match time::timeout(limit, task.join_next()).await {
        Err(_) => Err(CallError::Timeout(limit)),
        Ok(Some(Ok(Ok(answer)))) => Ok(answer),
        Ok(Some(Ok(Err(error)))) => Err(CallError::Failed(terse(&error.to_string()).to_owned())),
        Ok(Some(Err(_)) | None) => Err(CallError::Failed("the Nacos SDK could not make sense of the answer".into())),
    }
}

/// What counts in an error of the SDK: without the names of its layers in front, and without their debug output behind.
fn terse(error: &str) -> &str {
    let end = error.find(", source:").unwrap_or(error.len());
    let mut text = &error[..end];
    for layer in ["grpc request error: ", "tonic grpc status error: ", "get result failed: "] {
        text = text.strip_prefix(layer).unwrap_or(text);
    }
    text
}

/// A client of the SDK and its way to the servers, which is closed with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Wired<S> {
    pub(crate) sdk: S,
    pub(crate) relay: Arc<Relay>,
}

/// Opens clients with one set of options.
#[derive(Debug)]
pub(crate) struct Dialer {
    options: NacosOptions,
    login: Arc<Login>,
    cache: CacheDirectory,
}

impl Dialer {
    pub(crate) fn new(options: NacosOptions) -> Self {
        Self { login: Login::new(options.clone()), options, cache: CacheDirectory::new() }
    }

    pub(crate) fn options(&self) -> &NacosOptions {
        &self.options
    }

    pub(crate) fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// A connected client for instances. One connection, and so at most one own instance per service.
    pub(crate) async fn naming(&self) -> Result<Wired<NamingService>, CallError> {
        self.connected(async |properties| {
            let mut builder = NamingServiceBuilder::new(properties);
            if self.options.username.is_some() {
                builder = builder.with_auth_plugin(Arc::<Login>::clone(&self.login));
            }
            within(self.options.connect_timeout, builder.build()).await
        })
        .await
    }

    /// A connected client for documents.
    pub(crate) async fn config(&self) -> Result<Wired<ConfigService>, CallError> {
        self.connected(async |properties| {
            let mut builder = ConfigServiceBuilder::new(properties);
            if self.options.username.is_some() {
                builder = builder.with_auth_plugin(Arc::<Login>::clone(&self.login));
            }
            within(self.options.connect_timeout, builder.build()).await
        })
        .await
    }

    /// A server is reached before the client is built: one that fails to connect leaves a task behind in the SDK.
    async fn connected<S>(
        &self,
        build: impl AsyncFnOnce(ClientProps) -> Result<S, CallError>,
    ) -> Result<Wired<S>, CallError> {
        let relay = Relay::open(self.options.clone()).await?;
        self.login.ensure(false).await?;
        let sdk = build(self.properties(relay.port())).await.map_err(|failure| match failure {
            CallError::Failed(reason) => {
                CallError::Failed(format!("a server is there, but does not let us in: {reason}"))
            }
            timeout => timeout,
        })?;
        relay.built();
        Ok(Wired { sdk, relay: Arc::new(relay) })
    }

    fn properties(&self, relay: u16) -> ClientProps {
        let options = &self.options;
        ClientProps::new()
            // Our flags are the only source: the SDK's own environment variables would win over them unseen.
            .env_first(false)
            .server_addr("127.0.0.1")
            .remote_grpc_port(relay)
            .namespace(options.namespace_id())
            .app_name(&options.program)
            // Replaced by our own policy, see `hold`: the SDK would never report that the last instance has gone.
            .naming_push_empty_protection(false)
            .load_cache_at_start(false)
            .cache_dir(self.cache.for_next_client())
    }
}

/// The SDK always writes what it receives to disk, to a place shared by all processes unless told otherwise. We never
/// read it: a directory for each client, removed with the dialer.
#[derive(Debug)]
struct CacheDirectory {
    root: PathBuf,
    clients: AtomicU32,
}

impl CacheDirectory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gray-nacos-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { root: std::env::temp_dir().join(name), clients: AtomicU32::new(0) }
    }

    fn for_next_client(&self) -> PathBuf {
        self.root.join(self.clients.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for CacheDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(directory = %self.root.display(), %error, "cache directory of the Nacos SDK stays behind");
        }
    }
}

/// Reads the list of a service, raw, from the server (not from the SDK's cache).
pub(crate) async fn read_instances(
    client: &NamingService,
    options: &NacosOptions,
    service: &str,
) -> Result<Vec<Instance>, CallError> {
    let (client, service, group) = (client.clone(), service.to_owned(), Some(options.group.clone()));
    let call = async move { client.get_all_instances(service, group, Vec::new(), false).await };
    within(options.read_timeout, call).await.map(|list| from_wire(&list))
}

/// A list as Nacos writes it in JSON, as ours; `None` when it is none. For fuzzing.
#[doc(hidden)]
pub fn instances_from_json(json: &[u8]) -> Option<Vec<Instance>> {
    serde_json::from_slice::<Vec<ServiceInstance>>(json).ok().map(|list| from_wire(&list))
}

/// The wire's instances as ours. An address that is listed twice (a client that was replaced may linger) counts once.
pub(crate) fn from_wire(list: &[ServiceInstance]) -> Vec<Instance> {
    let mut instances: Vec<Instance> = Vec::with_capacity(list.len());
    let mut places: HashMap<(&str, u16), usize> = HashMap::with_capacity(list.len());
    for wire in list {
        let Ok(port) = u16::try_from(wire.port) else {
            tracing::warn!(host = %wire.ip, port = wire.port, "nacos lists an instance with an impossible port; ignored");
            continue;
        };
        let instance = Instance {
            host: wire.ip.clone(),
            port,
            weight: wire.weight,
            healthy: wire.healthy,
            enabled: wire.enabled,
            metadata: wire.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            space: None,
        };
        match places.entry((&wire.ip, port)) {
            Entry::Vacant(place) => {
                place.insert(instances.len());
                instances.push(instance);
            }
            Entry::Occupied(place) => match instances.get_mut(*place.get()) {
                Some(twin) if !twin.is_candidate() => *twin = instance,
                _ => {}
            },
        }
    }
    instances
}

/// Our instance as the wire wants it: ephemeral, it lives as long as our connection.
pub(crate) fn to_wire(instance: &Instance, options: &NacosOptions) -> ServiceInstance {
    ServiceInstance {
        ip: instance.host.clone(),
        port: i32::from(instance.port),
        weight: instance.weight,
        healthy: instance.healthy,
        enabled: instance.enabled,
        ephemeral: true,
        cluster_name: Some(options.cluster.clone()),
        metadata: instance.metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..ServiceInstance::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(port: i32) -> ServiceInstance {
        ServiceInstance { ip: "10.0.0.1".into(), port, ..ServiceInstance::default() }
    }

    #[test]
    fn errors_are_short() {
        let long = "grpc request error: tonic grpc status error: code: 'unavailable', message: \"tcp connect error\", \
                    source: tonic::transport::Error(Transport, ConnectError(..))";
        assert_eq!(terse(long), "code: 'unavailable', message: \"tcp connect error\"");
        assert_eq!(terse("no available server"), "no available server");
    }

    #[test]
    fn an_instance_survives_the_wire() {
        let instance = Instance { weight: 2.5, enabled: false, ..Instance::new("10.0.0.1", 80).with_version("V2") };
        assert_eq!(from_wire(&[to_wire(&instance, &NacosOptions::new("n"))]), [instance]);
    }

    #[test]
    fn impossible_ports_are_left_out_and_twins_count_once() {
        let sick = ServiceInstance { healthy: false, ..wire(80) };
        let list = from_wire(&[wire(-1), wire(70_000), sick, wire(80)]);
        assert_eq!(list, [Instance::new("10.0.0.1", 80)]);
    }

    #[tokio::test]
    async fn a_call_ends_in_time_and_a_panic_stays_inside() {
        let limit = Duration::from_millis(20);
        assert_eq!(within::<(), _>(limit, std::future::pending()).await, Err(CallError::Timeout(limit)));
        let panics = async { panic!("inside the SDK") };
        assert!(matches!(within::<(), _>(Duration::from_secs(5), panics).await, Err(CallError::Failed(_))));
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_with_the_port_that_counts() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let options = NacosOptions { grpc_port: Some(port), ..NacosOptions::new("127.0.0.1:8848") };
        let reason = Dialer::new(options).naming().await.expect_err("refused").to_string();
        assert!(reason.contains("127.0.0.1") && reason.contains(&port.to_string()), "{reason}");
    }
}
