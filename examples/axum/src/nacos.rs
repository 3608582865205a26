//! Nacos by its open API (v1, as 2.x has it): registers an instance, keeps it alive, finds those of others.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const BEAT: Duration = Duration::from_secs(5);
/// How long a list is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// How long Nacos may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses by service, and since when they are known.
type Lists = HashMap<String, (Instant, Vec<String>)>;

/// A namespace of a server.
#[derive(Clone)]
pub(crate) struct Nacos {
    base: String,
    namespace: String,
    client: Client,
    known: Arc<Mutex<Lists>>,
    turn: Arc<AtomicUsize>,
}

/// An instance that is registered while it runs.
pub(crate) struct Registered {
    nacos: Nacos,
    own: Vec<(&'static str, String)>,
    beats: JoinHandle<()>,
}

impl Nacos {
    /// By `NACOS` and `NAMESPACE`.
    pub(crate) fn from_env() -> Result<Self> {
        let address = env::var("NACOS").unwrap_or_else(|_| "127.0.0.1:8848".to_owned());
        let namespace = env::var("NAMESPACE").ok().filter(|name| !name.is_empty());
        Ok(Self {
            base: format!("http://{address}/nacos/v1/ns/instance"),
            namespace: namespace.unwrap_or_else(|| "public".to_owned()),
            client: Client::builder().timeout(TIMEOUT).build()?,
            known: Arc::default(),
            turn: Arc::default(),
        })
    }

    async fn call(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<String> {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), query)?;
        let sent = self.client.request(method, url).send();
        Ok(sent.await.context("Nacos cannot be asked")?.error_for_status()?.text().await?)
    }

    /// Registers an instance of 127.0.0.1, and keeps it alive.
    pub(crate) async fn register(&self, service: &str, version: &str, port: u16) -> Result<Registered> {
        let own = [("namespaceId", self.namespace.as_str()), ("serviceName", service), ("ip", "127.0.0.1")];
        let own = own.map(|(name, value)| (name, value.to_owned())).into_iter().chain([("port", port.to_string())]);
        let own: Vec<_> = own.collect();
        let metadata = json!({ "version": version });
        let with = |name, value: &Value| [own.as_slice(), &[(name, value.to_string())]].concat();
        self.call(Method::POST, "", &with("metadata", &metadata)).await?;
        let beat = json!({ "serviceName": service, "ip": "127.0.0.1", "port": port, "metadata": metadata });
        let (nacos, beat) = (self.clone(), with("beat", &beat));
        let beats = gray_common::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                if let Err(error) = nacos.call(Method::PUT, "/beat", &beat).await {
                    eprintln!("no beat: {error:#}");
                }
            }
        });
        Ok(Registered { nacos: self.clone(), own, beats })
    }

    /// `host:port` of an instance of a service, each in its turn.
    pub(crate) async fn instance(&self, service: &str) -> Result<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(service).cloned();
        let addresses = match known {
            Some((when, addresses)) if when.elapsed() < FRESH => addresses,
            _ => {
                let addresses = self.list(service).await?;
                let entry = (Instant::now(), addresses.clone());
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(service.to_owned(), entry);
                addresses
            }
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        let address = turn.checked_rem(addresses.len()).and_then(|at| addresses.get(at));
        address.cloned().with_context(|| format!("{service} has no instance"))
    }

    async fn list(&self, service: &str) -> Result<Vec<String>> {
        let query = [("namespaceId", &*self.namespace), ("serviceName", service), ("healthyOnly", "true")];
        let query = query.map(|(name, value)| (name, value.to_owned()));
        let list: Value = serde_json::from_str(&self.call(Method::GET, "/list", &query).await?)?;
        let hosts = list["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(hosts.iter().filter_map(|host| Some(format!("{}:{}", host["ip"].as_str()?, host["port"]))).collect())
    }
}

impl Registered {
    /// Takes it off the registry.
    pub(crate) async fn end(self) {
        self.beats.abort();
        if let Err(error) = self.nacos.call(Method::DELETE, "", &self.own).await {
            eprintln!("still registered: {error:#}");
        }
    }
}
