//! The networks of many rules as one table.

use std::{collections::BTreeMap, net::IpAddr};

use super::super::IpSet;

/// Addresses cut into ranges in which the same rules have a match.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Each range goes from its start to the next one.
#[derive(Clone, Debug)]
struct Ranges<T> {
    starts: Box<[T]>,
    /// Place of the list of each range.
    lists: Box<[usize]>,
}

impl Addresses {
    /// The networks of these rules. `list` gives a list of rules, in order, its place, or none when there are too many.
    pub(super) fn new(sets: &[(&IpSet, usize)], list: &mut impl FnMut(Vec<usize>) -> Option<usize>) -> Option<Self> {
        let v4 = sets.iter().flat_map(|(set, rule)| set.v4().iter().map(|range| (*range, *rule)));
        let v4 = Ranges::new(v4, |end| end.checked_add(1), list)?;
        let v6 = sets.iter().flat_map(|(set, rule)| set.v6().iter().map(|range| (*range, *rule)));
        let v6 = Ranges::new(v6, |end| end.checked_add(1), list)?;
        Some(Self { v4, v6 })
    }

    /// The list of the rules that have the address.
    pub(super) fn find(&self, ip: IpAddr) -> usize {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.find(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()),
        }
    }
}

impl<T: Ord + Copy> Ranges<T> {
    fn new(
        ranges: impl Iterator<Item = ((T, T), usize)>,
        next: impl Fn(T) -> Option<T>,
        list: &mut impl FnMut(Vec<usize>) -> Option<usize>,
    ) -> Option<Self> {
        // Where a rule begins to match, and where it ends.
        let mut edges: Vec<(T, usize, bool)> = Vec::new();
        for ((from, to), rule) in ranges {
            edges.push((from, rule, true));
            edges.extend(next(to).map(|end| (end, rule, false)));
        }
        edges.sort_unstable();
        // A rule may have several sets, which may overlap.
        let mut open: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut starts, mut lists) = (Vec::new(), Vec::new());
        for at in edges.chunk_by(|one, other| one.0 == other.0) {
            for &(_, rule, begins) in at {
                let count = open.entry(rule).or_default();
                *count = if begins { *count + 1 } else { count.saturating_sub(1) };
            }
            open.retain(|_, count| *count > 0);
            starts.push(at[0].0);
            lists.push(list(open.keys().copied().collect())?);
        }
        Some(Self { starts: starts.into(), lists: lists.into() })
    }

    fn find(&self, ip: T) -> usize {
        let after = self.starts.partition_point(|start| *start <= ip);
        // Below the first range no address matches.
        after.checked_sub(1).and_then(|place| self.lists.get(place)).copied().unwrap_or(0)
    }
}
