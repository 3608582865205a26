//! What the adapters of brokers take from a service: the rules of its messages, and whether its gray version is deployed.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use gray_context::{MessageRules, MessageSigning};
use gray_settings::GraySettings;

use super::GrayService;
use crate::client::{ServiceView, ViewSnapshot};

/// The rules, and the settings that they were made of.
type Made = (Arc<GraySettings>, Arc<MessageRules>);

impl GrayService {
    /// What the service goes by when it reads and writes messages, by the settings as they are when it is asked; `None` until
    /// they are known. For the adapters of brokers, which ask for each message: the rules are made once for each settings.
    pub fn messages(&self) -> impl Fn() -> Option<Arc<MessageRules>> + Clone + Send + Sync + 'static + use<> {
        let (settings, last) = (self.settings.shared(), Arc::new(ArcSwapOption::<Made>::empty()));
        move || {
            let settings = settings.load();
            let settings = settings.as_ref()?;
            if let Some(made) = &*last.load()
                && Arc::ptr_eq(&made.0, settings)
            {
                return Some(Arc::clone(&made.1));
            }
            let rules = Arc::new(message_rules(settings));
            last.store(Some(Arc::new((Arc::clone(settings), Arc::clone(&rules)))));
            Some(rules)
        }
    }

    /// Whether the registry knows an instance of this service's gray version, alive or not, by the settings as they are when it is asked:
    /// `is_deployed` of gray-kafka's options. What is not known counts as deployed: a registry that has not answered yet, that is not
    /// there, or that lists no instance of the service at all, not even this one. Until it is dropped, the service follows itself.
    /// Must be called within a tokio runtime.
    pub fn gray_deployed(&self) -> impl Fn() -> bool + Clone + Send + Sync + 'static + use<> {
        let own: ServiceView = self.follow(self.name());
        move || is_gray_deployed(&own.load())
    }
}

fn is_gray_deployed(own: &ViewSnapshot) -> bool {
    let instances = own.instances.known();
    !own.known || instances.is_empty() || instances.iter().any(|one| one.version() == Some(own.policy.gray.as_str()))
}

fn message_rules(settings: &GraySettings) -> MessageRules {
    let mut rules = MessageRules::new(settings.policy.clone());
    rules.propagate = settings.mesh.propagate.clone();
    rules.baggage = settings.mesh.baggage;
    let signing = settings.mesh.signing.as_ref();
    rules.signing = signing.map(|one| MessageSigning::new(one.keys.clone(), one.message_ttl, one.ttl));
    rules
}
