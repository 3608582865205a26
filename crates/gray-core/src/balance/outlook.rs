//! Who could be chosen, without choosing anybody.

use std::sync::Arc;

use super::{OutlierPolicy, choose::taking_part};
use crate::{
    instance::{Endpoint, InstanceSet},
    lane::Selector,
};

/// What [`choose`](super::choose) would choose from now, trials of those that are out aside.
#[derive(Clone, Debug)]
pub struct Outlook<'s> {
    /// The place of the selector that counts.
    pub place: usize,
    /// Which of the selected ones are in rotation.
    pub endpoints: Vec<&'s Arc<Endpoint>>,
    /// Whether all that any selector means are out, and are asked all the same.
    pub is_last_resort: bool,
}

/// Who could be chosen now; `None` when no selector means anybody.
pub fn outlook<'s, 'c>(
    set: &'s InstanceSet,
    choice: impl Iterator<Item = Selector<&'c str>>,
    outliers: &OutlierPolicy,
) -> Option<Outlook<'s>> {
    let mut first = None;
    for (place, selector) in choice.enumerate() {
        let Some(subset) = set.select(selector) else { continue };
        let near = subset.near().into_iter().flat_map(|near| near.endpoints());
        let near: Vec<_> = near.filter(|endpoint| endpoint.load().is_in()).collect();
        if !near.is_empty() {
            return Some(Outlook { place, endpoints: near, is_last_resort: false });
        }
        let takes_part = taking_part(subset, outliers);
        let endpoints: Vec<_> = subset.endpoints().iter().filter(|endpoint| takes_part(endpoint)).collect();
        if !endpoints.is_empty() {
            return Some(Outlook { place, endpoints, is_last_resort: false });
        }
        first = first
            .or_else(|| Some(Outlook { place, endpoints: subset.endpoints().iter().collect(), is_last_resort: true }));
    }
    first
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        balance::{Draw, Outcome, Strategy, choose},
        instance::{Admission, CLUSTER_KEY, Instance},
        lane::Choice,
    };

    const POLICY: OutlierPolicy =
        OutlierPolicy { consecutive_failures: 1, slow_ms: 0, eject_ms: 1_000, max_eject_ms: 8_000, panic_percent: 50 };

    proptest! {
        /// Before the first trial is due, it is exactly those whom requests get to.
        #[test]
        fn it_is_what_is_chosen(
            v1 in 0_u16..4, v2 in 0_u16..4, near in 0_u16..9, out in prop::collection::vec((1_u16..9, 0_u8..3), 0..8),
        ) {
            let one = |port, version| {
                let instance = Instance::new("h", port).with_version(version);
                if port % 4 == near { instance.with_metadata(CLUSTER_KEY, "HZ") } else { instance }
            };
            let all: Vec<_> = (1..=v1).map(|p| one(p, "V1")).chain((5..5 + v2).map(|p| one(p, "V2"))).collect();
            let set = InstanceSet::admit(&all, None, Admission { cluster: Some("HZ"), ..Admission::default() });
            for (port, how) in out {
                let Some(endpoint) = set.endpoints().find(|one| one.instance().port == port) else { continue };
                let load = endpoint.load();
                match how {
                    0 => load.report(Outcome::Unreachable, false, &POLICY, 1),
                    1 => load.report(Outcome::Failed, false, &POLICY, 1),
                    _ => load.checked(false, 1),
                };
            }
            let gray = Choice::new(Selector::version("V2").to_owned(), Some(Selector::version("V1").to_owned()));
            let seen = outlook(&set, gray.iter(), &POLICY);
            let mut chosen = BTreeSet::new();
            for turn in 0..400_usize {
                let random = (turn as u64).wrapping_mul(0x2545_f491_4f6c_dd1d);
                let draw = Draw { turn, random, now_ms: 2, key: None };
                if let Some(one) = choose(&set, gray.iter(), Strategy::RoundRobin, draw, &POLICY, &[]) {
                    chosen.insert((one.endpoint.instance().port, one.is_fallback, one.is_trial));
                }
            }
            let expect = seen.iter().flat_map(|seen| {
                seen.endpoints.iter().map(|one| (one.instance().port, seen.place > 0, seen.is_last_resort))
            });
            prop_assert_eq!(chosen, expect.collect());
        }
    }
}
