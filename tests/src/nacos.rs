//! A real Nacos in a container, and its HTTP API as an operator's console uses it.

mod cluster;
pub mod facade;

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _,
    bollard::query_parameters::KillContainerOptions,
    core::{IntoContainerPort as _, client::docker_client_instance},
    runners::AsyncRunner as _,
};
use tokio::sync::{Mutex, MutexGuard, RwLock};

pub use self::cluster::Cluster;
use crate::{Documents, documents, eventually, eventually_within, ports};

/// The published image; scripts/ensure-images.sh sees to it that it is here.
const IMAGE: (&str, &str) = ("nacos/nacos-server", "v2.3.2");
pub(crate) const GROUP: &str = "DEFAULT_GROUP";
const START: Duration = Duration::from_secs(120);

/// To be held while a Nacos starts. On a small machine two that start at once are so slow that the embedded database
/// of one gives up, and Nacos with it.
pub async fn starting() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::const_new(());
    STARTING.lock().await
}

/// What a Nacos is started from: `port` of this machine is its HTTP port, and 1000 above is gRPC. Hold [`starting`].
pub fn container(port: u16) -> ContainerRequest<GenericImage> {
    GenericImage::new(IMAGE.0, IMAGE.1)
        .with_env_var("MODE", "standalone")
        .with_env_var("JVM_XMS", "256m")
        .with_env_var("JVM_XMX", "512m")
        .with_env_var("JVM_XMN", "128m")
        // Ready in half the time: most of its code runs once.
        .with_env_var("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        // As a container it has the share of a single process otherwise; on busy cores its database gives up then.
        .with_host_config_modifier(|host| host.cpu_shares = Some(16 * 1024))
        .with_mapped_port(port, 8848.tcp())
        .with_mapped_port(port + 1000, 9848.tcp())
}

async fn start(request: ContainerRequest<GenericImage>) -> Result<ContainerAsync<GenericImage>> {
    request.start().await.context(
        "cannot start Nacos: is Docker running (scripts/ensure-docker.sh) and the image here (scripts/ensure-images.sh)?",
    )
}

/// A running Nacos.
#[derive(Debug)]
pub struct Nacos {
    container: RwLock<ContainerAsync<GenericImage>>,
    http: Client,
    port: u16,
    /// What we show, once [`log_in`](Self::log_in) has got it.
    token: std::sync::RwLock<Option<String>>,
}

/// An instance as Nacos lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Port.
    pub port: u16,
    /// Metadata and the rest, as Nacos says it.
    pub json: Value,
}

impl Nacos {
    /// Starts one; its gRPC port is its HTTP port + 1000, as clients expect it.
    pub async fn start() -> Result<Self> {
        Self::start_with(|request| request).await
    }

    /// Starts one with more to the container (a network, a name).
    pub async fn start_with(
        more: impl FnOnce(ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage>,
    ) -> Result<Self> {
        let _one_at_a_time = starting().await;
        let port = ports::nacos_pair()?;
        let container = start(more(container(port))).await?;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let nacos = Self { container: RwLock::new(container), http, port, token: std::sync::RwLock::default() };
        nacos.wait_ready_or_say_why().await?;
        Ok(nacos)
    }

    /// Puts another one in its place after [`kill`](Self::kill), on the same ports.
    pub async fn replace_with(
        &self,
        more: impl FnOnce(ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage>,
    ) -> Result<()> {
        let _one_at_a_time = starting().await;
        let other = start(more(container(self.port))).await?;
        let killed = std::mem::replace(&mut *self.container.write().await, other);
        killed.rm().await?;
        self.wait_ready_or_say_why().await
    }

    async fn wait_ready_or_say_why(&self) -> Result<()> {
        if let Err(error) = self.wait_ready().await {
            let log = self.container.read().await.stdout_to_vec().await.unwrap_or_default();
            return Err(error.context(format!("Nacos said:\n{}", String::from_utf8_lossy(&log))));
        }
        Ok(())
    }

    /// From here on as this user. A Nacos that has just started does not know its users yet.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<()> {
        let form = [("username", user), ("password", password)];
        // An old one would be refused, and the login with it.
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = None;
        let said =
            eventually_within(START, "Nacos lets us in", || self.call(Method::POST, "auth/login", &form)).await?;
        let json: Value = serde_json::from_str(&said)?;
        let token = json["accessToken"].as_str().with_context(|| format!("no token in {said}"))?;
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
        Ok(())
    }

    /// A new user, who may do this (`r`, `w`, `rw`) in this namespace.
    pub async fn user(&self, name: &str, password: &str, namespace: &str, action: &str) -> Result<()> {
        let (role, resource) = (format!("{name}-role"), format!("{namespace}:*:*"));
        for (path, form) in [
            ("auth/users", &[("username", name), ("password", password)][..]),
            ("auth/roles", &[("role", &role), ("username", name)]),
            ("auth/permissions", &[("role", &role), ("resource", &resource), ("action", action)]),
        ] {
            self.call(Method::POST, path, form).await?;
        }
        Ok(())
    }

    async fn wait_ready(&self) -> Result<()> {
        let ready =
            eventually_within(START, "Nacos gets ready", || self.call(Method::GET, "console/health/readiness", &[]));
        // One that has ended will not get ready.
        let ended = eventually_within(START * 2, "Nacos ends", || async {
            ensure!(!self.container.read().await.is_running().await?, "it runs");
            Ok(())
        });
        tokio::select! {
            ready = ready => ready.map(drop),
            _ = ended => bail!("Nacos has ended instead of getting ready"),
        }
    }

    /// `host:port` of the HTTP API, from this machine.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// HTTP port on this machine; gRPC is 1000 above.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it (SIGKILL). What is on its disk stays, registrations do not.
    pub async fn kill(&self) -> Result<()> {
        let options = KillContainerOptions { signal: "KILL".to_owned() };
        docker_client_instance().await?.kill_container(self.container.read().await.id(), Some(options)).await?;
        eventually("Nacos is gone", || async {
            ensure!(!self.container.read().await.is_running().await?, "it runs");
            Ok(())
        })
        .await
    }

    /// Starts it again after [`kill`](Self::kill), on the same ports.
    pub async fn revive(&self) -> Result<()> {
        let _one_at_a_time = starting().await;
        self.container.read().await.start().await?;
        self.wait_ready().await
    }

    /// Stops and removes it.
    pub async fn remove(self) -> Result<()> {
        Ok(self.container.into_inner().rm().await?)
    }

    /// A new namespace, with these documents in it.
    pub async fn namespace(self: &Arc<Self>, documents: &Documents) -> Result<Namespace> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("e2e-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let form = [("customNamespaceId", name.as_str()), ("namespaceName", &name), ("namespaceDesc", "a test")];
        eventually("Nacos creates a namespace", || self.call(Method::POST, "console/namespaces", &form)).await?;
        let namespace = Namespace { nacos: Arc::clone(self), name };
        namespace.publish_all(documents).await?;
        Ok(namespace)
    }

    /// A namespace by its name, whether it exists or not.
    pub fn existing_namespace(self: &Arc<Self>, name: &str) -> Namespace {
        Namespace { nacos: Arc::clone(self), name: name.to_owned() }
    }

    async fn call(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/nacos/v1/{path}", self.port);
        let request = self.http.request(method.clone(), url);
        // Nacos takes its parameters from either place; a document is too long for the address line.
        let request = if method == Method::POST { request.form(fields) } else { request.query(fields) };
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == StatusCode::OK, "Nacos answered {method} {path} with {status}: {text}");
        Ok(text)
    }
}

/// A namespace of its own for one test.
#[derive(Debug)]
pub struct Namespace {
    nacos: Arc<Nacos>,
    /// Its id.
    pub name: String,
}

impl Namespace {
    /// Publishes both documents.
    pub async fn publish_all(&self, documents: &Documents) -> Result<()> {
        self.publish(documents::COMMON, &documents.common).await?;
        self.publish(documents::GATEWAY, &documents.gateway).await
    }

    /// Publishes one document.
    pub async fn publish(&self, name: &str, text: &str) -> Result<()> {
        let fields =
            [("tenant", self.name.as_str()), ("group", GROUP), ("dataId", name), ("type", "yaml"), ("content", text)];
        // The embedded database of a single Nacos refuses one of two writes at the same time; the second try works.
        let said =
            eventually(&format!("Nacos takes {name}"), || self.nacos.call(Method::POST, "cs/configs", &fields)).await?;
        ensure!(said == "true", "Nacos did not accept {name}: {said}");
        Ok(())
    }

    /// Deletes one document.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let fields = [("tenant", self.name.as_str()), ("group", GROUP), ("dataId", name)];
        eventually(&format!("Nacos deletes {name}"), || self.nacos.call(Method::DELETE, "cs/configs", &fields)).await?;
        Ok(())
    }

    /// The text of a document.
    pub async fn document(&self, name: &str) -> Result<String> {
        self.nacos.call(Method::GET, "cs/configs", &[("tenant", &self.name), ("group", GROUP), ("dataId", name)]).await
    }

    /// The instances of a service.
    pub async fn instances(&self, service: &str) -> Result<Vec<Listed>> {
        let fields = [("namespaceId", self.name.as_str()), ("groupName", GROUP), ("serviceName", service)];
        let text = self.nacos.call(Method::GET, "ns/instance/list", &fields).await?;
        let json: Value = serde_json::from_str(&text)?;
        let hosts = json["hosts"].as_array().with_context(|| format!("no hosts in {text}"))?;
        Ok(hosts
            .iter()
            .filter_map(|host| {
                let port = host["port"].as_u64().and_then(|port| u16::try_from(port).ok())?;
                Some(Listed { port, json: host.clone() })
            })
            .collect())
    }

    /// Registers an instance that is not kept alive; Nacos drops it after half a minute.
    pub async fn register(&self, service: &str, port: u16, version: &str) -> Result<()> {
        let port = port.to_string();
        let metadata = format!("{{\"version\":\"{version}\"}}");
        let fields = self.instance_fields(service, &port, &metadata);
        self.nacos.call(Method::POST, "ns/instance", &fields).await?;
        Ok(())
    }

    /// Changes an instance as the console does: metadata `version`, weight, switched on or off.
    pub async fn change(&self, service: &str, port: u16, version: &str, weight: f64, enabled: bool) -> Result<()> {
        let (port, weight, enabled) = (port.to_string(), weight.to_string(), enabled.to_string());
        let metadata = format!("{{\"version\":\"{version}\"}}");
        let mut fields = self.instance_fields(service, &port, &metadata);
        fields.extend([("weight", weight.as_str()), ("enabled", enabled.as_str())]);
        let said = self.nacos.call(Method::PUT, "ns/instance", &fields).await?;
        ensure!(said == "ok", "Nacos did not change {service}:{port}: {said}");
        Ok(())
    }

    /// Replaces the metadata of an instance, as the console does.
    pub async fn edit_metadata(&self, service: &str, port: u16, metadata: &Value) -> Result<()> {
        let (port, metadata) = (port.to_string(), metadata.to_string());
        let mut fields = self.instance_fields(service, &port, &metadata);
        fields.extend([("weight", "1"), ("enabled", "true")]);
        let said = self.nacos.call(Method::PUT, "ns/instance", &fields).await?;
        ensure!(said == "ok", "Nacos did not change {service}:{port}: {said}");
        Ok(())
    }

    /// Takes an instance out that was registered with [`register`](Self::register).
    pub async fn deregister(&self, service: &str, port: u16, version: &str) -> Result<()> {
        let port = port.to_string();
        let metadata = format!("{{\"version\":\"{version}\"}}");
        let fields = self.instance_fields(service, &port, &metadata);
        self.nacos.call(Method::DELETE, "ns/instance", &fields).await?;
        Ok(())
    }

    fn instance_fields<'a>(&'a self, service: &'a str, port: &'a str, metadata: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("namespaceId", self.name.as_str()),
            ("groupName", GROUP),
            ("serviceName", service),
            ("ip", "127.0.0.1"),
            ("port", port),
            ("clusterName", "DEFAULT"),
            ("ephemeral", "true"),
            ("metadata", metadata),
        ]
    }
}
