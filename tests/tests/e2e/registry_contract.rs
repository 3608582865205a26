//! The suites that every registry and every source of documents passes, on a real Nacos.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use e2e_tests::{Documents, Stage, nacos::Namespace};
use gray_core::Space;
use gray_nacos::{NacosConfigSource, NacosOptions, NacosRegistry};
use gray_registry::{Registry, config_source};

pub(crate) async fn registry(stage: Arc<Stage>) -> Result<()> {
    let options = options(&stage).await?.0;
    // A namespace of its own that exists, and another group of both.
    let other = self::options(&stage).await?.1;
    let spaces = [other.name.clone(), format!("{}@blue", other.name), "@blue".to_owned()];
    let spaces = spaces.iter().map(|text| text.parse()).collect::<Result<Vec<Space>, _>>()?;
    let inside = |space: &Space| -> Arc<dyn Registry> { NacosRegistry::connect(options.clone().in_space(space)) };
    gray_registry::contract::run(|| NacosRegistry::connect(options.clone()), &spaces, inside, "contract").await;
    Ok(())
}

pub(crate) async fn documents(stage: Arc<Stage>) -> Result<()> {
    let (options, namespace) = options(&stage).await?;
    let source = NacosConfigSource::connect(options);
    config_source::contract::run(source, &Console(namespace), "contract").await;
    Ok(())
}

async fn options(stage: &Stage) -> Result<(NacosOptions, Namespace)> {
    let nacos = stage.nacos().await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let mut options = NacosOptions::new(nacos.address());
    options.namespace = namespace.name.clone();
    Ok((options, namespace))
}

/// Changes documents as an operator does in the console.
struct Console(Namespace);

#[async_trait]
impl config_source::contract::Operator for Console {
    async fn publish(&self, name: &str, text: &str) {
        self.0.publish(name, text).await.expect("Nacos takes the document");
    }

    async fn remove(&self, name: &str) {
        self.0.delete(name).await.expect("Nacos removes the document");
    }
}
