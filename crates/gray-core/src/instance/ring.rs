//! Consistent hashing: the same key goes to the same instance, and when one leaves only its own keys move.
//!
//! Every instance has points on a ring, eight per unit of weight. A key is hashed to eight places, and of the points that
//! follow them the nearest one gets it (multi-probe consistent hashing, Appleton and O'Reilly 2015). That balances as
//! well as hundreds of points per instance would, in a tenth of the memory: hardly any instance gets more than 9/8 of its share.
//! Points depend on nothing but address and weight, so all gateways agree.

use std::net::IpAddr;

use twox_hash::XxHash3_64;

/// Points of an instance of weight 1.
const POINTS: f64 = 8.0;
/// No instance has more: a weight above 8 counts as 8.
const MOST: f64 = 64.0;
/// Places that a key is hashed to.
const PROBES: usize = 8;

/// Bits of a point that are the place of its instance; those above are its hash. A pick looks at eight points far from
/// each other, so what counts is how many of them fit into a cache.
const PLACE: u32 = 24;

/// The ring of one subset.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Ascending.
    points: Box<[u64]>,
    /// By the upper bits of a hash: the first point that is not before all hashes with these bits.
    starts: Box<[u32]>,
    shift: u32,
}

impl Ring {
    /// The ring of instances with these authorities and weights, in this order.
    pub(crate) fn new<'i>(instances: impl Iterator<Item = (&'i str, f64)>) -> Self {
        let mut points = Vec::new();
        for (place, (authority, weight)) in (0u64..).zip(instances) {
            let count = (weight * POINTS).round().clamp(1.0, MOST) as u64;
            let hash = |replica| XxHash3_64::oneshot_with_seed(replica, authority.as_bytes());
            points.extend((0..count).map(|replica| (hash(replica) >> PLACE << PLACE) | place));
        }
        points.sort_unstable();
        // One start for one or two points.
        let bits = (points.len() / 2).next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - bits;
        let mut next = 0;
        let start = |bucket: u64| {
            while points.get(next).is_some_and(|point| point >> shift < bucket) {
                next += 1;
            }
            next as u32
        };
        let starts = (0..1u64 << bits).map(start).collect();
        Self { points: points.into(), starts, shift }
    }

    /// The place of the instance that a key belongs to.
    pub(crate) fn pick(&self, key: u64) -> usize {
        let probe = |probe: usize| key.wrapping_add((probe as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let hashes: [u64; PROBES] = std::array::from_fn(|place| mix(probe(place)));
        // Step by step for all of them, so that the processor waits for all memory at once and not eight times.
        let starts =
            hashes.map(|hash| self.starts.get((hash >> self.shift) as usize).map_or(0, |start| *start as usize));
        let firsts = starts.map(|start| self.points.get(start).copied());
        let mut nearest = (u64::MAX, 0);
        for ((hash, start), first) in hashes.into_iter().zip(starts).zip(firsts) {
            let hash = hash >> PLACE << PLACE;
            let ahead = first.filter(|point| *point >= hash);
            let ahead = ahead.or_else(|| self.points.get(start..)?.iter().copied().find(|point| *point >= hash));
            // Beyond the last one it is the first.
            let Some(point) = ahead.or_else(|| self.points.first().copied()) else { continue };
            nearest = nearest.min((point.wrapping_sub(hash) >> PLACE, point & ((1 << PLACE) - 1)));
        }
        nearest.1 as usize
    }
}

/// SplitMix64's output function: every bit of the key moves every bit of the hash.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The key of a client, by its address: what [`Draw::key`](crate::balance::Draw) may be.
pub fn key_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => XxHash3_64::oneshot(&ip.octets()),
        IpAddr::V6(ip) => XxHash3_64::oneshot(&ip.octets()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(instances: &[(u16, f64)]) -> Ring {
        let named: Vec<_> = instances.iter().map(|(port, weight)| (format!("10.0.0.1:{port}"), *weight)).collect();
        Ring::new(named.iter().map(|(authority, weight)| (&**authority, *weight)))
    }

    fn key(number: u64) -> u64 {
        XxHash3_64::oneshot(&number.to_le_bytes())
    }

    #[test]
    fn load_is_near_the_weight() {
        for (weight, count) in [(1.0, 3), (1.0, 10), (1.0, 100), (2.5, 20)] {
            let instances: Vec<_> =
                (0..count).map(|port| (port, if port == 0 { weight * 3.0 } else { weight })).collect();
            let ring = ring(&instances);
            let mut got = vec![0u32; instances.len()];
            let keys = 2_000 * u64::from(count);
            (0..keys).for_each(|number| got[ring.pick(key(number))] += 1);
            let total: f64 = instances.iter().map(|(_, weight)| weight).sum();
            for ((port, weight), got) in instances.iter().zip(got) {
                let share = f64::from(got) / (keys as f64 * weight / total);
                assert!((0.6..1.2).contains(&share), "{port} of {count}, weight {weight}: {share} of its share");
            }
        }
    }

    proptest! {
        #[test]
        fn who_leaves_takes_only_his_own_keys(weights in prop::collection::vec(0.01f64..10.0, 2..30), gone: prop::sample::Index) {
            let all: Vec<_> = (0u16..).zip(weights).collect();
            let gone = gone.index(all.len());
            let mut rest = all.clone();
            rest.remove(gone);
            let (before, after) = (ring(&all), ring(&rest));
            for number in 0..300 {
                let (old, new) = (before.pick(key(number)), after.pick(key(number)));
                prop_assert!(old == gone || all[old] == rest[new], "key {number}: from {:?} to {:?}", all[old], rest[new]);
            }
        }

        #[test]
        fn any_key_on_any_ring(count in 1u16..40, key: u64) {
            let instances: Vec<_> = (0..count).map(|port| (port, 1.0)).collect();
            prop_assert!(ring(&instances).pick(key) < usize::from(count));
        }
    }
}
