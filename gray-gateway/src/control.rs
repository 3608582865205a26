//! The control loop: settings and registry pushes in, one immutable [`Snapshot`] out, swapped in whole.
//!
//! It runs off the request path. A worker sees either the old snapshot or the new one, never a mixture; a request
//! that has begun finishes with the one it began with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use gray_core::{GrayStatus, InstanceSet};
use gray_live::{ServiceFollower, SettingsState, clock::uptime_ms};
use gray_registry::Registry;
use gray_rules::{FactPlan, Fleet};
use gray_settings::Caller;
use http::HeaderValue;
use tokio::sync::{Notify, watch};

use crate::{
    breakers::BreakerStates,
    checks::Checks,
    config::{GatewayConfig, SERVICE, lane_services},
    findings::Findings,
    geo::CitySource,
    hops::Hops,
    keys::KeyFollower,
    listing::Listing,
    located::LocatedRoutes,
    rates::RateStates,
    route::{RouteTable, Upstream},
    scheme::Scheme,
    snapshot::{ServiceSnapshot, Services, Snapshot},
    tally::Tallies,
    tls::UpstreamTls,
    trusted_hops::TrustedHops,
};

/// How much the published snapshot knows. Only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warmth {
    /// Too little to serve.
    #[default]
    Cold,
    /// Routes, and something of every service that they name.
    Warm,
    /// Everything about those and the services that lanes name: other namespaces have answered as well.
    Settled,
}

/// Follows settings and services, and publishes snapshots until the task is dropped.
#[derive(Debug)]
pub struct ControlLoop {
    settings: watch::Receiver<SettingsState<GatewayConfig>>,
    registry: Arc<dyn Registry>,
    listing: Listing,
    shared: Arc<ArcSwap<Snapshot>>,
    city: CitySource,
    caller: Caller,
    tallies: Tallies,
    rates: RateStates,
    breakers: BreakerStates,
    /// Changes when files are to be read again.
    reload: watch::Receiver<u64>,
    followed: BTreeMap<Box<str>, ServiceFollower>,
    changed: Arc<Notify>,
    reported: u64,
    findings: Findings,
    plan: Arc<FactPlan>,
    warmth: watch::Sender<Warmth>,
    checks: Checks,
    located: LocatedRoutes,
    keys: KeyFollower,
    /// Those that the rate limits were made for.
    routes: Arc<RouteTable>,
}

impl ControlLoop {
    /// A loop that publishes into `shared`, for a gateway of this version.
    pub fn new(
        settings: watch::Receiver<SettingsState<GatewayConfig>>,
        registry: Arc<dyn Registry>,
        shared: Arc<ArcSwap<Snapshot>>,
        city: CitySource,
        version: &str,
    ) -> Self {
        Self {
            settings,
            listing: Listing::new(registry.health()),
            registry,
            shared,
            city,
            caller: Caller { service: SERVICE.into(), version: Some(version.into()) },
            tallies: Tallies::new(1),
            rates: RateStates::default(),
            breakers: BreakerStates::default(),
            reload: watch::Sender::default().subscribe(),
            followed: BTreeMap::new(),
            changed: Arc::new(Notify::new()),
            reported: 0,
            findings: Findings::default(),
            plan: Arc::default(),
            warmth: watch::Sender::default(),
            checks: Checks::default(),
            located: LocatedRoutes::default(),
            keys: KeyFollower::default(),
            routes: Arc::default(),
        }
    }

    /// How much is known in what has been published.
    pub fn warmth(&self) -> watch::Receiver<Warmth> {
        self.warmth.subscribe()
    }

    /// With counters for so many workers.
    #[must_use]
    pub fn counting(self, workers: usize) -> Self {
        Self { tallies: Tallies::new(workers), ..self }
    }

    /// With health checks that judge certificates by this.
    #[must_use]
    pub fn checking(self, tls: Arc<UpstreamTls>) -> Self {
        Self { checks: Checks::new(tls), ..self }
    }

    /// With keys of tokens that are fetched by this.
    #[must_use]
    pub fn fetching(self, keys: KeyFollower) -> Self {
        Self { keys, ..self }
    }

    /// Reading the city data again whenever this changes.
    #[must_use]
    pub fn reloading(self, reload: watch::Receiver<u64>) -> Self {
        Self { reload, ..self }
    }

    /// Runs for ever. Cancel safe: dropping the future leaves the last snapshot in place.
    pub async fn run(mut self) {
        loop {
            let state = self.settings.borrow_and_update().clone();
            if let Some(config) = state.current {
                let (config, looked_at) = self.locate(config);
                self.begin(&config, state.revision);
                self.follow(&config, &looked_at);
                self.check(&config);
                self.keys.update(config.key_servers());
                let snapshot = self.build(&config, state.revision);
                self.shared.store(Arc::new(snapshot));
                let warmth = self.judge(&config);
                self.warmth.send_if_modified(|known| warmth > std::mem::replace(known, warmth.max(*known)));
                // Last: requests need not wait for what only operators read.
                self.lint(&config);
            }
            tokio::select! {
                changed = self.settings.changed() => if changed.is_err() { return },
                () = self.changed.notified() => {}
                Ok(()) = self.reload.changed() => self.city.reload().await,
                () = self.listing.changed() => {}
                () = self.located.changed() => {}
                () = self.keys.changed() => {}
            }
        }
    }

    fn judge(&self, config: &GatewayConfig) -> Warmth {
        let named = config.routes.services();
        let is_known = |service: &str| self.followed.get(service).is_some_and(ServiceFollower::is_known);
        let is_located = config.routes.locator().is_none() || self.located.is_known();
        // Keys that cannot be fetched keep requests out, not the gateway.
        if !config.routes.is_stated()
            || !is_located
            || !self.keys.is_tried()
            || !named.iter().all(|service| is_known(service))
        {
            Warmth::Cold
        } else if self.followed.values().all(ServiceFollower::is_settled) {
            Warmth::Settled
        } else {
            Warmth::Warm
        }
    }

    /// Adds the routes of services, if there are to be any. Returns as well which services have to be followed for that.
    fn locate(&mut self, written: Arc<GatewayConfig>) -> (Arc<GatewayConfig>, BTreeSet<Box<str>>) {
        let Some(locator) = written.routes.locator() else {
            self.located = LocatedRoutes::default();
            return (written, BTreeSet::new());
        };
        let names = self.located.names(&written, &*self.registry).unwrap_or_default();
        let looked_at = if locator.needs_metadata() { names.clone() } else { BTreeSet::new() };
        if !looked_at.is_empty() {
            self.follow(&written, &looked_at);
        }
        let of = |service: &str| match self.followed.get(service).filter(|_| looked_at.contains(service)) {
            Some(followed) => followed.set().known().iter().map(|instance| instance.metadata.clone()).collect(),
            None => Vec::new(),
        };
        let services = names.into_iter().map(|name| (name.clone(), of(&name))).collect();
        (self.located.update(&written, services), looked_at)
    }

    /// Follows exactly the services that routes and lanes name, and those that the locator has to look at: those behind the first hop are not ours to call, but
    /// whether a lane has instances there is worth knowing.
    fn follow(&mut self, config: &GatewayConfig, looked_at: &BTreeSet<Box<str>>) {
        let mut wanted = config.services();
        wanted.extend(looked_at.iter().cloned());
        self.followed.retain(|service, _| wanted.contains(service));
        for service in wanted {
            if !self.followed.contains_key(&service) {
                let (registry, changed) = (Arc::clone(&self.registry), Arc::clone(&self.changed));
                let follower = ServiceFollower::new(registry, self.caller.clone(), &service, changed);
                self.followed.insert(service, follower);
            }
        }
        for (service, followed) in &mut self.followed {
            if followed.update(&config.gray) {
                log_change(service, followed.set());
            }
        }
    }

    /// Asks the instances that are to be asked whether they are well.
    fn check(&mut self, config: &GatewayConfig) {
        let is_encrypted = |service: &str| {
            let targets = config.routes.routes().iter().flat_map(|route| route.targets());
            { targets }.any(|target| {
                target.scheme == Scheme::Https
                    && matches!(&target.upstream, Upstream::Service(name) if **name == *service)
            })
        };
        let wanted = config.gray.gateway.health_checks.iter().filter_map(|(service, check)| {
            let scheme = if is_encrypted(service) { Scheme::Https } else { Scheme::Http };
            Some((service, check, scheme, self.followed.get(service.as_str())?.set()))
        });
        self.checks.update(wanted.flat_map(|(service, check, scheme, set)| {
            set.endpoints().map(move |endpoint| {
                let scheme = if endpoint.is_secure() { Scheme::Https } else { scheme };
                (service.as_str(), check, scheme, endpoint)
            })
        }));
    }

    /// Takes over what goes on from the revision before, and logs a new one once, with what in it cannot work here.
    fn begin(&mut self, config: &GatewayConfig, revision: u64) {
        if !Arc::ptr_eq(&self.routes, &config.routes) {
            self.routes = Arc::clone(&config.routes);
            self.rates.hand_over(config.routes.routes());
            self.breakers.hand_over(config.routes.routes());
        }
        if self.reported == revision {
            return;
        }
        self.reported = revision;
        let rules: Vec<_> = config.rules.rules().iter().map(|rule| &*rule.name).collect();
        let (routes, fingerprint) = (config.routes.routes().len(), config.rules.revision());
        tracing::info!(revision, rules.revision = fingerprint, routes, ?rules, "configuration applied");
        let plan = FactPlan::new(&config.rules);
        if plan != *self.plan {
            self.plan = Arc::new(plan);
        }
        if config.rules.needs_city() {
            self.city.load();
        }
    }

    /// Judges rules and routes, which are in effect, by the services that have been heard of; publishes news.
    fn lint(&mut self, config: &GatewayConfig) {
        let heard = self.followed.iter().filter(|(_, followed)| self.listing.is_complete(followed));
        let fleet: Fleet = heard.map(|(service, followed)| (service.clone(), Arc::clone(followed.set()))).collect();
        if self.findings.update(config.lint(&fleet.at(uptime_ms()))) {
            let published = Snapshot::clone(&self.shared.load());
            self.shared.store(Arc::new(Snapshot { findings: self.findings.current(), ..published }));
        }
    }

    /// With the findings of last time: they are replaced when there are others.
    fn build(&mut self, config: &GatewayConfig, revision: u64) -> Snapshot {
        let tallies = &mut self.tallies;
        tallies.retain_services(|service| self.followed.contains_key(service));
        let named: BTreeSet<_> = lane_services(&config.rules).collect();
        let services = self.followed.iter().map(|(service, followed)| {
            let (set, strategy) = (Arc::clone(followed.set()), config.gray.strategy(service));
            set.prepare(strategy);
            let snapshot = ServiceSnapshot {
                is_named: named.contains(&**service),
                set,
                strategy,
                is_listed: self.listing.is_complete(followed),
                tally: Some(tallies.service(service)),
            };
            (service.clone(), snapshot)
        });
        let services: Services = services.collect();
        let limits = tallies.limits(config.gray.gateway.max_in_flight, &config.routes);
        Snapshot {
            revision,
            rules: Arc::clone(&config.rules),
            rule_tallies: tallies.rules(&config.rules),
            signing: config.gray.mesh.signing.clone(),
            caller: HeaderValue::try_from(self.caller.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static(SERVICE)),
            trusted_hops: TrustedHops::new(
                config.gray.gateway.trusted_hops.clone(),
                config.routes.trusted_proxies().cloned(),
            ),
            trusted_headers: config.gray.gateway.trusted_headers,
            outliers: config.gray.mesh.outliers,
            hops: Hops::new(&shared_secret(config)),
            limits,
            routes: Arc::clone(&config.routes),
            rates: Arc::clone(self.rates.current()),
            keys: self.keys.current(),
            breakers: Arc::clone(self.breakers.current()),
            services,
            city: self.city.data(),
            plan: Arc::clone(&self.plan),
            findings: self.findings.current(),
        }
    }
}

/// What the gateways of a fleet have in common and clients do not know: the signing key, else what the documents say.
fn shared_secret(config: &GatewayConfig) -> String {
    match &config.gray.mesh.signing {
        Some(signing) => format!("{:?}", signing.keys.signer().sign(GrayStatus::All, None, 0)),
        None => format!("{} {:?}", config.rules.revision(), config.routes),
    }
}

fn log_change(service: &str, set: &InstanceSet) {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for endpoint in set.all().endpoints() {
        *versions.entry(endpoint.version().unwrap_or("-")).or_default() += 1;
    }
    tracing::info!(service, candidates = set.all().len(), known = set.known().len(), ?versions, "instances changed");
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn an_update_is_published_first_and_linted_after() {
        let text = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n\
            spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }]\n\
            gray: { lanes: { v2: { select: V2 } }, rules: [{ name: a, when: { header.x: 1 }, lane: v2 }, { name: b, when: { header.x: 1 }, lane: v2 }] }\n";
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, _) = check(&[("test.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        let (current, revision) = (Some(Arc::new(config)), 7);
        let (_settings, receiver) =
            watch::channel(SettingsState { current, revision, refused: None, ..SettingsState::default() });
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let seen = Arc::default();
        let watching = Watching { shared: Arc::clone(&shared), seen: Arc::clone(&seen) };
        let _guard = tracing::subscriber::set_default(watching);
        let control =
            ControlLoop::new(receiver, MemoryRegistry::new(), Arc::clone(&shared), CitySource::default(), "V1");
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
}
