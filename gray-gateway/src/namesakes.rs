//! Services that have no instance where a route looks for them: named in another case than the registry has them, or in a space in which
//! there is none.

use gray_core::ServiceKey;
use gray_registry::{Registry, ServiceNames};
use gray_rules::{About, Finding, Fleet, Severity};
use tokio::sync::watch;

use crate::{
    located::newer,
    route::{RouteTable, Upstream},
};

/// The names in the registry, from when a service is first missing.
#[derive(Debug, Default)]
pub(crate) struct Namesakes {
    names: Option<watch::Receiver<ServiceNames>>,
}

impl Namesakes {
    /// A finding for each route whose service no registry has, but for one of the same name in another case, and for each whose
    /// service is not in the space that it names.
    pub(crate) fn find(&mut self, routes: &RouteTable, fleet: &Fleet, registry: &dyn Registry) -> Vec<Finding> {
        let is_missing = |service: &ServiceKey| fleet.within(service).is_some_and(|set| set.known().is_empty());
        let wanted: Vec<_> = { routes.routes().iter() }
            .filter(|route| !route.is_located)
            .flat_map(|route| route.targets().map(move |target| (route, target)))
            .filter_map(|(route, target)| match &target.upstream {
                Upstream::Service(service) if is_missing(service) => Some((route, service)),
                _ => None,
            })
            .collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let names = self.names.get_or_insert_with(|| registry.services()).borrow_and_update().clone();
        let names = names.unwrap_or_default();
        let found = wanted.into_iter().filter_map(|(route, service)| {
            let finding = |severity, code, message| {
                Some(Finding { severity, code, about: About::Route, name: route.id.clone(), message })
            };
            let name = service.name();
            if let Some(space) = service.space() {
                // What names there are in other spaces is not known.
                let here = if names.contains(name) { "; there are some in the gateway's own namespace and group" } else { "" };
                let message = format!(
                    "there is no instance of {name} in `{space}`, where metadata.space looks for it: requests get 503{here}. Names of \
                     namespaces (by their ID), groups and services are those of the registry, to the letter"
                );
                return finding(Severity::Warning, "space-without-instance", message);
            }
            let other = names.iter().find(|other| other.eq_ignore_ascii_case(name) && ***other != *name)?;
            let message = format!(
                "no registry has an instance of {name}, but there is {other}: names of services are those of the registry, to \
                 the letter; write `lb://{other}`"
            );
            finding(Severity::Error, "service-name-case", message)
        });
        found.collect()
    }

    /// Returns when there are other names. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        newer(self.names.as_mut()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use gray_core::Instance;
    use gray_document::Documents;
    use gray_registry::MemoryRegistry;

    use super::*;

    #[tokio::test]
    async fn another_case_is_told_and_never_taken() {
        let text = "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://ORDER-APP', predicates: ['Path=/a'] }\n\
                    - { id: b, uri: 'lb://user-app', predicates: ['Path=/b'] }\n\
                    - { id: c, uri: 'lb://pay-app', predicates: ['Path=/c'] }\n";
        let documents = Documents::parse(&[("g.yaml", text)], &|_| None).expect("well formed");
        let routes = RouteTable::read(&documents.root());
        let registry = MemoryRegistry::new();
        registry.set("order-app", vec![Instance::new("h", 1)]);
        registry.set("USER-APP", vec![Instance::new("h", 2)]);
        let fleet = |names: &[&str]| -> Fleet { names.iter().map(|name| ((*name).into(), Arc::default())).collect() };
        let mut namesakes = Namesakes::default();
        assert_eq!(namesakes.find(&routes, &fleet(&[]), &*registry), [], "of none it is known that it is missing");
        let missing = fleet(&["ORDER-APP", "pay-app"]);
        let looking = async {
            loop {
                let found = namesakes.find(&routes, &missing, &*registry);
                if !found.is_empty() {
                    return found;
                }
                namesakes.changed().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), looking).await.expect("found");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].name, found[0].severity), ("a", Severity::Error));
        assert!(found[0].message.contains("but there is order-app"), "{found:?}");
        let known = Arc::new(gray_core::InstanceSet::new(&[Instance::new("h", 3)], None));
        let fleet: Fleet = [(ServiceKey::from("ORDER-APP"), known)].into_iter().collect();
        assert_eq!(namesakes.find(&routes, &fleet, &*registry), []);
    }
    #[tokio::test]
    async fn a_space_without_the_service_is_told() {
        let text = "spring.cloud.gateway.routes:\n\
                    - { id: a, uri: 'lb://pay-app', predicates: ['Path=/a'], metadata: { space: '@PAY' } }\n\
                    - { id: b, uri: 'lb://pay-app', predicates: ['Path=/b'], metadata: { space: '@DONE' } }\n";
        let documents = Documents::parse(&[("g.yaml", text)], &|_| None).expect("well formed");
        let routes = RouteTable::read(&documents.root());
        let registry = MemoryRegistry::new();
        let key = |space: &str| ServiceKey::within(&space.parse().expect("a space"), "pay-app");
        let there = Arc::new(gray_core::InstanceSet::new(&[Instance::new("h", 1)], None));
        let fleet: Fleet = [(key("@PAY"), Arc::default()), (key("@DONE"), there)].into_iter().collect();
        let found = Namesakes::default().find(&routes, &fleet, &*registry);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].name, found[0].code), ("a", "space-without-instance"));
        assert!(found[0].message.contains("`@PAY`") && !found[0].message.contains("own namespace"), "{found:?}");
        registry.set("pay-app", vec![Instance::new("h", 2)]);
        let found = Namesakes::default().find(&routes, &fleet, &*registry);
        assert!(found[0].message.contains("some in the gateway's own namespace and group"), "{found:?}");
    }
}
