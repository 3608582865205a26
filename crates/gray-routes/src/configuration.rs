//! What a gateway reads of its documents, in one piece: settings, rules and routes.

use std::collections::{BTreeSet, HashSet};

use gray_core::{MAX_SPACES, ServiceKey};
use gray_document::{Documents, Lasting, Section, Setting};
use gray_rules::{Finding, KeyServer, RuleSet};
use gray_settings::GraySettings;

use crate::{
    RouteTable,
    read::{OLD, ROUTES, ROUTES_DOCUMENT},
};

/// Most services that routes and lanes may name: each is followed, with a watch in the registry.
pub const MAX_SERVICES: usize = 2_000;
/// Most servers of keys that routes and rules may name: each is asked again and again.
const MAX_KEY_SERVERS: usize = 32;

/// Settings, rules and routes.
#[derive(Debug)]
pub struct Configuration {
    /// `kerwin.tool.gray.*` and the strategies.
    pub gray: GraySettings,
    /// `gray.*`, and the rules that the settings stand for.
    pub rules: RuleSet,
    /// `spring.cloud.gateway.*`.
    pub routes: RouteTable,
    /// Likely mistakes in the routes, which do not depend on instances.
    pub findings: Vec<Finding>,
    /// What was read, for people.
    pub listed: Vec<Setting>,
    /// Whether Spring has a Redis, in which its `RequestRateLimiter` counts.
    pub has_redis: bool,
}

impl Configuration {
    /// What has to be in some document: routes, wherever they may stand, or what makes them of services.
    pub fn needed() -> Vec<Lasting> {
        const LOCATOR: [&str; 2] =
            ["spring.cloud.gateway.discovery.locator", "spring.cloud.gateway.server.webflux.discovery.locator"];
        vec![Lasting::list(&[&ROUTES[..], &[ROUTES_DOCUMENT], &LOCATOR].concat())]
    }

    /// Reads all of it; problems are left in the documents.
    pub fn read(documents: &Documents, prefix: &str) -> Self {
        let root = documents.root();
        let gray = GraySettings::read(&root, prefix);
        let rules = RuleSet::read(documents, &gray);
        let (routes, listed) = (RouteTable::read(&root), documents.listed());
        let has_redis = ["spring.data.redis", "spring.redis"].into_iter().any(|key| root.section(key).exists());
        let configuration = Self { gray, rules, findings: routes.lint(), routes, listed, has_redis };
        let section = root.section(OLD);
        configuration.check_services(&section);
        configuration.check_spaces(&section);
        configuration.check_lanes(&section);
        configuration.check_key_servers(&section);
        GraySettings::warn_unread(&root);
        configuration
    }

    /// The services that routes and lanes name.
    fn services(&self) -> BTreeSet<ServiceKey> {
        let mut services = self.routes.services();
        services.extend(lane_services(&self.rules).map(ServiceKey::from));
        services
    }

    /// The servers whose keys verify the tokens that routes and rules ask for.
    pub fn key_servers(&self) -> BTreeSet<KeyServer> {
        self.routes.key_servers().chain(self.rules.key_servers()).cloned().collect()
    }

    fn check_key_servers(&self, routes: &Section<'_>) {
        let (found, most) = (self.key_servers().len(), MAX_KEY_SERVERS);
        if found > most {
            let message =
                format!("routes and rules name {found} servers of keys (jwks-uri, issuer-uri): at most {most}");
            routes.error("routes", message);
        }
    }

    fn check_services(&self, routes: &Section<'_>) {
        let found = self.services().len();
        if found > MAX_SERVICES {
            routes.error("routes", format!("routes and lanes name {found} services; a gateway follows {MAX_SERVICES}"));
        }
    }

    /// Spaces beyond those that are followed would have no instances, and a space that says nothing new is followed twice.
    fn check_spaces(&self, routes: &Section<'_>) {
        let mesh = &self.gray.mesh;
        let services = self.routes.services();
        let named: BTreeSet<_> = services.iter().filter_map(ServiceKey::space).collect();
        let all =
            named.iter().copied().chain(&mesh.namespaces).chain(mesh.spaces.values()).collect::<BTreeSet<_>>().len();
        if !named.is_empty() && all > MAX_SPACES {
            routes.error(
                "routes",
                format!(
                    "metadata.space of routes, `namespaces` and `spaces` name {all} namespaces and groups beside the gateway's \
                     own; it follows {MAX_SPACES}: name fewer, or run another gateway for some of them"
                ),
            );
        }
        let repeats = |key: &&ServiceKey| key.space().is_some_and(|space| mesh.spaces.get(key.name()) == Some(space));
        for key in services.iter().filter(repeats) {
            let (name, space) = (key.name(), key.space().map(ToString::to_string).unwrap_or_default());
            routes.warn(
                "routes",
                format!(
                    "metadata.space `{space}` of a route to {name} says what `spaces.{name}` says already: leave it out"
                ),
            );
        }
    }

    /// A route's own target for a lane is of no use when there is no such lane.
    fn check_lanes(&self, routes: &Section<'_>) {
        let known: HashSet<_> = self.rules.lanes().iter().map(|known| known.lane().name()).collect();
        let is_known = |lane: &str| known.contains(lane);
        for route in self.routes.routes() {
            for (lane, _) in route.lanes.iter().filter(|(lane, _)| !is_known(lane)) {
                let id = &route.id;
                routes
                    .error("routes", format!("route {id}: metadata.lanes: there is no lane `{lane}` under gray.lanes"));
            }
        }
    }
}

/// The services that lanes name, each once.
pub fn lane_services(rules: &RuleSet) -> impl Iterator<Item = &str> {
    let named = rules.lanes().iter().flat_map(|entry| entry.lane().services());
    named.map(|(service, _)| service).collect::<BTreeSet<_>>().into_iter()
}
