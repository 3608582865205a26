//! Several servers that are one Nacos.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use reqwest::Client;
use testcontainers::ImageExt as _;
use tokio::sync::RwLock;

use super::{Nacos, container, start, starting};
use crate::{eventually_within, ports};

/// Three servers, with the embedded database.
#[derive(Debug)]
pub struct Cluster {
    /// Each of them.
    pub nodes: Vec<Arc<Nacos>>,
}

impl Cluster {
    /// Starts them and waits until they have found each other.
    pub async fn start() -> Result<Self> {
        let network = format!("gray-cluster-{}", std::process::id());
        let names = [1, 2, 3].map(|number| format!("{network}-{number}"));
        let members = names.iter().map(|name| format!("{name}:8848")).collect::<Vec<_>>().join(" ");
        let _one_at_a_time = starting().await;
        let nodes = try_join_all(names.iter().map(async |name| {
            let port = ports::nacos_pair()?;
            let request = container(port)
                .with_env_var("MODE", "cluster")
                .with_env_var("EMBEDDED_STORAGE", "embedded")
                .with_env_var("PREFER_HOST_MODE", "hostname")
                .with_env_var("NACOS_SERVERS", &members)
                .with_network(&network)
                .with_container_name(name)
                .with_hostname(name);
            let container = RwLock::new(start(request).await?);
            let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
            anyhow::Ok(Arc::new(Nacos { container, http, port, token: std::sync::RwLock::default() }))
        }))
        .await?;
        try_join_all(nodes.iter().map(|node| node.wait_ready_or_say_why())).await?;
        Ok(Self { nodes })
    }

    /// All of them, as programs are told.
    pub fn address(&self) -> String {
        self.nodes.iter().map(|node| node.address()).collect::<Vec<_>>().join(",")
    }

    /// Waits until every server lists so many instances of a service.
    pub async fn lists(&self, namespace: &str, service: &str, count: usize) -> Result<()> {
        for node in &self.nodes {
            let namespace = node.existing_namespace(namespace);
            eventually_within(Duration::from_secs(120), "every server lists the instances", || async {
                let listed = namespace.instances(service).await?.len();
                ensure!(listed == count, "{listed} of {count}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Stops and removes them.
    pub async fn remove(self) -> Result<()> {
        for node in self.nodes {
            if let Some(node) = Arc::into_inner(node) {
                node.remove().await?;
            }
        }
        Ok(())
    }
}
