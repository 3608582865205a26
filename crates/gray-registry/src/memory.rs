//! A registry in memory, for tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use gray_core::instance::Instance;
use tokio::sync::watch;

use super::{Health, Registry, RegistryError, ServiceNames, ServiceState, Space};

/// A registry in memory. It answers at once: a service without registrations has an empty list.
#[derive(Debug)]
pub struct MemoryRegistry {
    services: Mutex<HashMap<String, watch::Sender<ServiceState>>>,
    names: watch::Sender<ServiceNames>,
    health: watch::Sender<Health>,
    spaces: Mutex<BTreeMap<Space, Arc<MemoryRegistry>>>,
}

impl MemoryRegistry {
    /// An empty registry that is up.
    pub fn new() -> Arc<Self> {
        let (services, spaces) = (Mutex::default(), Mutex::default());
        let names = watch::Sender::new(Some(Arc::default()));
        Arc::new(Self { services, names, health: watch::Sender::new(Health::Up), spaces })
    }

    /// The registry of another space.
    pub fn space(&self, space: &Space) -> Arc<Self> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(spaces.entry(space.clone()).or_insert_with(Self::new))
    }

    /// Replaces the whole list of a service.
    pub fn set(&self, service: &str, instances: Vec<Instance>) {
        self.change(service, |list| *list = instances);
    }

    /// Goes back to "has not answered yet".
    pub fn forget(&self, service: &str) {
        self.with(service, |state| {
            state.send_replace(None);
        });
    }

    /// Sets what [`Registry::health`] reports.
    pub fn set_health(&self, health: Health) {
        self.health.send_replace(health);
    }

    fn with<T>(&self, service: &str, use_it: impl FnOnce(&watch::Sender<ServiceState>) -> T) -> T {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = || watch::Sender::new(Some(Arc::from([])));
        use_it(services.entry(service.to_owned()).or_insert_with(empty))
    }

    fn change(&self, service: &str, edit: impl FnOnce(&mut Vec<Instance>)) {
        self.with(service, |state| {
            let mut list = state.borrow().as_deref().map(<[Instance]>::to_vec).unwrap_or_default();
            edit(&mut list);
            self.names.send_modify(|names| {
                let names = Arc::make_mut(names.get_or_insert_default());
                if list.is_empty() {
                    names.remove(service)
                } else {
                    names.insert(service.into())
                };
            });
            state.send_replace(Some(list.into()));
        });
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.change(service, |list| {
            list.retain(|other| other.authority() != instance.authority());
            list.push(instance.clone());
        });
        Ok(())
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.change(service, |list| list.retain(|other| other.authority() != instance.authority()));
        Ok(())
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        self.with(service, watch::Sender::subscribe)
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        self.space(space).watch(service)
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.names.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}
