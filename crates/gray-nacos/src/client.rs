//! The SDK, with what it lacks: time limits, a bounded number of attempts, panics kept in.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    sync::{Arc, Once},
    time::Duration,
};

use nacos_sdk::api::{
    config::{ConfigService, ConfigServiceBuilder},
    naming::{NamingService, NamingServiceBuilder, ServiceInstance},
    props::ClientProps,
};
use tokio::{task::JoinSet, time};

use gray_core::instance::{CLUSTER_KEY, DEFAULT_CLUSTER, Instance, Metadata};
use gray_registry::CallError;

use super::{NacosOptions, error::call_error, login::Login, relay::Relay};

/// Where the SDK may write whatever it receives, documents with secrets in them included, each time to be flushed to the disk: it cannot
/// be kept from trying, and no program reads it. Nothing can be made below what is not a directory, and the SDK does without.
const NOWHERE: &str = "/dev/null/nacos";

/// Runs one call of the SDK in a task of its own: it ends after `limit`, and a panic inside (the SDK has `expect`s on
/// what the server sends) is an error here instead of the end of the caller.
async fn within<T, F>(limit: Duration, call: F) -> Result<T, CallError>
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
        Ok(Some(Ok(Err(error)))) => Err(call_error(&error)),
        Ok(Some(Err(_)) | None) => Err(CallError::Failed("the Nacos SDK could not make sense of the answer".into())),
    }
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
    told: Once,
}

impl Dialer {
    pub(crate) fn new(options: NacosOptions) -> Self {
        Self { login: Login::new(options.clone()), options, told: Once::new() }
    }

    pub(crate) fn options(&self) -> &NacosOptions {
        &self.options
    }

    pub(crate) fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// The server does not say whether an instance is disabled or gone; said once, since it costs little.
    pub(super) fn cannot_tell(&self, said: &str) {
        // Another token may do.
        if self.options.username.is_some() && (said.contains("Code: 401") || said.contains("token")) {
            return;
        }
        let namespace = &self.options.namespace;
        self.told.call_once(|| {
            tracing::warn!(
                nacos = %self.options.server, namespace, %said,
                "Nacos does not tell disabled instances from lost ones without the right to read: one that an operator \
                 disables is used until --registry-hold ends; give --nacos-username and --nacos-password of a user with \
                 `r` on the namespace"
            );
        });
    }

    /// One call on a client of ours: [`within`] its limit. A refusal leads to a new login, if that may help.
    pub(crate) async fn call<T, F>(&self, limit: Duration, call: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, nacos_sdk::api::error::Error>> + Send + 'static,
    {
        let began = time::Instant::now();
        let outcome = within(limit, call).await;
        self.login.judge(began, &outcome).await?;
        outcome
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
        self.login.ensure().await?;
        let sdk = build(self.properties(relay.port())).await.map_err(|failure| match failure {
            CallError::Failed(reason) => {
                CallError::Failed(format!("a server is there, but does not let us in: {reason}"))
            }
            other => other,
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
            .cache_dir(NOWHERE)
    }
}

/// Reads the list of a service, raw, from the server (not from the SDK's cache).
pub(crate) async fn read_instances(
    dialer: &Dialer,
    client: &NamingService,
    options: &NacosOptions,
    service: &str,
) -> Result<Vec<Instance>, CallError> {
    let (client, service, group) = (client.clone(), service.to_owned(), Some(options.group.clone()));
    let call = async move { client.get_all_instances(service, group, Vec::new(), false).await };
    dialer.call(options.read_timeout, call).await.map(|list| from_wire(&list))
}

/// A list as Nacos writes it in JSON, as ours; `None` when it is none. For fuzzing.
#[doc(hidden)]
pub fn instances_from_json(json: &[u8]) -> Option<Vec<Instance>> {
    serde_json::from_slice::<Vec<ServiceInstance>>(json).ok().map(|list| from_wire(&list))
}

/// What an instance says of itself, and in which cluster the server has it, unless that is the usual one.
fn metadata(wire: &ServiceInstance) -> Metadata {
    let cluster = wire.cluster_name.as_deref().filter(|name| !name.is_empty() && *name != DEFAULT_CLUSTER);
    let said = wire.metadata.iter().filter(|(key, _)| cluster.is_none() || *key != CLUSTER_KEY);
    let said = said.map(|(key, value)| (key.clone(), value.clone()));
    said.chain(cluster.map(|name| (CLUSTER_KEY.to_owned(), name.to_owned()))).collect()
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
            metadata: metadata(wire),
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
    fn an_instance_survives_the_wire() {
        let instance = Instance { weight: 2.5, enabled: false, ..Instance::new("10.0.0.1", 80).with_version("V2") };
        assert_eq!(from_wire(&[to_wire(&instance, &NacosOptions::new("n"))]), std::slice::from_ref(&instance));
        // The cluster is the server's to say, whatever an instance says of itself.
        let mut options = NacosOptions::new("n");
        options.cluster = "HZ".into();
        let listed = from_wire(&[to_wire(&instance.clone().with_metadata(CLUSTER_KEY, "SH"), &options)]);
        assert_eq!((listed[0].cluster(), listed[0].metadata.len()), ("HZ", instance.metadata.len() + 1));
    }

    #[test]
    fn impossible_ports_are_left_out_and_twins_count_once() {
        let sick = ServiceInstance { healthy: false, ..wire(80) };
        let list = from_wire(&[wire(-1), wire(70_000), sick, wire(80)]);
        assert_eq!(list, [Instance::new("10.0.0.1", 80)]);
    }

    #[test]
    fn nothing_is_written_to_the_disk() {
        assert!(std::fs::create_dir_all(NOWHERE).is_err());
        let properties = Dialer::new(NacosOptions::new("n")).properties(1);
        assert!(format!("{properties:?}").contains(NOWHERE), "{properties:?}");
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
