//! `Weight`: of the routes of one group, each request may take exactly one, chosen in proportion.

use std::collections::BTreeMap;

/// One route's share of its group.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) group: Box<str>,
    pub(super) weight: u32,
    /// Where the share begins among the group's `total` lots.
    from: u64,
    total: u64,
    /// Tells the groups apart, so that their draws are independent.
    group_number: u64,
}

impl Share {
    pub(super) fn new(group: &str, weight: u32) -> Self {
        Self { group: group.into(), weight, from: 0, total: u64::from(weight), group_number: 0 }
    }

    /// Whether the request's draw falls on this share. All shares of a group see the same draw, and exactly one holds.
    pub(super) fn holds(&self, random: u64) -> bool {
        let draw = mix(random ^ self.group_number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The high half of the product is uniform over 0..total.
        let lot = (u128::from(draw) * u128::from(self.total)) >> 64;
        (u128::from(self.from)..u128::from(self.from) + u128::from(self.weight)).contains(&lot)
    }
}

/// The finalizer of splitmix64: a bijection, so a uniform number stays exactly uniform.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Gives every share its place within its group. Returns the groups in which nothing has weight.
pub(super) fn share_out<'s>(shares: impl Iterator<Item = &'s mut Share>) -> Vec<Box<str>> {
    let mut groups: BTreeMap<Box<str>, Vec<&mut Share>> = BTreeMap::new();
    for share in shares {
        groups.entry(share.group.clone()).or_default().push(share);
    }
    let mut empty = Vec::new();
    for (number, (group, shares)) in (0_u64..).zip(groups) {
        let total = shares.iter().map(|share| u64::from(share.weight)).sum();
        let mut from = 0;
        for share in shares {
            (share.from, share.total, share.group_number) = (from, total, number);
            from += u64::from(share.weight);
        }
        if total == 0 {
            empty.push(group);
        }
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[(&str, u32)]) -> Vec<Share> {
        let mut shares: Vec<_> = weights.iter().map(|(group, weight)| Share::new(group, *weight)).collect();
        share_out(shares.iter_mut());
        shares
    }

    #[test]
    fn exactly_one_of_a_group_holds_and_in_proportion() {
        let shares = shares(&[("a", 8), ("a", 2), ("b", 1), ("a", 0), ("b", 3)]);
        let mut rng = fastrand::Rng::with_seed(7);
        let (draws, mut hits) = (100_000, [0_u32; 5]);
        let mut both = 0;
        for _ in 0..draws {
            let random = rng.u64(..);
            let held: Vec<_> = shares.iter().map(|share| share.holds(random)).collect();
            assert_eq!(usize::from(held[0]) + usize::from(held[1]) + usize::from(held[3]), 1);
            assert_eq!(usize::from(held[2]) + usize::from(held[4]), 1);
            held.iter().zip(&mut hits).for_each(|(held, hits)| *hits += u32::from(*held));
            both += u32::from(held[0] && held[2]);
        }
        for (hits, expect) in hits.iter().zip([0.8, 0.2, 0.25, 0.0, 0.75]) {
            assert!((f64::from(*hits) / f64::from(draws) - expect).abs() < 0.01, "{hits} of {draws}, not {expect}");
        }
        // Independent groups: 0.8 x 0.25 of all requests take the first of both.
        assert!((f64::from(both) / f64::from(draws) - 0.2).abs() < 0.01, "{both}");
    }

    /// Routes and rules are given the same number: a share of the requests by rule is divided like all of them.
    #[test]
    fn a_range_of_the_numbers_is_divided_in_proportion_too() {
        let shares = shares(&[("a", 1), ("a", 1), ("b", 1), ("b", 3)]);
        let draws = 100_000_u32;
        for tenth in 0..10 {
            let begin = u64::MAX / 10 * tenth;
            let numbers = (0..draws).map(|step| begin + u64::MAX / 10 / u64::from(draws) * u64::from(step));
            let mut hits = [0_u32; 4];
            for number in numbers {
                hits.iter_mut().zip(&shares).for_each(|(hits, share)| *hits += u32::from(share.holds(number)));
            }
            for (hits, expect) in hits.iter().zip([0.5, 0.5, 0.25, 0.75]) {
                assert!((f64::from(*hits) / f64::from(draws) - expect).abs() < 0.01, "{hits} in tenth {tenth}");
            }
        }
    }

    #[test]
    fn a_group_without_weight_takes_nothing() {
        let shares = shares(&[("a", 0), ("a", 0)]);
        assert!((0..1000).all(|random| !shares.iter().any(|share| share.holds(random))));
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let shares = shares(&[("a", u32::MAX), ("a", u32::MAX)]);
        for random in [0, 1, u64::MAX, u64::MAX / 2] {
            assert_eq!(shares.iter().filter(|share| share.holds(random)).count(), 1);
        }
    }
}
