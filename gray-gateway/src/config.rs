//! What the gateway reads: which documents, and what is made of them.

use std::{collections::BTreeSet, sync::Arc};

use gray_common::{
    control::{ControlArgs, ControlError},
    documents::{DocumentPlan, ProgramDocuments},
    service::SHARED_DOCUMENT,
};
use gray_core::ServiceKey;
use gray_document::{Documents, Lasting, Setting};
use gray_registry::unix_seconds;
use gray_rules::{Finding, Fleet, KeyServer, RuleSet};
use gray_settings::GraySettings;

use crate::route::{Configuration, ROUTES, ROUTES_DOCUMENT, RouteTable};
pub(crate) use crate::route::{MAX_SERVICES, lane_services};

/// Name under which the gateway registers, and of its documents unless told otherwise.
pub const SERVICE: &str = "gateway-app";
/// Who gets which lane; optional, the settings stand for rules of their own.
pub(crate) const RULES_DOCUMENT: &str = "gray-rules.yaml";

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

/// Which documents an egress reads: those of its service.
///
/// # Errors
/// What cannot be used of the flags, or of the files that they name.
pub fn egress_plan(control: &ControlArgs, service: &str) -> Result<DocumentPlan, ControlError> {
    control.plan(&ProgramDocuments { name: service, first: &[SHARED_DOCUMENT], last: &[], lists: &[] })
}

impl GatewayConfig {
    /// What an egress reads of the documents of its service: no rules, and no routes.
    pub fn read_egress(documents: &Documents, prefix: &str) -> Self {
        let gray = GraySettings::read(&documents.root(), prefix);
        GraySettings::warn_unread(&documents.root());
        Self {
            gray,
            rules: Arc::new(RuleSet::off()),
            routes: Arc::default(),
            route_findings: Vec::new(),
            listed: documents.listed().into(),
        }
    }

    /// What is not gone because no document mentions it any more.
    pub fn lasting(prefix: &str) -> Vec<Lasting> {
        let own = [Lasting::list(&ROUTES), Lasting::list(&[ROUTES_DOCUMENT]), Lasting::map("gray")];
        own.into_iter().chain(GraySettings::lasting(prefix)).collect()
    }

    /// Reads both halves; problems are left in the documents.
    pub fn read(documents: &Documents, prefix: &str) -> Self {
        let Configuration { gray, rules, routes, findings, listed, .. } = Configuration::read(documents, prefix);
        let named: Vec<_> = documents.profiles_named().collect();
        if !routes.is_stated() && !named.is_empty() {
            let named = named.join(", ");
            documents.root().section("spring.cloud.gateway").warn(
                "routes",
                format!(
                    "no routes for the profiles that are active; parts of the documents are for {named}: give --profile"
                ),
            );
        }
        let (rules, routes, listed) = (Arc::new(rules), Arc::new(routes), listed.into());
        Self { gray, rules, routes, route_findings: findings, listed }
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
    pub fn services(&self) -> BTreeSet<ServiceKey> {
        let mut services = self.routes.services();
        services.extend(lane_services(&self.rules).map(ServiceKey::from));
        services
    }

    /// The servers whose keys verify the tokens that routes and rules ask for.
    pub fn key_servers(&self) -> BTreeSet<KeyServer> {
        self.routes.key_servers().chain(self.rules.key_servers()).cloned().collect()
    }
}
