//! The registry of a program that has none.

use std::sync::Arc;

use async_trait::async_trait;
use gray_core::instance::Instance;
use tokio::sync::watch;

use super::{Health, Registry, RegistryError, ServiceNames, ServiceState, Space};

/// No registry: nothing is announced ([`RegistryError::NoRegistry`]), and every list is empty. A program that runs on it
/// knows the static instances in its settings.
#[derive(Debug)]
pub struct NoRegistry {
    empty: watch::Sender<ServiceState>,
    names: watch::Sender<ServiceNames>,
    health: watch::Sender<Health>,
}

impl NoRegistry {
    /// It is always up.
    pub fn new() -> Arc<Self> {
        let (empty, names) = (watch::Sender::new(Some(Arc::from([]))), watch::Sender::new(Some(Arc::default())));
        Arc::new(Self { empty, names, health: watch::Sender::new(Health::Up) })
    }
}

#[async_trait]
impl Registry for NoRegistry {
    async fn register(&self, _service: &str, _instance: &Instance) -> Result<(), RegistryError> {
        Err(RegistryError::NoRegistry)
    }

    async fn deregister(&self, _service: &str, _instance: &Instance) -> Result<(), RegistryError> {
        Ok(())
    }

    fn watch(&self, _service: &str) -> watch::Receiver<ServiceState> {
        self.empty.subscribe()
    }

    fn watch_space(&self, _space: &Space, _service: &str) -> watch::Receiver<ServiceState> {
        self.empty.subscribe()
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.names.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}
