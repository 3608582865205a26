//! Instances of a service, and the immutable snapshot that requests pick from.
//!
//! An [`InstanceSet`] is built off the request path whenever the registry reports a change; subsets by version and
//! their cumulative weights are computed once, here. The load of an endpoint (in flight, response time) outlives
//! snapshots: it belongs to the address, not to the snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{balance::Load, tag::VERSION_KEY};

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
    pub metadata: BTreeMap<String, String>,
}

impl Instance {
    /// A healthy, enabled instance of weight 1 without metadata.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, weight: 1.0, healthy: true, enabled: true, metadata: BTreeMap::new() }
    }

    /// The same instance with one more metadata entry.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The same instance with metadata `version`.
    #[must_use]
    pub fn with_version(self, version: impl Into<String>) -> Self {
        self.with_metadata(VERSION_KEY, version)
    }

    /// The announced version; an empty one counts as none.
    pub fn version(&self) -> Option<&str> {
        self.metadata.get(VERSION_KEY).map(String::as_str).filter(|version| !version.is_empty())
    }

    /// `host:port`, IPv6 in brackets: what goes into `Host` and into logs.
    pub fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether requests may go there at all: healthy, enabled, weight above zero (NaN is not).
    pub fn is_candidate(&self) -> bool {
        self.healthy && self.enabled && self.weight > 0.0
    }
}

/// An instance ready to be picked: what the request path needs, computed once.
#[derive(Debug)]
pub struct Endpoint {
    instance: Instance,
    authority: Box<str>,
    address: Option<SocketAddr>,
    load: Arc<Load>,
}

impl Endpoint {
    fn new(instance: Instance, load: Arc<Load>) -> Self {
        let authority = instance.authority().into_boxed_str();
        let address = instance.host.parse().ok().map(|ip| SocketAddr::new(ip, instance.port));
        Self { instance, authority, address, load }
    }

    /// The registry's view of it.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The socket address, unless the host is a DNS name.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The announced version.
    pub fn version(&self) -> Option<&str> {
        self.instance.version()
    }

    /// Requests in flight and response time, shared by all snapshots that hold this address.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

/// Endpoints that may answer one kind of request, with what the strategies need.
#[derive(Debug, Default)]
pub struct Subset {
    endpoints: Box<[Arc<Endpoint>]>,
    cumulative: Box<[f64]>,
}

impl Subset {
    fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let cumulative = endpoints
            .iter()
            .scan(0.0, |sum, endpoint| {
                *sum += endpoint.instance.weight.min(f64::MAX / 1e9);
                Some(*sum)
            })
            .collect();
        Self { endpoints: endpoints.into(), cumulative }
    }

    /// The endpoints, in the registry's order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Running sums of the weights, one per endpoint, ascending.
    pub fn cumulative_weights(&self) -> &[f64] {
        &self.cumulative
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether nothing can be picked.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// The immutable snapshot of one service's candidates.
#[derive(Debug, Default)]
pub struct InstanceSet {
    all: Subset,
    by_version: HashMap<Box<str>, Subset>,
    known: Vec<Instance>,
}

impl InstanceSet {
    /// Builds the snapshot; endpoints that were in `previous` keep their [`Load`].
    pub fn new(instances: &[Instance], previous: Option<&InstanceSet>) -> Self {
        let loads: HashMap<&str, &Arc<Load>> =
            previous.into_iter().flat_map(|set| set.all.endpoints()).map(|e| (e.authority(), e.load())).collect();
        let all: Vec<_> = instances
            .iter()
            .filter(|instance| instance.is_candidate())
            .map(|instance| {
                let load = loads.get(instance.authority().as_str()).map(|load| Arc::clone(load)).unwrap_or_default();
                Arc::new(Endpoint::new(instance.clone(), load))
            })
            .collect();
        let mut groups: HashMap<Box<str>, Vec<Arc<Endpoint>>> = HashMap::new();
        for endpoint in &all {
            if let Some(version) = endpoint.version() {
                groups.entry(version.into()).or_default().push(Arc::clone(endpoint));
            }
        }
        let by_version = groups.into_iter().map(|(version, group)| (version, Subset::new(group))).collect();
        Self { all: Subset::new(all), by_version, known: instances.to_vec() }
    }

    /// Every candidate.
    pub fn all(&self) -> &Subset {
        &self.all
    }

    /// The candidates of one version; `None` when there is none.
    pub fn version(&self, version: &str) -> Option<&Subset> {
        self.by_version.get(version)
    }

    /// Everything the registry reported, candidates or not.
    pub fn known(&self) -> &[Instance] {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_healthy_enabled_weighted_instances_are_candidates() {
        let base = || Instance::new("10.0.0.1", 80).with_version("V1");
        let cases = [
            (base(), true),
            (Instance { healthy: false, ..base() }, false),
            (Instance { enabled: false, ..base() }, false),
            (Instance { weight: 0.0, ..base() }, false),
            (Instance { weight: -1.0, ..base() }, false),
            (Instance { weight: f64::NAN, ..base() }, false),
        ];
        for (instance, expect) in cases {
            let set = InstanceSet::new(std::slice::from_ref(&instance), None);
            assert_eq!(set.all().len() == 1, expect, "{instance:?}");
            assert_eq!(set.version("V1").is_some(), expect, "{instance:?}");
            assert_eq!(set.known().len(), 1);
        }
    }

    #[test]
    fn load_follows_the_address_across_snapshots() {
        let one = InstanceSet::new(&[Instance::new("10.0.0.1", 80).with_version("V1")], None);
        let two = InstanceSet::new(&[Instance::new("10.0.0.1", 80).with_version("V2")], Some(&one));
        assert!(Arc::ptr_eq(one.all().endpoints()[0].load(), two.all().endpoints()[0].load()));
        assert_eq!(two.all().endpoints()[0].version(), Some("V2"));
    }

    #[test]
    fn authorities() {
        for (host, expect) in [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80"), ("user-app", "user-app:80")] {
            assert_eq!(Instance::new(host, 80).authority(), expect);
        }
    }
}
