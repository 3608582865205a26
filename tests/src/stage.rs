//! What the tests of one run share: a Nacos, a Eureka, and a chain that is not changed. Each starts when first asked for.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::OnceCell;

use crate::{Chain, Eureka, Nacos, Setup};

/// The shared things.
#[derive(Debug, Default)]
pub struct Stage {
    nacos: OnceCell<Arc<Nacos>>,
    eureka: OnceCell<Eureka>,
    chain: OnceCell<Chain>,
}

impl Stage {
    /// The shared Nacos.
    pub async fn nacos(&self) -> Result<&Arc<Nacos>> {
        self.nacos.get_or_try_init(|| async { Ok(Arc::new(Nacos::start().await?)) }).await
    }

    /// The shared Eureka server, which answers from no cache.
    pub async fn eureka(&self) -> Result<&Eureka> {
        self.eureka.get_or_try_init(|| Eureka::start(&[])).await
    }

    /// The shared chain: the documents as deployed, V1 and V2 of both services. Only for tests that change nothing.
    pub async fn chain(&self) -> Result<&Chain> {
        self.chain.get_or_try_init(|| async { Chain::start(self.nacos().await?, Setup::new()?).await }).await
    }

    /// Stops and removes everything.
    pub async fn close(mut self) -> Result<()> {
        drop(self.chain.take());
        if let Some(mut eureka) = self.eureka.take() {
            eureka.kill().await?;
        }
        let Some(nacos) = self.nacos.take() else { return Ok(()) };
        Arc::into_inner(nacos).context("a test still holds the shared Nacos")?.remove().await
    }
}
