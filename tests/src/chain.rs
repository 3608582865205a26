//! A whole chain on one namespace: gateway, order-app and user-app, as processes.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{App, Documents, Http, Nacos, Seen, eventually, nacos::Namespace, ports, request::Headers};

/// What a chain is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Documents in its namespace.
    pub documents: Documents,
    /// One order-app for each.
    pub orders: Vec<&'static str>,
    /// One user-app for each.
    pub users: Vec<&'static str>,
    /// More arguments for the gateway.
    pub gateway_args: Vec<String>,
    /// The user of the services in Nacos, and the password.
    pub services_as: Option<(String, String)>,
    /// The user of the gateway.
    pub gateway_as: Option<(String, String)>,
}

impl Setup {
    /// V1 and V2 of both services, the documents as deployed.
    pub fn new() -> Result<Self> {
        let versions = vec!["V1", "V2"];
        Ok(Self {
            documents: Documents::deployed()?,
            orders: versions.clone(),
            users: versions,
            gateway_args: Vec::new(),
            services_as: None,
            gateway_as: None,
        })
    }

    /// With one setting changed.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self> {
        self.documents = self.documents.with(key, value)?;
        Ok(self)
    }
}

/// A service's process, its version, and its port.
#[derive(Debug)]
pub struct Service {
    /// The process.
    pub app: App,
    /// The version it was started with.
    pub version: &'static str,
    /// Its port.
    pub port: u16,
}

/// A running chain.
#[derive(Debug)]
pub struct Chain {
    /// Its namespace.
    pub namespace: Namespace,
    /// The documents it started with.
    pub documents: Documents,
    /// The gateway.
    pub gateway: App,
    /// The gateway's address, as `http://host:port`.
    pub url: String,
    /// Port of the gateway's admin side.
    pub admin_port: u16,
    /// The order-apps.
    pub orders: Vec<Service>,
    /// The user-apps.
    pub users: Vec<Service>,
    /// A client.
    pub http: Http,
}

/// The arguments that lead a program to a namespace.
pub fn registry_args(nacos: &str, namespace: &str) -> Vec<String> {
    ["--nacos", nacos, "--namespace", namespace, "--advertise", "127.0.0.1"].map(str::to_owned).to_vec()
}

/// Starts one instance of a service.
pub fn start_service(program: &str, version: &'static str, registry: &[String]) -> Result<Service> {
    start_service_with(program, version, registry, &[])
}

/// The same with these variables in its environment.
pub fn start_service_with(
    program: &str,
    version: &'static str,
    registry: &[String],
    variables: &[(&str, &str)],
) -> Result<Service> {
    let [port] = ports::free()?;
    let own = ["--port".to_owned(), port.to_string(), "--service-version".to_owned(), version.to_owned()];
    Ok(Service { app: App::start_with(program, &[&own, registry].concat(), variables)?, version, port })
}

impl Chain {
    /// Starts a chain and waits until every part of it is ready and answers.
    pub async fn start(nacos: &Arc<Nacos>, setup: Setup) -> Result<Self> {
        Self::start_at(nacos, &nacos.address(), setup).await
    }

    /// The same, with Nacos reached under another address (through a [`Cable`](crate::cable::Cable)).
    pub async fn start_at(nacos: &Arc<Nacos>, address: &str, setup: Setup) -> Result<Self> {
        let namespace = nacos.namespace(&setup.documents).await?;
        Self::start_in(namespace, address, setup).await
    }

    /// The same, in a namespace that is there already.
    pub async fn start_in(namespace: Namespace, address: &str, setup: Setup) -> Result<Self> {
        let args = |user: &Option<(String, String)>| {
            let user = user.iter().flat_map(|(name, password)| {
                ["--nacos-username", name, "--nacos-password", password].map(str::to_owned)
            });
            registry_args(address, &namespace.name).into_iter().chain(user).collect::<Vec<_>>()
        };
        let (registry, gateway_registry) = (args(&setup.services_as), args(&setup.gateway_as));
        let start = |program: &'static str, versions: &[&'static str]| -> Result<Vec<Service>> {
            versions.iter().map(|version| start_service(program, version, &registry)).collect()
        };
        let (orders, users) = (start("order-app", &setup.orders)?, start("user-app", &setup.users)?);
        let [port, admin_port] = ports::free()?;
        let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
        let gateway = App::start("gray-gateway", &[&own, &gateway_registry[..], &setup.gateway_args[..]].concat())?;
        let url = format!("http://127.0.0.1:{port}");
        let documents = setup.documents;
        let mut chain = Self { namespace, documents, gateway, url, admin_port, orders, users, http: Http::new()? };
        chain.wait_ready().await?;
        Ok(chain)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        self.gateway.wait_ready(self.admin_port).await?;
        for service in self.orders.iter_mut().chain(&mut self.users) {
            service.app.wait_ready(service.port).await?;
        }
        eventually("the gateway knows every instance", || async {
            let status = self.status().await?;
            for (name, services) in [("order-app", &self.orders), ("user-app", &self.users)] {
                let known = status["services"][name]["instances"].as_array().map_or(0, Vec::len);
                ensure!(known == services.len(), "{known} of {} {name}", services.len());
            }
            Ok(())
        })
        .await?;
        for order in &self.orders {
            for (tag, version) in [("PROD", "V1"), ("GRAY", "V2")] {
                if self.users.iter().any(|user| user.version == version) {
                    self.wait_for_hop(order, tag, version).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until an order-app has found a version of user-app.
    async fn wait_for_hop(&self, order: &Service, tag: &str, version: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/order/N0001", order.port);
        eventually(&format!("order-app {} at {} finds user-app {version}", order.version, order.port), || async {
            let answer = self.http.get(&url, &[("gray", tag)]).await?;
            ensure!(answer.versions().is_some_and(|(_, user)| user == version), "{}", answer.text);
            Ok(())
        })
        .await
    }

    /// The gateway's own view of itself.
    pub async fn status(&self) -> Result<Value> {
        self.http.get(&format!("http://127.0.0.1:{}/status", self.admin_port), &[]).await?.json()
    }

    /// 24 requests; which versions answered.
    pub async fn orders(&self, headers: Headers<'_>) -> Result<Seen> {
        self.http
            .orders(&self.url, 24, headers)
            .await
            .with_context(|| format!("the gateway's log:\n{}", self.gateway.log()))
    }

    /// Waits until 24 requests are answered by `version` alone, on both hops.
    pub async fn settles_on(&self, version: &str, headers: Headers<'_>) -> Result<()> {
        eventually(&format!("only {version} answers {headers:?}"), || async {
            self.orders(headers).await?.only(version)
        })
        .await
    }

    /// Waits until 24 requests are answered by all four combinations.
    pub async fn settles_on_all(&self, headers: Headers<'_>) -> Result<()> {
        eventually(&format!("all versions answer {headers:?}"), || async { self.orders(headers).await?.all_four() })
            .await
    }

    /// Publishes the documents it started with, with one setting changed.
    pub async fn set(&self, key: &str, value: &str) -> Result<()> {
        self.namespace.publish_all(&self.documents.clone().with(key, value)?).await
    }

    /// Publishes the documents it started with.
    pub async fn reset(&self) -> Result<()> {
        self.namespace.publish_all(&self.documents).await
    }
}
