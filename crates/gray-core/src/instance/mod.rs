//! Instances of a service, and the immutable snapshot that requests pick from.
//!
//! An [`InstanceSet`] is built off the request path whenever the registry reports a change; subsets by metadata and
//! their cumulative weights are computed once. The load of an endpoint (in flight, response time, since when it is
//! known) outlives snapshots: it belongs to the address, not to the snapshot.

mod endpoint;
mod health;
#[cfg(test)]
mod health_tests;
mod labels;
mod load;
mod metadata;
mod outlier;
mod ring;
mod set;
mod subset;
mod weights;

pub use endpoint::Endpoint;
pub use labels::LABEL_MEMORY_MS;
pub use load::{InFlight, Load};
pub use metadata::{Metadata, share_metadata};
pub use outlier::{Change, Outcome, OutlierPolicy, Reason};
pub use ring::key_of;
pub use set::{Admission, InstanceSet};
pub use subset::Subset;

// For `health`, which tests/interleavings.rs takes in with others.
use std::sync::atomic;
use std::{
    collections::HashSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use crate::{
    lane::{Selector, Want},
    tag::{SOURCE, SOURCE_KEY, VERSION_KEY},
};

/// The metadata key that says whether an instance is to be called over TLS.
pub(crate) const SECURE_KEY: &str = "secure";

/// The metadata key that says in which cluster of the registry an instance is, as Spring Cloud Alibaba's `NacosServiceDiscovery` has it.
pub const CLUSTER_KEY: &str = "nacos.cluster";
/// The cluster of those that say none.
pub const DEFAULT_CLUSTER: &str = "DEFAULT";

/// One instance as a registry knows it.
///
/// Equality covers everything, metadata too: a changed version must never look like "no change".
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// IP address or DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Registry weight; 0 or less takes the instance out of rotation.
    pub weight: f64,
    /// What the registry's health check says.
    pub healthy: bool,
    /// Whether an operator left it switched on.
    pub enabled: bool,
    /// Metadata, `version` among it.
    pub metadata: Metadata,
    /// The namespace or group it was found in, when that is not the shared one.
    pub space: Option<Box<str>>,
}

impl Instance {
    /// A healthy, enabled instance of weight 1 without metadata.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            weight: 1.0,
            healthy: true,
            enabled: true,
            metadata: Metadata::default(),
            space: None,
        }
    }

    /// The same instance with one more metadata entry.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The same instance with metadata `version`.
    #[must_use]
    pub fn with_version(self, version: impl Into<Box<str>>) -> Self {
        self.with_metadata(VERSION_KEY, version)
    }

    /// The announced version; an empty one counts as none.
    pub fn version(&self) -> Option<&str> {
        self.label(VERSION_KEY)
    }

    /// The cluster of the registry that it is in.
    pub fn cluster(&self) -> &str {
        self.label(CLUSTER_KEY).unwrap_or(DEFAULT_CLUSTER)
    }

    /// Whether its metadata says that it is to be called over TLS: `secure=true`, as Spring Cloud Alibaba's
    /// `NacosServiceInstance` reads it.
    pub fn is_secure(&self) -> bool {
        self.label(SECURE_KEY).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether a program of another kind registered it, such as a Spring Cloud one: it may know the header `gray` alone.
    pub fn is_foreign(&self) -> bool {
        self.label(SOURCE_KEY).is_some_and(|source| source != SOURCE)
    }

    /// A metadata value; an empty one counts as none.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).filter(|value| !value.is_empty())
    }

    /// Whether a selector means this instance.
    pub fn is_selected_by(&self, selector: Selector<&str>) -> bool {
        selector.space == self.space.as_deref() && self.satisfies(selector.want)
    }

    /// Whether the metadata says what is wanted.
    pub fn satisfies(&self, want: Want<&str>) -> bool {
        match want {
            Want::Any => true,
            Want::Is { key, value } => self.label(key) == Some(value),
            Want::Lacks { key } => self.label(key).is_none(),
        }
    }

    /// Whether both have the same host, as written, and port; whatever else they say.
    pub fn is_at_address_of(&self, other: &Self) -> bool {
        self.port == other.port && self.host == other.host
    }

    /// `host:port`, IPv6 in brackets: what goes into `Host` and into logs.
    pub fn authority(&self) -> String {
        self.addressed().0
    }

    /// `host:port`, and the socket address unless the host is a name.
    fn addressed(&self) -> (String, Option<SocketAddr>) {
        let address = self.host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, self.port));
        let mut authority = String::with_capacity(self.host.len() + 8);
        match address {
            Some(address @ SocketAddr::V6(_)) => write!(authority, "{address}"),
            // An IPv4 address has one spelling only.
            _ => write!(authority, "{}:{}", self.host, self.port),
        }
        .unwrap_or_default();
        (authority, address)
    }

    /// Whether requests may go there at all: healthy, enabled, weight above zero (NaN is not).
    pub fn is_candidate(&self) -> bool {
        self.healthy && self.enabled && self.weight > 0.0
    }
}

/// Lists as one; an address that is in several counts once, as the first one has it. No list at all gives none.
pub fn merge<'l>(lists: impl IntoIterator<Item = &'l [Instance]>) -> Option<Vec<Instance>> {
    let mut lists = lists.into_iter();
    let mut merged = lists.next()?.to_vec();
    let mut known: HashSet<_> = merged.iter().map(|instance| (instance.host.clone(), instance.port)).collect();
    for instance in lists.flatten() {
        if known.insert((instance.host.clone(), instance.port)) {
            merged.push(instance.clone());
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests;
