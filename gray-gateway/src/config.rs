//! What the gateway reads: which documents, and what is made of them.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use gray_common::{
    control::{ControlArgs, ControlError},
    documents::{DocumentPlan, ProgramDocuments},
    service::SHARED_DOCUMENT,
};
use gray_document::{Documents, Lasting, Section, Setting};
use gray_registry::unix_seconds;
use gray_rules::{Finding, Fleet, KeyServer, RuleSet};
use gray_settings::GraySettings;

use crate::{
    keys,
    route::{ROUTES, ROUTES_DOCUMENT, RouteTable},
};

/// Name under which the gateway registers, and of its documents unless told otherwise.
pub const SERVICE: &str = "gateway-app";
/// Who gets which lane; optional, the settings stand for rules of their own.
pub(crate) const RULES_DOCUMENT: &str = "gray-rules.yaml";

/// Most services that routes and lanes may name.
pub(crate) const MAX_SERVICES: usize = 2_000;

/// What the gateway reads from its documents, in one piece: gray settings and routes are applied together.
#[derive(Debug)]
pub struct GatewayConfig {
    /// `kerwin.tool.gray.*` and the strategies.
    pub gray: GraySettings,
    /// `gray.*`, and the rules that the settings stand for.
    pub rules: Arc<RuleSet>,
    /// `spring.cloud.gateway.*`.
    pub routes: Arc<RouteTable>,
    /// Likely mistakes in the routes, which do not depend on instances.
    pub route_findings: Vec<Finding>,
    /// What was read, for people.
    pub listed: Arc<[Setting]>,
}

/// Which documents a gateway reads; `routes` is one with nothing but routes.
///
/// # Errors
/// What cannot be used of the flags, or of the files that they name.
pub fn plan(control: &ControlArgs, routes: Option<&str>) -> Result<DocumentPlan, ControlError> {
    let last: Vec<_> = routes.into_iter().chain([RULES_DOCUMENT]).collect();
    let lists: Vec<_> = routes.map(|name| (name, ROUTES_DOCUMENT)).into_iter().collect();
    control.plan(&ProgramDocuments { name: SERVICE, first: &[SHARED_DOCUMENT], last: &last, lists: &lists })
}

impl GatewayConfig {
    /// What is not gone because no document mentions it any more.
    pub fn lasting(prefix: &str) -> Vec<Lasting> {
        let own = [Lasting::list(&ROUTES), Lasting::list(&[ROUTES_DOCUMENT]), Lasting::map("gray")];
        own.into_iter().chain(GraySettings::lasting(prefix)).collect()
    }

    /// What has to be in some document: routes, wherever they may stand, or what makes them of services.
    pub fn needed() -> Vec<Lasting> {
        const LOCATOR: [&str; 2] =
            ["spring.cloud.gateway.discovery.locator", "spring.cloud.gateway.server.webflux.discovery.locator"];
        vec![Lasting::list(&[&ROUTES[..], &[ROUTES_DOCUMENT], &LOCATOR].concat())]
    }

    /// Reads both halves; problems are left in the documents.
    pub fn read(documents: &Documents, prefix: &str) -> Self {
        let root = documents.root();
        let gray = GraySettings::read(&root, prefix);
        let rules = Arc::new(RuleSet::read(documents, &gray));
        let (routes, listed) = (RouteTable::read(&root), documents.listed().into());
        let config = Self { gray, rules, route_findings: routes.lint(), routes: Arc::new(routes), listed };
        config.check_services(&root.section("spring.cloud.gateway"));
        config.check_lanes(&root.section("spring.cloud.gateway"));
        config.check_key_servers(&root.section("spring.cloud.gateway"));
        GraySettings::warn_unread(&root);
        config
    }

    /// The same with other routes.
    pub(crate) fn with_routes(&self, routes: RouteTable) -> Self {
        Self {
            gray: self.gray.clone(),
            rules: Arc::clone(&self.rules),
            route_findings: routes.lint(),
            routes: Arc::new(routes),
            listed: Arc::clone(&self.listed),
        }
    }

    /// What in the rules and in the routes is worth knowing, worst first.
    pub fn lint(&self, fleet: &Fleet) -> Vec<Finding> {
        let mut findings = self.rules.lint(fleet, unix_seconds());
        findings.extend_from_slice(&self.route_findings);
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    /// The services that routes and lanes name.
    pub fn services(&self) -> BTreeSet<Box<str>> {
        let mut services = self.routes.services();
        services.extend(lane_services(&self.rules).map(Box::from));
        services
    }

    /// The servers whose keys verify the tokens that routes and rules ask for.
    pub fn key_servers(&self) -> BTreeSet<KeyServer> {
        self.routes.key_servers().chain(self.rules.key_servers()).cloned().collect()
    }

    /// Each of them is asked again and again.
    fn check_key_servers(&self, routes: &Section<'_>) {
        let (found, most) = (self.key_servers().len(), keys::MAX_SERVERS);
        if found > most {
            let message =
                format!("routes and rules name {found} servers of keys (jwks-uri, issuer-uri): at most {most}");
            routes.error("routes", message);
        }
    }

    /// Each of them is followed, with a watch in the registry.
    fn check_services(&self, routes: &Section<'_>) {
        let found = self.services().len();
        if found > MAX_SERVICES {
            routes.error("routes", format!("routes and lanes name {found} services; a gateway follows {MAX_SERVICES}"));
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
pub(crate) fn lane_services(rules: &RuleSet) -> impl Iterator<Item = &str> {
    let named = rules.lanes().iter().flat_map(|entry| entry.lane().services());
    named.map(|(service, _)| service).collect::<BTreeSet<_>>().into_iter()
}
