//! What became of the messages.

use std::collections::{BTreeMap, HashMap};

use crate::fleet::Place;

/// A message, handled once.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    pub(crate) at_ms: u64,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) number: u32,
    pub(crate) tag: String,
    pub(crate) id: String,
}

pub(crate) fn handled(place: &Place) -> Vec<Handled> {
    let text = std::fs::read_to_string(place.log()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let mut next = || words.next();
        Some(Handled {
            at_ms: next()?.parse().ok()?,
            version: next()?.to_owned(),
            pid: next()?.parse().ok()?,
            number: next()?.parse().ok()?,
            tag: next()?.to_owned(),
            id: next()?.to_owned(),
        })
    });
    lines.collect()
}

/// How many different ones there are.
pub(crate) fn distinct(all: &[Handled]) -> usize {
    let mut numbers: Vec<_> = all.iter().map(|one| one.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

/// Those that were handled again. Every one has the id that it had before.
pub(crate) fn duplicates(all: &[Handled]) -> Vec<&Handled> {
    let mut ids: HashMap<u32, &str> = HashMap::new();
    let again = all.iter().filter(|one| match ids.insert(one.number, &one.id) {
        None => false,
        Some(before) => {
            assert_eq!(before, one.id, "the same message with another id");
            true
        }
    });
    again.collect()
}

/// Gray messages that another version has handled while this one had been alive for so long; `alive`: when it was.
pub(crate) fn wrong<'h>(all: &'h [Handled], version: &str, alive: &[(u64, u64)], after_ms: u64) -> Vec<&'h Handled> {
    let was_alive = |at: u64| alive.iter().any(|(begin, end)| begin + after_ms < at && at < *end);
    all.iter().filter(|one| one.tag == "GRAY" && one.version != version && was_alive(one.at_ms)).collect()
}

/// By version and tag.
pub(crate) fn counts(all: &[Handled]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry((one.version.clone(), one.tag.clone())).or_default() += 1;
    }
    counts
}
