//! Instances of a service, and the immutable snapshot that requests pick from.
//!
//! An [`InstanceSet`] is built off the request path whenever the registry reports a change; subsets by metadata and
//! their cumulative weights are computed once. The load of an endpoint (in flight, response time, since when it is
//! known) outlives snapshots: it belongs to the address, not to the snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use crate::{
    balance::Load,
    lane::{Selector, Want},
    tag::VERSION_KEY,
};

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
    /// The namespace or group it was found in, when that is not the one that everybody shares.
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
            metadata: BTreeMap::new(),
            space: None,
        }
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
        self.label(VERSION_KEY)
    }

    /// A metadata value; an empty one counts as none.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str).filter(|value| !value.is_empty())
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
    /// When slow start is over; 0 when there was none or it is over already.
    warm_until_ms: u64,
}

impl Endpoint {
    fn new(instance: Instance, load: Arc<Load>, warm_until_ms: u64) -> Self {
        let authority = instance.authority().into_boxed_str();
        let address = instance.host.parse().ok().map(|ip| SocketAddr::new(ip, instance.port));
        Self { instance, authority, address, load, warm_until_ms }
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

    /// The part of its full share that it is to get now, 0 to 1: less than 1 while it starts slowly.
    pub fn warmth(&self, now_ms: u64) -> f64 {
        if self.warm_until_ms <= now_ms {
            return 1.0;
        }
        let since = self.load.since_ms();
        let elapsed = now_ms.saturating_sub(since) as f64;
        (elapsed / self.warm_until_ms.saturating_sub(since).max(1) as f64).max(Self::COLDEST)
    }

    /// Even the newest instance gets some requests, or it would never warm up.
    const COLDEST: f64 = 0.1;
}

/// Endpoints that may answer one kind of request, with what the strategies need.
#[derive(Debug, Default)]
pub struct Subset {
    endpoints: Box<[Arc<Endpoint>]>,
    cumulative: Box<[f64]>,
    warming: bool,
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
        let warming = endpoints.iter().any(|endpoint| endpoint.warm_until_ms > 0);
        Self { endpoints: endpoints.into(), cumulative, warming }
    }

    /// The endpoints, in the registry's order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Running sums of the weights, one per endpoint, ascending.
    pub fn cumulative_weights(&self) -> &[f64] {
        &self.cumulative
    }

    /// Whether some endpoint may still be starting slowly, so that a pick depends on the time.
    pub fn is_warming(&self) -> bool {
        self.warming
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

/// What keeps instances out of a snapshot, or brings them in slowly. The default lets everybody in at once.
#[derive(Clone, Copy, Default)]
pub struct Admission<'a> {
    /// Instances that get no requests, besides those that the registry rules out: drained, or forbidden to this caller.
    pub excluded: Option<&'a dyn Fn(&Instance) -> bool>,
    /// How long an instance that appeared after others takes to get its full share, in milliseconds; 0 = no time.
    pub slow_start_ms: u64,
    /// The time on the clock that picks use ([`Draw::now_ms`](crate::balance::Draw)).
    pub now_ms: u64,
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Admission");
        shown.field("slow_start_ms", &self.slow_start_ms).field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

/// The immutable snapshot of one service's candidates.
#[derive(Debug, Default)]
pub struct InstanceSet {
    shared: Candidates,
    spaces: HashMap<Box<str>, Candidates>,
    known: Vec<Instance>,
}

/// The candidates of one namespace.
#[derive(Debug, Default)]
struct Candidates {
    all: Subset,
    /// By metadata key. `version` is indexed at once, another key when a request first asks for it.
    by_key: HashMap<Box<str>, OnceLock<Index>>,
}

#[derive(Debug, Default)]
struct Index {
    values: HashMap<Box<str>, Subset>,
    lacking: Subset,
}

impl Candidates {
    fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let mut by_key: HashMap<Box<str>, OnceLock<Index>> = HashMap::new();
        for endpoint in &endpoints {
            for key in endpoint.instance.metadata.keys() {
                if !by_key.contains_key(key.as_str()) {
                    by_key.insert(key.as_str().into(), OnceLock::new());
                }
            }
        }
        let candidates = Self { all: Subset::new(endpoints), by_key };
        candidates.index(VERSION_KEY);
        candidates
    }

    fn index(&self, key: &str) -> Option<&Index> {
        let build = || {
            let mut groups: HashMap<&str, Vec<Arc<Endpoint>>> = HashMap::new();
            let mut lacking = Vec::new();
            for endpoint in &self.all.endpoints {
                match endpoint.instance.label(key) {
                    Some(value) => groups.entry(value).or_default().push(Arc::clone(endpoint)),
                    None => lacking.push(Arc::clone(endpoint)),
                }
            }
            let values = groups.into_iter().map(|(value, group)| (value.into(), Subset::new(group))).collect();
            Index { values, lacking: Subset::new(lacking) }
        };
        self.by_key.get(key).map(|index| index.get_or_init(build))
    }

    fn select(&self, want: Want<&str>) -> Option<&Subset> {
        match want {
            Want::Any => Some(&self.all),
            Want::Is { key, value } => self.index(key)?.values.get(value),
            // A key that nobody has, everybody lacks.
            Want::Lacks { key } => Some(self.index(key).map_or(&self.all, |index| &index.lacking)),
        }
        .filter(|subset| !subset.is_empty())
    }
}

impl InstanceSet {
    /// Builds the snapshot; endpoints that were in `previous` keep their [`Load`].
    pub fn new(instances: &[Instance], previous: Option<&InstanceSet>) -> Self {
        Self::admit(instances, previous, Admission::default())
    }

    /// Like [`new`](Self::new), with instances kept out or brought in slowly.
    pub fn admit(instances: &[Instance], previous: Option<&InstanceSet>, admission: Admission<'_>) -> Self {
        let known = previous.into_iter().flat_map(|set| set.spaces.values().chain([&set.shared]));
        let loads: HashMap<&str, &Arc<Load>> =
            known.flat_map(|space| space.all.endpoints()).map(|e| (e.authority(), e.load())).collect();
        // Nobody is new among the first: they all are.
        let since_ms = if loads.is_empty() { 0 } else { admission.now_ms };
        let mut spaces: HashMap<Option<Box<str>>, Vec<Arc<Endpoint>>> = HashMap::new();
        for instance in instances {
            if !instance.is_candidate() || admission.excluded.is_some_and(|excluded| excluded(instance)) {
                continue;
            }
            let load = loads.get(instance.authority().as_str()).map(|load| Arc::clone(load));
            let load = load.unwrap_or_else(|| Arc::new(Load::since(since_ms)));
            let warm_until_ms = match load.since_ms() {
                0 => 0,
                since => since.saturating_add(admission.slow_start_ms),
            };
            let warm_until_ms = if warm_until_ms > admission.now_ms { warm_until_ms } else { 0 };
            let endpoint = Arc::new(Endpoint::new(instance.clone(), load, warm_until_ms));
            spaces.entry(instance.space.clone()).or_default().push(endpoint);
        }
        let shared = Candidates::new(spaces.remove(&None).unwrap_or_default());
        let spaces = spaces.into_iter().filter_map(|(space, all)| Some((space?, Candidates::new(all)))).collect();
        Self { shared, spaces, known: instances.to_vec() }
    }

    /// Every candidate of the shared namespace.
    pub fn all(&self) -> &Subset {
        &self.shared.all
    }

    /// The candidates that a selector means; `None` when there is none. Never allocates, except for the first request
    /// that asks for a metadata key other than `version`.
    pub fn select(&self, selector: Selector<&str>) -> Option<&Subset> {
        match selector.space {
            None => self.shared.select(selector.want),
            Some(space) => self.spaces.get(space)?.select(selector.want),
        }
    }

    /// The candidates of one version; `None` when there is none.
    pub fn version(&self, version: &str) -> Option<&Subset> {
        self.select(Selector::version(version))
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
    fn selectors_select() {
        let instances = [
            Instance::new("10.0.0.1", 80).with_version("V1"),
            Instance::new("10.0.0.2", 80).with_version("V2").with_metadata("gray-tag", "true"),
            Instance::new("10.0.0.3", 80).with_version("V2").with_metadata("gray-tag", ""),
            Instance { space: Some("gray-ns".into()), ..Instance::new("10.0.0.4", 80).with_version("V1") },
        ];
        let set = InstanceSet::new(&instances, None);
        let cases = [
            ("*", vec![0, 1, 2]),
            ("version:V1", vec![0]),
            ("version:V2", vec![1, 2]),
            ("version:V3", vec![]),
            ("!version", vec![]),
            ("gray-tag:true", vec![1]),
            ("!gray-tag", vec![0, 2]),
            ("!zone", vec![0, 1, 2]),
            ("zone:a", vec![]),
            ("gray-ns/*", vec![3]),
            ("gray-ns/version:V1", vec![3]),
            ("gray-ns/!version", vec![]),
            ("other/*", vec![]),
        ];
        for (text, expect) in cases {
            let selector = Selector::parse(text).expect("a selector");
            let seen: Vec<_> =
                set.select(selector).into_iter().flat_map(Subset::endpoints).map(|e| e.instance().clone()).collect();
            let expect: Vec<_> = expect.into_iter().map(|place: usize| instances[place].clone()).collect();
            assert_eq!(seen, expect, "{text}");
            assert!(expect.iter().all(|instance| instance.is_selected_by(selector)), "{text}");
        }
    }

    #[test]
    fn the_excluded_get_nothing_and_the_new_start_slowly() {
        let (old, new) = (Instance::new("10.0.0.1", 80), Instance::new("10.0.0.2", 80));
        let admission = |now_ms| Admission { slow_start_ms: 1000, now_ms, excluded: None };
        let first = InstanceSet::admit(std::slice::from_ref(&old), None, admission(500));
        assert!(!first.all().is_warming(), "the first are not new");
        let second = InstanceSet::admit(&[old.clone(), new.clone()], Some(&first), admission(5000));
        let warmth = |now_ms| second.all().endpoints()[1].warmth(now_ms);
        assert_eq!((warmth(5000), warmth(5500), warmth(6000)), (0.1, 0.5, 1.0));
        let third = InstanceSet::admit(&[old.clone(), new.clone()], Some(&second), admission(6001));
        assert!(!third.all().is_warming());
        let excluded: &dyn Fn(&Instance) -> bool = &|instance| instance.host == "10.0.0.1";
        let set = InstanceSet::admit(&[old, new], None, Admission { excluded: Some(excluded), ..Admission::default() });
        assert_eq!(set.all().endpoints()[0].authority(), "10.0.0.2:80");
    }

    #[test]
    fn authorities() {
        for (host, expect) in [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80"), ("user-app", "user-app:80")] {
            assert_eq!(Instance::new(host, 80).authority(), expect);
        }
    }
}
