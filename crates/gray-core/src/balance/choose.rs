//! Choosing an endpoint: the selectors of a choice, best first; of the selected endpoints, the one that the strategy picks,
//! unless it is ejected.

use std::sync::Arc;

use super::{Draw, OutlierPolicy, Reason, Strategy, strategy::below};
use crate::{
    instance::{Endpoint, InstanceSet, Subset},
    lane::Selector,
};

/// The endpoint that is asked.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'s> {
    /// Who.
    pub endpoint: &'s Arc<Endpoint>,
    /// A later selector than the first has selected it: the first one selects none, or only those that cannot be
    /// reached. Log and count it.
    pub is_fallback: bool,
    /// The endpoint was out: the request finds out whether it still is ([`Load::report`](super::Load::report)).
    pub is_trial: bool,
}

/// Chooses an endpoint that is not one of `tried` (by address); `None` when there is no such.
///
/// Of those that a selector selects, the ones of the caller's own cluster come first, as long as any of them is in. Those that
/// are out ([`OutlierPolicy`]) are passed over: others of the same selector stand in, and when none of them
/// can be reached, those of the next one. When all of them are out the first selector counts again, whatever speaks
/// against its endpoints: one that may be well is better than none. A request that has tried every reachable instance
/// ends there, and is no other version's. O(1) and without allocation, unless an instance is out or was tried.
pub fn choose<'s, 'c>(
    set: &'s InstanceSet,
    choice: impl Iterator<Item = Selector<&'c str>> + Clone,
    strategy: Strategy,
    draw: Draw,
    outliers: &OutlierPolicy,
    tried: &[Arc<Endpoint>],
) -> Option<Chosen<'s>> {
    // Nearly always: an instance of the first selector, and nothing speaks against it.
    let first = choice.clone().next().and_then(|selector| {
        let subset = set.select(selector)?;
        strategy.pick(subset.near().unwrap_or(subset), draw)
    });
    if let Some(endpoint) = first.filter(|endpoint| tried.is_empty() && endpoint.load().is_in()) {
        return Some(Chosen { endpoint, is_fallback: false, is_trial: false });
    }
    choose_slowly(set, choice, strategy, draw, outliers, tried)
}

/// The rule without its short cut.
#[cold]
fn choose_slowly<'s, 'c>(
    set: &'s InstanceSet,
    choice: impl Iterator<Item = Selector<&'c str>> + Clone,
    strategy: Strategy,
    draw: Draw,
    outliers: &OutlierPolicy,
    tried: &[Arc<Endpoint>],
) -> Option<Chosen<'s>> {
    let subsets = choice.enumerate().filter_map(|(place, selector)| set.select(selector).map(|subset| (place, subset)));
    let mut last = usize::MAX;
    for (place, subset) in subsets.clone() {
        let near = subset.near().and_then(|near| well(near, strategy, draw, outliers, tried));
        if let Some((endpoint, is_trial)) = near.or_else(|| admitted(subset, strategy, draw, outliers, tried)) {
            return Some(Chosen { endpoint, is_fallback: place > 0, is_trial });
        }
        if subset.endpoints().iter().any(|endpoint| is_reachable(endpoint)) {
            // An instance of this kind is reachable and was tried: its failure does not send the request to another kind.
            last = place;
            break;
        }
    }
    for (place, subset) in subsets.take_while(|(place, _)| *place <= last) {
        let untried = || subset.endpoints().iter().filter(|endpoint| !is_tried(endpoint, tried));
        if let Some(endpoint) = drawn(untried, draw) {
            return Some(Chosen { endpoint, is_fallback: place > 0, is_trial: true });
        }
    }
    None
}

/// Whether nothing says that it could not answer, whatever the answer.
pub fn is_reachable(endpoint: &Endpoint) -> bool {
    endpoint.load().ejection().is_none_or(|reason| reason == Reason::Failures)
}

/// The same as [`admitted`] among those of the caller's own cluster, but without those that are out: others are better than these.
fn well<'s>(
    near: &'s Subset,
    strategy: Strategy,
    draw: Draw,
    outliers: &OutlierPolicy,
    tried: &[Arc<Endpoint>],
) -> Option<(&'s Arc<Endpoint>, bool)> {
    let picked = strategy.pick(near, draw)?;
    if !is_tried(picked, tried) && (picked.load().is_in() || picked.load().claim_trial(draw.now_ms, outliers)) {
        return Some((picked, !picked.load().is_in()));
    }
    let others = || near.endpoints().iter().filter(|endpoint| endpoint.load().is_in() && !is_tried(endpoint, tried));
    drawn(others, draw).map(|endpoint| (endpoint, false))
}

/// The picked endpoint if it is in rotation, else a stand-in; and whether it is on trial.
fn admitted<'s>(
    subset: &'s Subset,
    strategy: Strategy,
    draw: Draw,
    outliers: &OutlierPolicy,
    tried: &[Arc<Endpoint>],
) -> Option<(&'s Arc<Endpoint>, bool)> {
    let picked = strategy.pick(subset, draw)?;
    if !is_tried(picked, tried) && (picked.load().is_in() || picked.load().claim_trial(draw.now_ms, outliers)) {
        return Some((picked, !picked.load().is_in()));
    }
    let takes_part = taking_part(subset, outliers);
    let others = || subset.endpoints().iter().filter(|endpoint| takes_part(endpoint) && !is_tried(endpoint, tried));
    drawn(others, draw).map(|endpoint| (endpoint, false))
}

/// Which of a subset are in rotation.
pub(super) fn taking_part(subset: &Subset, outliers: &OutlierPolicy) -> impl Fn(&Endpoint) -> bool {
    let endpoints = subset.endpoints();
    let in_count = endpoints.iter().filter(|endpoint| endpoint.load().is_in()).count();
    // Failing answers are answers: they never lead to the next selector.
    let panics = in_count == 0 || in_count * 100 < usize::from(outliers.panic_percent) * endpoints.len();
    move |endpoint| match endpoint.load().ejection() {
        None => true,
        Some(reason) => panics && reason == Reason::Failures,
    }
}

/// One of them, evenly; the same one for the same key.
fn drawn<'s, I: Iterator<Item = &'s Arc<Endpoint>>>(among: impl Fn() -> I, draw: Draw) -> Option<&'s Arc<Endpoint>> {
    match among().count() {
        0 => None,
        count => {
            // Mixed (the multiplier of SplitMix64): other bits than those that have picked the endpoint that is out.
            let random = draw.key.unwrap_or(draw.random).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
            among().nth(below(random, count))
        }
    }
}

fn is_tried(endpoint: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
    tried.iter().any(|tried| tried.authority() == endpoint.authority())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Outcome, Strategy, *};
    use crate::{
        instance::{Admission, CLUSTER_KEY, Instance},
        lane::Choice,
    };

    const POLICY: OutlierPolicy =
        OutlierPolicy { consecutive_failures: 1, slow_ms: 0, eject_ms: 100, max_eject_ms: 800, panic_percent: 50 };

    /// Ports 1 to `v1` are V1, from 101 on V2.
    fn set(v1: u16, v2: u16) -> InstanceSet {
        let one = |port, version| Instance::new("h", port).with_version(version);
        let all: Vec<_> = (1..=v1).map(|p| one(p, "V1")).chain((101..101 + v2).map(|p| one(p, "V2"))).collect();
        InstanceSet::new(&all, None)
    }

    fn gray() -> Choice {
        Choice::new(Selector::version("V2").to_owned(), Some(Selector::version("V1").to_owned()))
    }

    fn endpoint(set: &InstanceSet, port: u16) -> &Arc<Endpoint> {
        set.all().endpoints().iter().find(|endpoint| endpoint.instance().port == port).expect("one")
    }

    fn report(set: &InstanceSet, port: u16, outcome: Outcome, now_ms: u64) {
        endpoint(set, port).load().report(outcome, false, &POLICY, now_ms);
    }

    fn draw(turn: usize, now_ms: u64) -> Draw {
        Draw { turn, random: (turn as u64).wrapping_mul(0x2545_f491_4f6c_dd1d), now_ms, key: None }
    }

    /// Ports chosen in so many turns, without repetition, in order.
    fn ports(set: &InstanceSet, choice: &Choice, now_ms: u64) -> Vec<u16> {
        let one = |turn| choose(set, choice.iter(), Strategy::RoundRobin, draw(turn, now_ms), &POLICY, &[]);
        let mut ports: Vec<_> = (0..300).filter_map(one).map(|chosen| chosen.endpoint.instance().port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    #[test]
    fn who_is_out_is_passed_over_evenly() {
        let set = set(4, 0);
        report(&set, 2, Outcome::Unreachable, 1);
        let mut counts = [0; 5];
        for turn in 0..4_000 {
            let chosen = choose(&set, Choice::version("V1").iter(), Strategy::RoundRobin, draw(turn, 1), &POLICY, &[]);
            counts[usize::from(chosen.expect("somebody").endpoint.instance().port)] += 1;
        }
        assert_eq!(counts[2], 0);
        for port in [1, 3, 4] {
            assert!((1_200..1_470).contains(&counts[port]), "{counts:?}");
        }
    }

    #[test]
    fn a_trial_is_one_request() {
        let set = set(2, 0);
        report(&set, 2, Outcome::Unreachable, 1);
        let baseline = Choice::version("V1");
        let trials = |now| {
            let one = |turn| choose(&set, baseline.iter(), Strategy::RoundRobin, draw(turn, now), &POLICY, &[]);
            (0..100).filter_map(one).filter(|chosen| chosen.is_trial).count()
        };
        assert_eq!([trials(100), trials(101), trials(102)], [0, 1, 0]);
    }

    #[test]
    fn the_last_of_a_version_leaves_it_to_the_fallback_and_else_is_tried() {
        let set = set(1, 2);
        assert_eq!(ports(&set, &gray(), 1), [101, 102]);
        report(&set, 101, Outcome::Unreachable, 1);
        assert_eq!(ports(&set, &gray(), 1), [102]);
        report(&set, 102, Outcome::Unreachable, 1);
        assert_eq!(ports(&set, &gray(), 1), [1]);
        let chosen = choose(&set, gray().iter(), Strategy::Random, draw(1, 1), &POLICY, &[]).expect("somebody");
        assert!(chosen.is_fallback && !chosen.is_trial);
        // Without a fallback, and when the fallback is out as well: better one that may be out than none.
        assert_eq!(ports(&set, &Choice::version("V2"), 1), [101, 102]);
        report(&set, 1, Outcome::Unreachable, 1);
        assert_eq!(ports(&set, &gray(), 1), [101, 102]);
        let chosen = choose(&set, gray().iter(), Strategy::Random, draw(1, 1), &POLICY, &[]).expect("somebody");
        assert!(!chosen.is_fallback && chosen.is_trial);
    }

    #[test]
    fn too_many_that_fail_are_used_all_the_same() {
        let set = set(4, 0);
        let baseline = Choice::version("V1");
        report(&set, 1, Outcome::Failed, 1);
        report(&set, 2, Outcome::Failed, 1);
        assert_eq!(ports(&set, &baseline, 1), [3, 4], "half of them are left");
        report(&set, 3, Outcome::Unreachable, 1);
        assert_eq!(ports(&set, &baseline, 1), [1, 2, 4], "but not those that cannot be reached");
    }

    #[test]
    fn a_failing_version_never_becomes_another_one() {
        let set = set(2, 2);
        for port in [101, 102] {
            report(&set, port, Outcome::Failed, 1);
        }
        assert_eq!(ports(&set, &gray(), 1), [101, 102], "failures are for those who watch the release");
    }

    #[test]
    fn who_was_tried_and_is_there_keeps_the_request_on_its_version() {
        let set = set(1, 2);
        let next = |ports: &[u16]| {
            let tried: Vec<_> = ports.iter().map(|port| Arc::clone(endpoint(&set, *port))).collect();
            let chosen = choose(&set, gray().iter(), Strategy::RoundRobin, draw(1, 1), &POLICY, &tried);
            chosen.map(|chosen| chosen.endpoint.instance().port)
        };
        assert_eq!([next(&[101]), next(&[101, 102])], [Some(102), None]);
        report(&set, 101, Outcome::Unreachable, 1);
        assert_eq!(next(&[101, 102]), None, "the other one is there");
        report(&set, 102, Outcome::Failed, 1);
        assert_eq!(next(&[101, 102]), None, "it fails, but answers");
        report(&set, 102, Outcome::Unreachable, 200);
        assert_eq!(next(&[101, 102]), Some(1), "now nobody of the kind can be reached");
    }

    /// The caller is in HZ: it asks those of its own cluster while one of them is in, then the others of the same version.
    #[test]
    fn those_of_the_same_cluster_come_first() {
        let one = |port: u16, version: &str, cluster: &str| {
            Instance::new("h", port).with_version(version).with_metadata(CLUSTER_KEY, cluster)
        };
        let all = [
            one(1, "V1", "HZ"),
            one(2, "V1", "HZ"),
            one(3, "V1", "SH"),
            Instance::new("h", 4).with_version("V1"),
            one(101, "V2", "SH"),
        ];
        let near = InstanceSet::admit(&all, None, Admission { cluster: Some("HZ"), ..Admission::default() });
        let baseline = Choice::version("V1");
        assert_eq!(ports(&near, &baseline, 1), [1, 2]);
        assert_eq!(ports(&near, &gray(), 1), [101], "the version counts more than the cluster");
        report(&near, 1, Outcome::Failed, 1);
        assert_eq!(ports(&near, &baseline, 1), [2]);
        report(&near, 2, Outcome::Failed, 1);
        assert_eq!(ports(&near, &baseline, 1), [3, 4]);
        report(&near, 3, Outcome::Unreachable, 1);
        report(&near, 4, Outcome::Unreachable, 1);
        assert_eq!(ports(&near, &baseline, 1), [1, 2], "they answer, if not well");
        // Those that were tried are not asked again for the sake of the cluster.
        let near = InstanceSet::admit(&all, None, Admission { cluster: Some("HZ"), ..Admission::default() });
        let mut tried = Vec::new();
        for _ in 0..4 {
            let next = choose(&near, baseline.iter(), Strategy::RoundRobin, draw(0, 1), &POLICY, &tried);
            tried.push(Arc::clone(next.expect("one more").endpoint));
        }
        let order: Vec<_> = tried.iter().map(|endpoint| endpoint.instance().port).collect();
        assert!(order[..2].iter().all(|port| *port < 3) && order[2..].iter().all(|port| *port > 2), "{order:?}");
        // Those that say no cluster are in DEFAULT; of a cluster without instances nothing is preferred, nor without one.
        for (cluster, expect) in [(Some("DEFAULT"), &[4][..]), (Some("BJ"), &[1, 2, 3, 4]), (None, &[1, 2, 3, 4])] {
            let set = InstanceSet::admit(&all, None, Admission { cluster, ..Admission::default() });
            assert_eq!(ports(&set, &baseline, 1), expect, "{cluster:?}");
        }
    }

    #[test]
    fn a_key_keeps_its_stand_in() {
        let set = set(5, 0);
        let at = |key, now_ms| {
            let draw = Draw { key: Some(key), ..draw(fastrand::usize(..), now_ms) };
            let chosen = choose(&set, Choice::version("V1").iter(), Strategy::Ring, draw, &POLICY, &[]);
            chosen.expect("somebody").endpoint.instance().port
        };
        let before: Vec<_> = (0..50_u64).map(|key| at(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1)).collect();
        report(&set, 3, Outcome::Unreachable, 1);
        for (key, before) in (0..50_u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).zip(before) {
            let now = at(key, 1);
            assert_eq!(now, at(key, 1));
            assert_eq!(before == 3, now != before, "{key}: {before} {now}");
        }
    }

    proptest! {
        #[test]
        fn everybody_is_tried_once_whoever_is_out(
            out in prop::collection::vec((1_u16..6, any::<bool>()), 0..6), now_ms in 1_u64..2_000, seed in any::<usize>(),
        ) {
            let set = set(5, 0);
            for (port, refused) in out {
                report(&set, port, if refused { Outcome::Unreachable } else { Outcome::Failed }, 1);
            }
            for strategy in Strategy::ALL {
                let mut tried: Vec<Arc<Endpoint>> = Vec::new();
                let baseline = Choice::version("V1");
                let next = |tried: &[Arc<Endpoint>]| {
                    let draw = draw(seed.wrapping_add(tried.len()), now_ms);
                    choose(&set, baseline.iter(), strategy, draw, &POLICY, tried).map(|chosen| Arc::clone(chosen.endpoint))
                };
                while let Some(endpoint) = next(&tried) {
                    prop_assert!(!is_tried(&endpoint, &tried));
                    tried.push(endpoint);
                }
                prop_assert_eq!(tried.len(), 5);
            }
        }
    }
}
