//! The snapshot of one service.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Endpoint, Instance, Load, Subset, labels::Labels};
use crate::{
    lane::{Selector, Want},
    tag::VERSION_KEY,
};

/// Every request looks up in these, twice; its hash is seeded, but made for speed.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What keeps instances out of a snapshot, or brings them in slowly. The default admits all at once.
#[derive(Clone, Copy, Default)]
pub struct Admission<'a> {
    /// Instances that get no requests, besides those that the registry rules out: drained, or forbidden to this caller.
    pub excluded: Option<&'a dyn Fn(&Instance) -> bool>,
    /// How long an instance that appeared after others takes to get its full share, in milliseconds; 0 = no time.
    pub slow_start_ms: u64,
    /// Whether the service is under gray release even if none of its instances says a version
    /// ([`InstanceSet::is_unversioned`]).
    pub is_versioned: bool,
    /// The caller's own cluster: of the instances that a selector selects, those in it come first. `None`: all are alike.
    pub cluster: Option<&'a str>,
    /// The time on the clock that picks use ([`Draw::now_ms`](crate::balance::Draw)).
    pub now_ms: u64,
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Admission");
        shown.field("slow_start_ms", &self.slow_start_ms).field("is_versioned", &self.is_versioned);
        shown.field("cluster", &self.cluster);
        shown.field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

/// The immutable snapshot of one service's candidates.
#[derive(Debug)]
pub struct InstanceSet {
    shared: Candidates,
    spaces: Map<Box<str>, Candidates>,
    /// Of those that are known and get no requests any more: they may still be working on some.
    left: Vec<(Box<str>, Arc<Load>)>,
    known: Arc<[Instance]>,
    labels: Labels,
    is_versioned: bool,
}

/// The candidates of one namespace.
#[derive(Debug, Default)]
struct Candidates {
    all: Subset,
    /// By metadata key. `version` is indexed at once, another key when a request first asks for it.
    by_key: Map<Box<str>, OnceLock<Index>>,
    /// The cluster whose endpoints come first.
    cluster: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Index {
    values: Map<Box<str>, Subset>,
    lacking: Subset,
}

impl Candidates {
    fn new(endpoints: Vec<Arc<Endpoint>>, cluster: Option<&Arc<str>>) -> Self {
        let mut by_key: Map<Box<str>, OnceLock<Index>> = Map::default();
        for endpoint in &endpoints {
            for key in endpoint.instance().metadata.keys() {
                if !by_key.contains_key(key) {
                    by_key.insert(key.into(), OnceLock::new());
                }
            }
        }
        let all = Subset::new(endpoints, cluster.map(|cluster| &**cluster));
        let candidates = Self { all, by_key, cluster: cluster.cloned() };
        candidates.index(VERSION_KEY);
        candidates
    }

    fn index(&self, key: &str) -> Option<&Index> {
        let build = || {
            let mut groups: Map<&str, Vec<Arc<Endpoint>>> = Map::default();
            let mut lacking = Vec::new();
            for endpoint in self.all.endpoints() {
                match endpoint.instance().label(key) {
                    Some(value) => groups.entry(value).or_default().push(Arc::clone(endpoint)),
                    None => lacking.push(Arc::clone(endpoint)),
                }
            }
            let cluster = self.cluster.as_deref();
            let values = groups.into_iter().map(|(value, group)| (value.into(), Subset::new(group, cluster))).collect();
            Index { values, lacking: Subset::new(lacking, cluster) }
        };
        self.by_key.get(key).map(|index| index.get_or_init(build))
    }

    /// Everything that was ever asked for, and the versions.
    fn subsets(&self) -> impl Iterator<Item = &Subset> {
        let indexes = self.by_key.values().filter_map(OnceLock::get);
        indexes.flat_map(|index| index.values.values().chain([&index.lacking])).chain([&self.all])
    }

    fn select(&self, want: Want<&str>) -> Option<&Subset> {
        match want {
            Want::Any => Some(&self.all),
            Want::Is { key, value } => self.index(key)?.values.get(value),
            // A key that no instance has is lacking in all.
            Want::Lacks { key } => Some(self.index(key).map_or(&self.all, |index| &index.lacking)),
        }
        .filter(|subset| !subset.is_empty())
    }
}

impl Default for InstanceSet {
    fn default() -> Self {
        Self::new(&[], None)
    }
}

impl InstanceSet {
    /// Builds the snapshot; endpoints that were in `previous` keep their [`Load`].
    pub fn new(instances: &[Instance], previous: Option<&InstanceSet>) -> Self {
        Self::admit(instances, previous, Admission::default())
    }

    /// Like [`new`](Self::new), with instances kept out or brought in slowly.
    pub fn admit(instances: &[Instance], previous: Option<&InstanceSet>, admission: Admission<'_>) -> Self {
        Self::of(instances.into(), previous, admission)
    }

    /// The same of a list that it shares.
    pub fn of(known: Arc<[Instance]>, previous: Option<&InstanceSet>, admission: Admission<'_>) -> Self {
        let before = previous.into_iter().flat_map(|set| set.spaces.values().chain([&set.shared]));
        let mut loads: Map<&str, &Arc<Load>> =
            before.flat_map(|space| space.all.endpoints()).map(|e| (e.authority(), e.load())).collect();
        // None of the first instances is new: they all are.
        let since_ms = if loads.is_empty() { 0 } else { admission.now_ms };
        let load_of = |authority: &str| {
            let load = loads.get(authority).map(|load| Arc::clone(load));
            let load = load.unwrap_or_else(|| Arc::new(Load::since(since_ms)));
            let warm_until_ms = match load.since_ms() {
                0 => 0,
                since => since.saturating_add(admission.slow_start_ms),
            };
            (load, if warm_until_ms > admission.now_ms { warm_until_ms } else { 0 })
        };
        let mut shared = Vec::with_capacity(known.len());
        let mut spaces: Map<&str, Vec<Arc<Endpoint>>> = Map::default();
        let mut without = Vec::new();
        for (place, instance) in known.iter().enumerate() {
            if !instance.is_candidate() || admission.excluded.is_some_and(|excluded| excluded(instance)) {
                without.push(instance.authority());
                continue;
            }
            let endpoint = Arc::new(Endpoint::new(&known, place, load_of));
            match instance.space.as_deref() {
                None => shared.push(endpoint),
                Some(space) => spaces.entry(space).or_default().push(endpoint),
            }
        }
        let cluster = admission.cluster.map(Arc::from);
        let candidates = |all| Candidates::new(all, cluster.as_ref());
        let spaces = spaces.into_iter().map(|(space, all)| (space.into(), candidates(all))).collect();
        loads.extend(previous.into_iter().flat_map(|set| &set.left).map(|(authority, load)| (&**authority, load)));
        let left = without.into_iter().filter_map(|authority| {
            let load = loads.get(authority.as_str()).map(|load| Arc::clone(load))?;
            Some((authority.into(), load))
        });
        let left = left.collect();
        let labels = Labels::new(&known, previous.map(|set| &set.labels), admission.now_ms);
        Self { shared: candidates(shared), spaces, left, known, labels, is_versioned: admission.is_versioned }
    }

    /// Makes the rings of all subsets, so that no request has to wait for one.
    pub(crate) fn make_rings(&self) {
        let spaces = self.spaces.values().chain([&self.shared]);
        let subsets = spaces.flat_map(Candidates::subsets).flat_map(|subset| subset.near().into_iter().chain([subset]));
        subsets.for_each(|subset| _ = subset.ring());
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

    /// Whether the service is not under gray release, as far as it can be seen from here: no instance has, or had lately, a
    /// version or a key that these selectors ask for. Whether a lane names the service is for the caller to know.
    pub fn is_unversioned<'c>(&self, choice: impl IntoIterator<Item = Selector<&'c str>>, now_ms: u64) -> bool {
        let has = |key: &str| self.labels.has(key, now_ms);
        let is_absent = |selector: Selector<&str>| {
            selector.space.is_none() && matches!(selector.want, Want::Is { key, .. } if !has(key))
        };
        !self.is_versioned && !self.shared.all.is_empty() && !has(VERSION_KEY) && choice.into_iter().all(is_absent)
    }

    /// Every candidate, of all namespaces.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.spaces.values().chain([&self.shared]).flat_map(|space| space.all.endpoints())
    }

    /// What is measured of all candidates, and of former ones that may still be working on requests.
    pub fn loads(&self) -> impl Iterator<Item = (&str, &Arc<Load>)> {
        let left = self.left.iter().map(|(authority, load)| (&**authority, load));
        self.endpoints().map(|endpoint| (endpoint.authority(), endpoint.load())).chain(left)
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
