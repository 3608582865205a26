//! What the request path reads: built whole by the control loop, swapped in whole, never changed afterwards.

use std::{collections::HashMap, sync::Arc};

use gray_core::{
    InstanceSet, ServiceKey,
    balance::{OutlierPolicy, Outlook, Strategy, outlook, outlook_unversioned},
    lane::{Choice, Lane},
};
use gray_live::clock::uptime_ms;
use gray_rules::{FactPlan, Finding, RuleSet};
use gray_settings::{Signing, TrustedHeaders};

use http::HeaderValue;

use crate::{
    breakers::Breakers,
    config::SERVICE,
    egress::Egress,
    geo::CityData,
    hops::Hops,
    keys::KeySets,
    limit::InFlightLimits,
    rates::RateCounters,
    route::RouteTable,
    tally::{RuleTally, ServiceTally},
    trusted_hops::TrustedHops,
};

/// Everything a request depends on besides itself. A request finishes with the snapshot it began with.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Revision of the settings it was built from; 0 before the first.
    pub revision: u64,
    /// Who gets which lane.
    pub rules: Arc<RuleSet>,
    /// Requests by rule, in the order of the rules; the default comes last.
    pub rule_tallies: Arc<[(Box<str>, RuleTally)]>,
    /// How tags are signed, if they are.
    pub signing: Option<Signing>,
    /// Whether tag and lane are sent as W3C Baggage as well.
    pub baggage: bool,
    /// What `gray-caller` says of this gateway: `gateway-app@V1`.
    pub caller: HeaderValue,
    /// Peers whose `X-Forwarded-For` and `X-Real-IP` count.
    pub trusted_hops: TrustedHops,
    /// In which header fields.
    pub trusted_headers: TrustedHeaders,
    /// Which instances are left out for a while.
    pub outliers: OutlierPolicy,
    /// How requests that come back are known.
    pub hops: Hops,
    /// How many requests may be in flight.
    pub limits: InFlightLimits,
    /// Where requests go.
    pub routes: Arc<RouteTable>,
    /// What clients have left of the rates of these routes.
    pub rates: Arc<RateCounters>,
    /// The keys that tokens are verified by, as far as servers publish them.
    pub keys: Arc<KeySets>,
    /// Which of these routes are called at all.
    pub breakers: Arc<Breakers>,
    /// The instances of every service that a route or a lane names.
    pub services: Arc<Services>,
    /// City data, if some was loaded.
    pub city: Option<Arc<CityData>>,
    /// Which facts are kept of requests, to be replayed.
    pub plan: Arc<FactPlan>,
    /// Likely mistakes in rules and routes.
    pub findings: Arc<[Finding]>,
    /// For the requests of one service alone: where they go, in place of rules and routes.
    pub egress: Option<Arc<Egress>>,
}

impl Snapshot {
    /// The snapshot before anything is known: no routes, no services, gray release off.
    pub fn empty() -> Self {
        Self {
            revision: 0,
            rules: Arc::new(RuleSet::off()),
            rule_tallies: Arc::default(),
            signing: None,
            baggage: true,
            caller: HeaderValue::from_static(SERVICE),
            trusted_hops: TrustedHops::default(),
            trusted_headers: TrustedHeaders::default(),
            outliers: OutlierPolicy::default(),
            hops: Hops::new(""),
            limits: InFlightLimits::default(),
            routes: Arc::new(RouteTable::default()),
            rates: Arc::default(),
            keys: Arc::default(),
            breakers: Arc::default(),
            services: Arc::default(),
            city: None,
            plan: Arc::default(),
            findings: Arc::default(),
            egress: None,
        }
    }

    /// Parameters of a query that hold tokens, by the rules and the routes.
    pub(crate) fn secret_queries(&self) -> impl Iterator<Item = &str> + Clone {
        self.rules.token_queries().chain(self.routes.token_queries())
    }

    /// Whether no document has said yet what routes there are: whatever is asked for may exist in a moment.
    pub fn lacks_routes(&self) -> bool {
        !self.routes.is_stated()
    }
}

/// Services by what they are called ([`ServiceKey`]), looked up for every request. Those without news are the same from one
/// snapshot to the next.
pub type Services = HashMap<ServiceKey, Arc<ServiceSnapshot>, foldhash::fast::RandomState>;

/// One service as the request path sees it.
#[derive(Clone, Debug, Default)]
pub struct ServiceSnapshot {
    /// Its candidates, by version.
    pub set: Arc<InstanceSet>,
    /// How one of them is picked.
    pub strategy: Strategy,
    /// How picking went; `None` when it is not counted.
    pub tally: Option<ServiceTally>,
    /// Whether every registry that may know it has answered: none is missing only because it is early
    /// (`listing`).
    pub is_listed: bool,
    /// Whether a lane names it: it is under gray release, whatever its instances say.
    pub is_named: bool,
}

impl ServiceSnapshot {
    /// Whether a request on the lane finds an instance of the service, which has this name.
    pub(crate) fn has_instance(&self, service: &str, lane: &Lane, outliers: &OutlierPolicy) -> bool {
        let found = outlook(&self.set, lane.choice(service).iter(), outliers);
        found.or_else(|| self.unversioned(lane.choice(service), outliers)).is_some()
    }

    /// What a request gets whose choice finds no instance, when the service is not under gray release.
    pub(crate) fn unversioned(&self, choice: &Choice, outliers: &OutlierPolicy) -> Option<Outlook<'_>> {
        let choice = (!self.is_named).then(|| choice.iter())?;
        outlook_unversioned(&self.set, choice, outliers, uptime_ms())
    }
}
