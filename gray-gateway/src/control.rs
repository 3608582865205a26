//! The control loop: settings and registry pushes in, one immutable [`Snapshot`] out, swapped in whole.
//!
//! It runs off the request path. A worker sees either the old snapshot or the new one, never a mixture; a request
//! that has begun finishes with the one it began with.

mod build;
mod pace;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use gray_core::{InstanceSet, ServiceKey};
use gray_live::{ServiceFollower, SettingsState, clock::uptime_ms};
use gray_registry::Registry;
use gray_rules::{FactPlan, Fleet};
use gray_settings::Caller;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use self::{build::Base, pace::Pace, services::ServiceSnapshots};
use crate::{
    breakers::BreakerStates,
    checks::Checks,
    config::{GatewayConfig, SERVICE},
    egress::{EgressOptions, Indexed},
    findings::Findings,
    geo::CitySource,
    keys::KeyFollower,
    listing::Listing,
    located::LocatedRoutes,
    namesakes::Namesakes,
    rates::RateStates,
    route::{RouteTable, Upstream},
    scheme::Scheme,
    snapshot::Snapshot,
    tally::Tallies,
    tls::UpstreamTls,
};

/// Snapshots take at most half a percent of a core: with very many services, news of the registry is taken in together.
const UPDATING: (u32, Duration) = (199, Duration::from_millis(250));
/// Findings, which only operators read, take at most a fifth of a percent.
const LINTING: (u32, Duration) = (499, Duration::from_secs(5));

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
    followed: BTreeMap<ServiceKey, ServiceFollower>,
    /// What `followed` was chosen by: the configuration, and what the locator has to look at.
    follows: Option<(Arc<GatewayConfig>, BTreeSet<Box<str>>)>,
    /// The revision of the settings that all of them go by.
    followed_by: u64,
    changed: Arc<Notify>,
    reported: u64,
    findings: Findings,
    plan: Arc<FactPlan>,
    warmth: watch::Sender<Warmth>,
    checks: Checks,
    located: LocatedRoutes,
    namesakes: Namesakes,
    keys: KeyFollower,
    /// For the requests of one service, and the addresses of all.
    egress: Option<(EgressOptions, Indexed)>,
    /// Those that the rate limits were made for.
    routes: Arc<RouteTable>,
    base: Option<Base>,
    services: ServiceSnapshots,
    updating: Pace,
    linting: Pace,
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
            caller: Caller { service: SERVICE.into(), version: Some(version.into()), cluster: None },
            tallies: Tallies::new(1),
            rates: RateStates::default(),
            breakers: BreakerStates::default(),
            reload: watch::Sender::default().subscribe(),
            followed: BTreeMap::new(),
            follows: None,
            followed_by: 0,
            changed: Arc::new(Notify::new()),
            reported: 0,
            findings: Findings::default(),
            plan: Arc::default(),
            warmth: watch::Sender::default(),
            checks: Checks::default(),
            located: LocatedRoutes::default(),
            namesakes: Namesakes::default(),
            keys: KeyFollower::default(),
            egress: None,
            routes: Arc::default(),
            base: None,
            services: ServiceSnapshots::default(),
            updating: Pace::new(UPDATING.0, UPDATING.1),
            linting: Pace::new(LINTING.0, LINTING.1),
        }
    }

    /// How much is known in what has been published.
    pub fn warmth(&self) -> watch::Receiver<Warmth> {
        self.warmth.subscribe()
    }

    /// Of a gateway in this cluster: instances in the same one are asked first.
    #[must_use]
    pub fn in_cluster(mut self, cluster: Option<String>) -> Self {
        self.caller.cluster = cluster;
        self
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

    /// For the requests of one service: all services are followed, and what calls them is that service.
    #[must_use]
    pub fn for_egress(self, options: EgressOptions) -> Self {
        let (service, version) = (options.service.clone().into(), Some(options.version.clone().into()));
        let caller = Caller { service, version, ..self.caller };
        Self { caller, egress: Some((options, Indexed::default())), ..self }
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
            let config = state.current.map(|config| self.update(config, state.revision));
            let (mut is_due, mut is_news, mut is_linted) = (false, false, config.is_none());
            while !is_due {
                tokio::select! {
                    // What an operator has published does not wait.
                    changed = self.settings.changed() => if changed.is_err() { return } else { is_due = true },
                    Ok(()) = self.reload.changed() => {
                        self.city.reload().await;
                        is_due = true;
                    },
                    () = self.changed.notified() => is_news = true,
                    () = self.listing.changed() => is_news = true,
                    () = self.located.changed() => is_news = true,
                    () = self.namesakes.changed() => is_news = true,
                    () = self.keys.changed() => is_news = true,
                    () = self.updating.free(), if is_news => is_due = true,
                    // After the snapshot: requests need not wait for what only operators read.
                    () = self.linting.free(), if !is_linted => {
                        let began = Instant::now();
                        config.iter().for_each(|config| self.lint(config));
                        self.linting.spent(began.elapsed());
                        is_linted = true;
                    }
                }
            }
        }
    }

    /// Publishes a snapshot of how things are, and returns the configuration in it.
    fn update(&mut self, written: Arc<GatewayConfig>, revision: u64) -> Arc<GatewayConfig> {
        let began = Instant::now();
        let (config, looked_at) = self.locate(&written, revision);
        self.begin(&config, revision);
        self.follow(&config, revision, looked_at);
        self.check(&config);
        if !self.base.as_ref().is_some_and(|base| base.is_of(&config, revision)) {
            self.keys.update(config.key_servers());
        }
        let snapshot = self.build(&config, &written, revision);
        self.shared.store(Arc::new(snapshot));
        if *self.warmth.borrow() < Warmth::Settled {
            let warmth = self.judge(&config);
            self.warmth.send_if_modified(|known| warmth > std::mem::replace(known, warmth.max(*known)));
        }
        // Until there is enough to serve with, nothing waits.
        if *self.warmth.borrow() >= Warmth::Warm {
            self.updating.spent(began.elapsed());
        }
        config
    }

    fn judge(&self, config: &GatewayConfig) -> Warmth {
        let is_known = |service: &ServiceKey| self.followed.get(service).is_some_and(ServiceFollower::is_known);
        let needs_names = self.egress.is_some() || config.routes.locator().is_some();
        let is_located = !needs_names || self.located.is_known();
        let all_known = || self.followed.values().all(ServiceFollower::is_known);
        // Keys that cannot be fetched keep requests out, not the gateway.
        if (self.egress.is_none() && !config.routes.is_stated())
            || (self.egress.is_some() && !all_known())
            || !is_located
            || !self.keys.is_tried()
            || !config.routes.named_services().all(is_known)
        {
            Warmth::Cold
        } else if self.followed.values().all(ServiceFollower::is_settled) {
            Warmth::Settled
        } else {
            Warmth::Warm
        }
    }

    /// Adds the routes of services, if there are to be any. Returns as well which services have to be followed for that.
    fn locate(&mut self, written: &Arc<GatewayConfig>, revision: u64) -> (Arc<GatewayConfig>, BTreeSet<Box<str>>) {
        if self.egress.is_some() {
            let names = self.located.names(written, &*self.registry).unwrap_or_default();
            return (Arc::clone(written), names);
        }
        let Some(locator) = written.routes.locator() else {
            self.located = LocatedRoutes::default();
            return (Arc::clone(written), BTreeSet::new());
        };
        let names = self.located.names(written, &*self.registry).unwrap_or_default();
        let looked_at = if locator.needs_metadata() { names.clone() } else { BTreeSet::new() };
        if !looked_at.is_empty() {
            self.follow(written, revision, looked_at.clone());
        }
        let of = |service: &str| match self.followed.get(service).filter(|_| looked_at.contains(service)) {
            Some(followed) => followed.set().known().iter().map(|instance| instance.metadata.clone()).collect(),
            None => Vec::new(),
        };
        let services = names.into_iter().map(|name| (name.clone(), of(&name))).collect();
        (self.located.update(written, services), looked_at)
    }

    /// Follows exactly the services that routes and lanes name, and those that the locator has to look at: those behind the first hop are not ours to call, but
    /// whether a lane has instances there is worth knowing.
    fn follow(&mut self, config: &Arc<GatewayConfig>, revision: u64, looked_at: BTreeSet<Box<str>>) {
        let is_chosen = { self.follows.iter() }.any(|(of, also)| Arc::ptr_eq(of, config) && *also == looked_at);
        if !is_chosen {
            let mut wanted = config.services();
            wanted.extend(looked_at.iter().cloned().map(ServiceKey::from));
            self.followed.retain(|service, _| wanted.contains(service));
            for service in wanted {
                if !self.followed.contains_key(&service) {
                    let (registry, changed) = (Arc::clone(&self.registry), Arc::clone(&self.changed));
                    let follower = ServiceFollower::of(registry, self.caller.clone(), service.clone(), changed);
                    self.followed.insert(service, follower);
                }
            }
            self.tallies.retain_services(|service| self.followed.contains_key(service));
            self.follows = Some((Arc::clone(config), looked_at));
            self.services.all_changed();
        }
        let is_revised = std::mem::replace(&mut self.followed_by, revision) != revision;
        for (service, followed) in &mut self.followed {
            if is_revised || followed.has_news() {
                self.services.changed(service);
                if followed.update(&config.gray) {
                    log_change(service.as_str(), followed.set());
                }
            }
        }
    }

    /// Asks the instances that are to be asked whether they are well.
    fn check(&mut self, config: &GatewayConfig) {
        let is_encrypted = |service: &ServiceKey| {
            let targets = config.routes.routes().iter().flat_map(|route| route.targets());
            { targets }.any(|target| {
                target.scheme == Scheme::Https
                    && matches!(&target.upstream, Upstream::Service(target) if target == service)
            })
        };
        let wanted = self.followed.iter().filter_map(|(service, followed)| {
            let check = config.gray.gateway.health_checks.get(service.name())?;
            let scheme = if is_encrypted(service) { Scheme::Https } else { Scheme::Http };
            Some((service, check, scheme, followed.set()))
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
        if self.egress.is_some() {
            return;
        }
        let heard = self.followed.iter().filter(|(_, followed)| self.listing.is_complete(followed));
        let fleet: Fleet = heard.map(|(service, followed)| (service.clone(), Arc::clone(followed.set()))).collect();
        let mut findings = self.namesakes.find(&config.routes, &fleet, &*self.registry);
        findings.extend(config.lint(&fleet.at(uptime_ms())));
        if self.findings.update(findings) {
            let published = Snapshot::clone(&self.shared.load());
            self.shared.store(Arc::new(Snapshot { findings: self.findings.current(), ..published }));
        }
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
mod tests;
