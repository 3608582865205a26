//! What is published when.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use gray_document::{Documents, check};
use gray_registry::MemoryRegistry;
use tracing::{Event, Metadata, Subscriber, span};

use super::*;

/// Notes which revision is in effect when a finding is logged.
struct Watching {
    shared: Arc<ArcSwap<Snapshot>>,
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Subscriber for Watching {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().ends_with("::findings")
    }

    fn event(&self, _: &Event<'_>) {
        self.seen.lock().expect("no panic").push(self.shared.load().revision);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn config(text: &str) -> GatewayConfig {
    let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
    check(&[("test.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}")).0
}

#[tokio::test]
async fn an_update_is_published_first_and_linted_after() {
    let text = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n\
        spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }]\n\
        gray: { lanes: { v2: { select: V2 } }, rules: [{ name: a, when: { header.x: 1 }, lane: v2 }, { name: b, when: { header.x: 1 }, lane: v2 }] }\n";
    let revision = 7;
    let (_settings, receiver) = watch::channel(SettingsState::of(config(text), revision));
    let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
    let seen = Arc::default();
    let watching = Watching { shared: Arc::clone(&shared), seen: Arc::clone(&seen) };
    let _guard = tracing::subscriber::set_default(watching);
    let control = ControlLoop::new(receiver, MemoryRegistry::new(), Arc::clone(&shared), CitySource::default(), "V1");
    let began = Instant::now();
    let linted = async {
        while shared.load().findings.is_empty() && began.elapsed() < Duration::from_secs(30) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = control.run() => {}
        () = linted => {}
    }
    let findings = shared.load().findings.len();
    assert!(findings > 0, "they are published as well");
    assert_eq!(*seen.lock().expect("no panic"), vec![7; findings], "the update was in effect when it was judged");
    assert_eq!(shared.load().revision, 7);
}

/// The first snapshot with so many routes, of a gateway that finds these services in its registry.
async fn snapshot(text: &str, services: &[&str], routes: usize) -> Arc<Snapshot> {
    let (_settings, receiver) = watch::channel(SettingsState::of(config(text), 1));
    let registry = MemoryRegistry::new();
    services.iter().for_each(|service| registry.set(service, vec![gray_core::Instance::new("h", 1)]));
    let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
    let control = ControlLoop::new(receiver, registry, Arc::clone(&shared), CitySource::default(), "V1");
    let complete = async {
        while shared.load().routes.routes().len() != routes {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = control.run() => {}
        outcome = tokio::time::timeout(Duration::from_secs(30), complete) => outcome.expect("published"),
    }
    shared.load_full()
}

/// A request that comes back by another gateway of the fleet is known, whatever services that one has heard of.
#[tokio::test]
async fn gateways_with_the_same_documents_write_the_same_hops() {
    let located = "spring.cloud.gateway.discovery.locator.enabled: true\n";
    let line = async |text: &str, services: &[&str], routes: usize| {
        let mut line = Vec::new();
        snapshot(text, services, routes).await.hops.write(0, &mut line);
        line
    };
    let one = line(located, &["user-app"], 1).await;
    assert_eq!(one, line(located, &["user-app", "order-app"], 2).await);
    let other =
        format!("{located}spring.cloud.gateway.routes: [{{ id: a, uri: 'lb://a', predicates: ['Path=/a'] }}]\n");
    assert_ne!(one, line(&other, &["user-app"], 2).await, "of other documents");
}

/// News of one service costs the others nothing, and what concerns all of them reaches all.
#[tokio::test]
async fn services_without_news_are_taken_over() {
    let text = |rule: &str| {
        let route = |name: &str| format!("{{ id: {name}, uri: 'lb://{name}', predicates: ['Path=/{name}'] }}");
        let balanced =
            |name: &str| format!("{name}.ribbon.NFLoadBalancerRuleClassName: com.netflix.loadbalancer.{rule}\n");
        let routes = format!("spring.cloud.gateway.routes: [{}, {}]\n", route("a"), route("b"));
        routes + &balanced("a") + &balanced("b")
    };
    let (settings, receiver) = watch::channel(SettingsState::of(config(&text("RoundRobinRule")), 1));
    let registry = MemoryRegistry::new();
    let set = |service: &str, ports: &[u16]| {
        registry.set(service, ports.iter().map(|port| gray_core::Instance::new("h", *port)).collect());
    };
    set("a", &[1]);
    set("b", &[1]);
    let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
    let control = ControlLoop::new(
        receiver,
        Arc::clone(&registry) as Arc<dyn Registry>,
        Arc::clone(&shared),
        CitySource::default(),
        "V1",
    );
    let steps = async {
        let published = async |a: usize, b: usize, revision: u64| {
            loop {
                let now = shared.load_full();
                let known = |service: &str| now.services.get(service).map_or(0, |service| service.set.known().len());
                if (known("a"), known("b"), now.revision) == (a, b, revision) {
                    return Arc::clone(&now.services);
                }
                tokio::task::yield_now().await;
            }
        };
        let first = published(1, 1, 1).await;
        set("a", &[1, 2]);
        let second = published(2, 1, 1).await;
        assert!(Arc::ptr_eq(&first["b"], &second["b"]) && !Arc::ptr_eq(&first["a"], &second["a"]));
        set("b", &[]);
        let third = published(2, 0, 1).await;
        assert!(Arc::ptr_eq(&third["a"], &second["a"]));
        settings.send_replace(SettingsState::of(config(&text("RandomRule")), 2));
        let fourth = published(2, 0, 2).await;
        let is_changed = |service: &str| fourth[service].strategy != third[service].strategy;
        assert!(is_changed("a") && is_changed("b"));
    };
    tokio::select! {
        () = control.run() => {}
        outcome = tokio::time::timeout(Duration::from_secs(30), steps) => outcome.expect("published"),
    }
}
