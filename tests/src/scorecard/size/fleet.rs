//! Services that are only listed: nothing answers at their instances.

use std::{collections::HashMap, net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};
use nacos_sdk::api::{
    naming::{NamingService, NamingServiceBuilder, ServiceInstance},
    props::ClientProps,
};

use crate::nacos::GROUP;

/// One connection that lists a whole fleet.
pub(super) struct Fleet {
    client: NamingService,
    instances: u32,
}

/// `svc-0007`.
pub(super) fn name(service: u32) -> String {
    format!("svc-{service:04}")
}

impl Fleet {
    /// Connects. Its cache goes below `cache`.
    pub(super) async fn connect(server: String, namespace: &str, instances: u32, cache: &Path) -> Result<Self> {
        let props = ClientProps::new()
            .server_addr(server)
            .namespace(namespace)
            .env_first(false)
            .cache_dir(cache.to_path_buf())
            .app_name("fleet");
        let client = NamingServiceBuilder::new(props).build().await.context("the fleet cannot reach Nacos")?;
        Ok(Self { client, instances })
    }

    /// Lists a service, or lists it anew with this weight, in one call.
    pub(super) async fn list(&self, service: u32, weight: f64) -> Result<()> {
        let instances = (0..self.instances).map(|number| ServiceInstance {
            ip: address(service * self.instances + number).to_string(),
            port: 8080,
            weight,
            metadata: HashMap::from([("version".to_owned(), if number % 10 == 9 { "V2" } else { "V1" }.to_owned())]),
            ..ServiceInstance::default()
        });
        let listed = self.client.batch_register_instance(name(service), Some(GROUP.to_owned()), instances.collect());
        listed.await.with_context(|| format!("Nacos does not list {}", name(service)))
    }
}

/// 10.0.0.1 and those after it.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number)
}
