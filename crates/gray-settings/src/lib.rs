//! Typed settings, read from the YAML documents that the Java demo keeps in Nacos.
//!
//! A document is read completely or not at all: every problem is reported with document, line and key, and a
//! document with an error changes nothing.
//!
//! For the programs that act on them: gateway, services, the command line. Never depends on a runtime, on a registry or on
//! rules; documents are read by the caller ([`GraySettings::read`]).

mod health_check;
mod mesh;
mod read;
pub mod sources;
mod static_instances;

pub use health_check::HealthCheck;
pub use mesh::{AdmissionRules, Caller, Edge, Exclusion, Invalid, Mesh, Signing};

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    str::FromStr,
    sync::Arc,
};

use foldhash::quality::RandomState;
use gray_core::{
    IpSet,
    balance::{Strategy, VersionPolicy},
    instance::{Instance, merge},
};
use gray_document::Lasting;
use http::HeaderName;

/// Everything under the gray prefix (`kerwin.tool.gray` unless told otherwise), plus the per-service strategies.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GraySettings {
    /// `load`, `version.*`, `fallback`.
    pub policy: VersionPolicy,
    /// `gateway.*`.
    pub gateway: GatewayGray,
    /// `<service>.ribbon.NFLoadBalancerRuleClassName` and `balance.<service>`; others use the default.
    pub strategies: BTreeMap<String, Strategy>,
    /// `propagate`, `drain`, `slowStart`, `edges`, `signing`.
    pub mesh: Mesh,
    /// `spring.cloud.discovery.client.simple.instances.<service>`: instances that no registry has to know of.
    pub static_instances: BTreeMap<String, Vec<Instance>>,
    /// Services with a rule class of the Java system's gray starter: in it, these alone are filtered by version.
    filtered: BTreeSet<String>,
    /// Services named by the settings above.
    known: HashSet<Box<str>, RandomState>,
}

impl GraySettings {
    /// Whether a service has a strategy, static instances or an edge here.
    pub fn names(&self, service: &str) -> bool {
        self.known.contains(service)
    }

    /// Whether a service is under gray release even if none of its instances says a version: it has a rule class of the
    /// Java system's gray starter.
    pub fn is_versioned(&self, service: &str) -> bool {
        self.filtered.contains(service)
    }

    /// What of these settings is not gone because a document does not mention it any more.
    pub fn lasting(prefix: &str) -> Vec<Lasting> {
        vec![Lasting::map(prefix), Lasting::map(static_instances::KEY)]
    }

    /// Whether the gateway decides at all: both switches are on.
    pub fn is_on(&self) -> bool {
        self.policy.load && self.gateway.enabled
    }

    /// The strategy for one service.
    pub fn strategy(&self, service: &str) -> Strategy {
        self.strategies.get(service).copied().unwrap_or_default()
    }

    /// The candidates of a service: what the registry lists, and the static instances of these settings. `None`: the
    /// registry has not answered yet, and the settings name none.
    pub fn candidates(&self, service: &str, listed: Option<&Arc<[Instance]>>) -> Option<Arc<[Instance]>> {
        match self.static_instances.get(service) {
            // The registry's own list: a copy of each would cost what it costs itself.
            None => listed.cloned(),
            Some(fixed) => merge(listed.map(|listed| &**listed).into_iter().chain([&**fixed])).map(Into::into),
        }
    }
}

/// The header fields in which a trusted proxy says whose request it passes on. One that writes only one family may pass
/// on what a client wrote in the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustedHeaders {
    /// `X-Forwarded-*` and `X-Real-IP`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for TrustedHeaders {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "x-forwarded" => Ok(Self::XForwarded),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("expected x-forwarded (X-Forwarded-* and X-Real-IP) or forwarded (RFC 7239)"),
        }
    }
}

/// `<prefix>.gateway.*`: how the gateway decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayGray {
    /// `enabled`, default false.
    pub enabled: bool,
    /// `grayHeadKey` and `grayHeadValue`; both or none.
    pub head: Option<(HeaderName, String)>,
    /// `grayIPList`: addresses and networks.
    pub ip_list: IpSet,
    /// `grayCityList`.
    pub city_list: Vec<String>,
    /// `grayUserNoList`.
    pub user_no_list: Vec<String>,
    /// `userNoHeader`, default `userNo`: header that carries the user number.
    pub user_no_header: HeaderName,
    /// `trustedHops`: proxies in front of us whose `X-Real-IP` / `X-Forwarded-For` count. Default none.
    pub trusted_hops: IpSet,
    /// `trustedHeaders`: in which header fields they say so; the other family's are dropped.
    pub trusted_headers: TrustedHeaders,
    /// `healthCheck.<service>`: whose instances are asked whether they are well.
    pub health_checks: BTreeMap<String, HealthCheck>,
    /// `maxInFlight`: most requests in flight at the same time. Default: no limit.
    pub max_in_flight: Option<usize>,
}

impl Default for GatewayGray {
    fn default() -> Self {
        Self {
            enabled: false,
            head: None,
            ip_list: IpSet::default(),
            city_list: Vec::new(),
            user_no_list: Vec::new(),
            user_no_header: HeaderName::from_static("userno"),
            trusted_hops: IpSet::default(),
            trusted_headers: TrustedHeaders::default(),
            health_checks: BTreeMap::new(),
            max_in_flight: None,
        }
    }
}
