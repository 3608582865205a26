//! Routes for the services of the registry (`spring.cloud.gateway.discovery.locator`), as services come and go.

use std::{collections::BTreeSet, sync::Arc};

use gray_core::instance::Metadata;
use gray_registry::{Registry, ServiceNames};
use tokio::sync::watch;

use crate::{
    config::{GatewayConfig, MAX_SERVICES, SERVICE},
    route::{Located, Locator},
};

/// What the locator has made of the documents in effect.
#[derive(Debug, Default)]
pub(crate) struct LocatedRoutes {
    /// From when they are first needed.
    names: Option<watch::Receiver<ServiceNames>>,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    /// As the documents have it.
    written: Arc<GatewayConfig>,
    services: Vec<Service>,
    /// With the routes of the services.
    config: Arc<GatewayConfig>,
}

type Service = (Box<str>, Vec<Metadata>);

impl LocatedRoutes {
    /// The names of all services, those that only the settings know included; `None`: the registry has not answered yet. A name with
    /// a slash is left out: it would be taken for a service in another space ([`ServiceKey`](gray_core::ServiceKey)).
    pub(crate) fn names(&mut self, config: &GatewayConfig, registry: &dyn Registry) -> Option<BTreeSet<Box<str>>> {
        let names = self.names.get_or_insert_with(|| registry.services()).borrow_and_update().clone()?;
        let fixed = config.gray.static_instances.keys().map(|name| name.as_str().into());
        let names = names.iter().cloned().chain(fixed).filter(|name| !name.contains('/'));
        Some(names.take(MAX_SERVICES).collect())
    }

    /// The configuration with routes for these services. Too many of them leave it as it was.
    pub(crate) fn update(&mut self, written: &Arc<GatewayConfig>, services: Vec<Service>) -> Arc<GatewayConfig> {
        let before = self.made.take().filter(|made| Arc::ptr_eq(&made.written, written));
        if let Some(made) = before.as_ref().filter(|made| made.services == services) {
            let config = Arc::clone(&made.config);
            self.made = before;
            return config;
        }
        let located: Vec<_> = services.iter().map(|(name, instances)| Located { name, instances }).collect();
        let config = match written.routes.with_services(&located, SERVICE) {
            Ok(table) => {
                let count = table.routes().iter().filter(|route| route.is_located).count();
                let unfit: Vec<_> =
                    { located.iter() }.map(|one| one.name).filter(|name| !Locator::takes_name(name)).collect();
                tracing::info!(services = services.len(), routes = count, ?unfit, "routes of services");
                if services.len() == MAX_SERVICES {
                    tracing::warn!(
                        MAX_SERVICES,
                        "no routes for further services: the registry has as many as a gateway follows"
                    );
                }
                Arc::new(written.with_routes(table))
            }
            Err(problems) => {
                let reason = problems.errors().next().map(ToString::to_string).unwrap_or_default();
                tracing::error!(
                    services = services.len(),
                    reason,
                    "no new routes of services: those that there were stay"
                );
                before.map_or_else(|| Arc::clone(written), |made| made.config)
            }
        };
        self.made = Some(Made { written: Arc::clone(written), services, config: Arc::clone(&config) });
        config
    }

    /// Whether the registry has told which services there are.
    pub(crate) fn is_known(&self) -> bool {
        self.names.as_ref().is_some_and(|names| names.borrow().is_some())
    }

    /// Returns when there are other services. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        newer(self.names.as_mut()).await;
    }
}

/// Returns when there is a newer value; never, where nothing is followed. Cancel safe.
pub(crate) async fn newer<T>(followed: Option<&mut watch::Receiver<T>>) {
    let is_open = match followed {
        Some(values) => values.changed().await.is_ok(),
        None => false,
    };
    if !is_open {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use gray_core::Instance;
    use gray_document::{Documents, check};
    use gray_live::SettingsState;
    use gray_registry::MemoryRegistry;
    use tokio::{
        task::JoinSet,
        time::{Instant, sleep, timeout},
    };

    use super::*;
    use crate::{
        control::{ControlLoop, Warmth},
        geo::CitySource,
        snapshot::Snapshot,
    };

    const LIMIT: Duration = Duration::from_secs(10);

    fn config(text: &str) -> Arc<GatewayConfig> {
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, _) = check(&[("test.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        Arc::new(config)
    }

    fn settings(text: &str, revision: u64) -> SettingsState<GatewayConfig> {
        SettingsState::of(config(text), revision)
    }

    /// The routes' ids in effect, once they are these.
    async fn become_these(shared: &ArcSwap<Snapshot>, expect: &[&str]) {
        let began = Instant::now();
        loop {
            let snapshot = shared.load();
            let ids: Vec<_> = snapshot.routes.routes().iter().map(|route| &*route.id).collect();
            if ids == expect && expect.iter().all(|id| snapshot.services.contains_key(id.trim_start_matches("s-"))) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{ids:?}, not {expect:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn no_name_in_the_registry_means_a_service_in_another_space() {
        let registry = MemoryRegistry::new();
        for name in ["order-app", "@PAY/pay-app", "ns/pay-app"] {
            registry.set(name, vec![Instance::new("127.0.0.1", 1)]);
        }
        let names = LocatedRoutes::default().names(&config("{}"), &*registry);
        assert_eq!(names, Some(BTreeSet::from(["order-app".into()])));
    }

    #[tokio::test]
    async fn routes_follow_the_services() {
        let locator = "spring.cloud.gateway.discovery.locator: { enabled: true, route-id-prefix: s- }";
        let registry = MemoryRegistry::new();
        let (documents, receiver) = watch::channel(settings(locator, 1));
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let control = ControlLoop::new(
            receiver,
            Arc::<MemoryRegistry>::clone(&registry),
            Arc::clone(&shared),
            CitySource::default(),
            "V1",
        );
        let mut warmth = control.warmth();
        let mut running = JoinSet::new();
        running.spawn(control.run());
        let warm = timeout(LIMIT, warmth.wait_for(|warmth| *warmth >= Warmth::Warm)).await.map(|warm| warm.is_ok());
        assert_eq!(warm, Ok(true), "no service is an answer as well");

        let instance =
            |port: u16, edge: &str| Instance::new("127.0.0.1", port).with_version("V1").with_metadata("edge", edge);
        registry.set("order-app", vec![instance(1, "true")]);
        become_these(&shared, &["s-order-app"]).await;
        registry.set("gateway-app", vec![instance(2, "true")]);
        registry.set("user-app", vec![instance(3, "false")]);
        become_these(&shared, &["s-order-app", "s-user-app"]).await;
        registry.set("order-app", Vec::new());
        become_these(&shared, &["s-user-app"]).await;
        registry.set("order-app", vec![instance(1, "true")]);
        become_these(&shared, &["s-order-app", "s-user-app"]).await;

        let edge = "spring.cloud.gateway.discovery.locator: { enabled: true, route-id-prefix: s-, include-expression: \"metadata['edge']=='true'\" }";
        documents.send_replace(settings(edge, 2));
        become_these(&shared, &["s-order-app"]).await;
        registry.set("user-app", vec![instance(3, "true")]);
        become_these(&shared, &["s-order-app", "s-user-app"]).await;
        documents.send_replace(settings("spring.cloud.gateway.routes: []", 3));
        become_these(&shared, &[]).await;
    }

    #[tokio::test]
    async fn what_the_registry_has_not_told_is_waited_for() {
        let locator = "spring.cloud.gateway.discovery.locator: { enabled: true }";
        let (_documents, receiver) = watch::channel(settings(locator, 1));
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let registry = gray_nacos::NacosRegistry::connect(gray_nacos::NacosOptions::new("127.0.0.1:1"));
        let control = ControlLoop::new(receiver, registry, Arc::clone(&shared), CitySource::default(), "V1");
        let mut warmth = control.warmth();
        let mut running = JoinSet::new();
        running.spawn(control.run());
        let began = Instant::now();
        while shared.load().revision == 0 {
            assert!(began.elapsed() < LIMIT, "the documents are not applied");
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(*warmth.borrow_and_update(), Warmth::Cold, "404 for everybody would be wrong");
    }
}
