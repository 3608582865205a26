//! What a server knows, pure: read from its answers, changed by its changes, and held against its own count.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use gray_core::instance::Instance;
use gray_registry::MAX_NAMES;
use serde::de::DeserializeOwned;

use crate::{
    record::{Record, Status, service_name},
    wire::{Answer, Listed, Single},
};

/// Most instances that are taken in.
pub(crate) const MAX_INSTANCES: usize = 100_000;

/// How many instances there are by status: what a server calls the hash code of its applications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<Status, u64>);

impl Counts {
    /// `DOWN_1_UP_3_`, in whatever order; `None` for what is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mut counts, mut rest) = (BTreeMap::new(), text.trim());
        while !rest.is_empty() {
            let named = |status: Status| Some((status, rest.strip_prefix(status.name())?.strip_prefix('_')?));
            let (status, behind) = Status::ALL.into_iter().find_map(named)?;
            let (count, behind) = behind.split_once('_')?;
            let count: u64 = count.parse().ok()?;
            if count > 0 && counts.insert(status, count).is_some() {
                return None;
            }
            rest = behind;
        }
        Some(Self(counts))
    }

    /// As a server writes it.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(status, count)| format!("{}_{count}_", status.name())).collect()
    }
}

/// An application and one of its instances, by the names that the server has for them.
pub(crate) type Key = (Box<str>, Box<str>);

/// All instances that a server lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Apps(BTreeMap<Key, Record>);

/// What changed at a server of late.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delta {
    /// In this order; `None`: it has gone.
    changes: Vec<(Key, Option<Record>)>,
    /// What there is at the server with that; `None`: it does not say.
    counts: Option<Counts>,
}

impl Delta {
    /// Whether it can be held against anything.
    pub(crate) fn tells_counts(&self) -> bool {
        self.counts.is_some()
    }
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

/// Reads the answer to a question for all instances.
pub(crate) fn read_full(json: &[u8]) -> Result<Apps, Unusable> {
    let (changes, _) = read(json)?;
    let mut apps = BTreeMap::new();
    for (key, listed) in changes {
        let record = Record::read(&key.0, listed);
        apps.insert(key, record);
    }
    Ok(Apps(apps))
}

/// Reads the answer to a question for changes.
pub(crate) fn read_delta(json: &[u8]) -> Result<Delta, Unusable> {
    let (listed, counts) = read(json)?;
    let change = |(key, listed): (Key, Listed)| {
        let is_gone = listed.action_type.0.eq_ignore_ascii_case("DELETED");
        let record = (!is_gone).then(|| Record::read(&key.0, listed));
        (key, record)
    };
    Ok(Delta { changes: listed.into_iter().map(change).collect(), counts })
}

/// Reads the answer to a question for one instance.
pub(crate) fn read_one(json: &[u8]) -> Result<Listed, Unusable> {
    parsed(json).map(|answer: Single| answer.instance)
}

fn parsed<T: DeserializeOwned>(json: &[u8]) -> Result<T, Unusable> {
    serde_json::from_slice(json).map_err(|error| {
        Unusable(format!(
            "the answer is not the JSON of Eureka's applications ({error}); is the path right? Spring's is /eureka"
        ))
    })
}

/// The instances of an answer, and what it counts.
type Contents = (Vec<(Key, Listed)>, Option<Counts>);

fn read(json: &[u8]) -> Result<Contents, Unusable> {
    let answer: Answer = parsed(json)?;
    let counts = answer.applications.hash.as_ref().and_then(|hash| Counts::read(&hash.0));
    let mut listed = Vec::new();
    for app in answer.applications.apps.0 {
        for instance in app.instances.0 {
            let id = [&instance.instance_id, &instance.host_name].into_iter().find(|id| !id.0.is_empty());
            let id: Box<str> = id.map(|id| id.0.as_str()).unwrap_or_default().into();
            listed.push(((app.name.0.to_uppercase().into(), id), instance));
            if listed.len() > MAX_INSTANCES {
                return Err(Unusable(format!("it lists more than {MAX_INSTANCES} instances, which is refused")));
            }
        }
    }
    Ok((listed, counts))
}

/// What to do after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is what the server has.
    Agrees,
    /// It is not, or the server does not say: all of it has to be read.
    Differs,
    /// There are more than are taken in.
    TooMany,
}

impl Apps {
    /// Takes changes in; the same ones again change nothing.
    pub(crate) fn apply(&mut self, delta: &Delta) -> Applied {
        for (key, record) in &delta.changes {
            match record {
                Some(record) => drop(self.0.insert(key.clone(), record.clone())),
                None => drop(self.0.remove(key)),
            }
        }
        match &delta.counts {
            _ if self.0.len() > MAX_INSTANCES => Applied::TooMany,
            Some(counts) if *counts == self.counts() => Applied::Agrees,
            _ => Applied::Differs,
        }
    }

    /// All that was read after changes that did not agree. A server answers both from caches of their own, so what is read may be
    /// older than the changes: then it becomes true with them, and is taken as it is otherwise.
    pub(crate) fn reconciled(self, delta: &Delta) -> Self {
        let mut with = self.clone();
        match with.apply(delta) {
            Applied::Agrees => with,
            Applied::Differs | Applied::TooMany => self,
        }
    }

    /// The instances that are not in both, or not the same.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Key> {
        let changed = self.0.iter().filter(|(key, record)| other.0.get(*key) != Some(*record));
        let missing = other.0.keys().filter(|key| !self.0.contains_key(*key));
        changed.map(|(key, _)| key).chain(missing)
    }

    /// What one instance really is; `None`: it is not there. Whether that is news.
    pub(crate) fn correct(&mut self, key: Key, record: Option<Record>) -> bool {
        match record {
            Some(record) => self.0.insert(key, record.clone()) != Some(record),
            None => self.0.remove(&key).is_some(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = BTreeMap::new();
        self.0.values().for_each(|record| *counts.entry(record.status).or_default() += 1);
        Counts(counts)
    }

    /// The instances of these services, by name in lower case. An address that is listed twice counts once.
    pub(crate) fn of<'n>(&self, services: impl IntoIterator<Item = &'n str>) -> HashMap<&'n str, Vec<Instance>> {
        let mut found: HashMap<&str, Vec<Instance>> = services.into_iter().map(|name| (name, Vec::new())).collect();
        let mut places: HashMap<(&str, &str, u16), usize> = HashMap::new();
        for record in self.0.values() {
            let Some(instance) = &record.instance else { continue };
            for name in &record.names {
                let Some(list) = found.get_mut(&**name) else { continue };
                match places.entry((name, &instance.host, instance.port)) {
                    Entry::Vacant(place) => {
                        place.insert(list.len());
                        list.push(instance.clone());
                    }
                    // Left over from another life at the same address, say: one that may be called is the better guess, but what
                    // an operator has taken out of service stays out.
                    Entry::Occupied(place) => {
                        if let Some(twin) = list.get_mut(*place.get()) {
                            let enabled = twin.enabled && instance.enabled;
                            if !twin.is_candidate() {
                                *twin = instance.clone();
                            }
                            twin.enabled = enabled;
                        }
                    }
                }
            }
        }
        found
    }

    /// The names of all applications, in lower case as Spring gives them.
    pub(crate) fn names(&self) -> BTreeSet<Box<str>> {
        let mut names = BTreeSet::new();
        let mut last = None;
        for (app, _) in self.0.keys() {
            if last != Some(app) {
                names.extend(service_name(app));
                last = Some(app);
            }
            if names.len() >= MAX_NAMES {
                break;
            }
        }
        names
    }

    /// How many have no address that could be called.
    pub(crate) fn unusable(&self) -> usize {
        self.0.values().filter(|record| record.instance.is_none()).count()
    }
}

#[cfg(test)]
mod tests;
