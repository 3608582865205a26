//! What a new set of rules would have done: requests that were kept are decided by the old rules and by the new ones.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashSet},
};

use serde::Serialize;

use super::{Decision, FactPlan, FactRecord, RuleSet, Subject, decide::Unwatched};

/// What would have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Revision of the old rules.
    pub from_revision: String,
    /// Revision of the new ones.
    pub to_revision: String,
    /// Requests that were kept.
    pub requests: u64,
    /// Of them, those on another lane than before.
    pub moved: u64,
    /// From where to where, the most first.
    pub moves: Vec<Move>,
    /// How many requests each rule matches, in the order of the old rules, then the new ones.
    pub by_rule: Vec<RuleCount>,
    /// Lanes of the same name that select other instances: requests that stay on them move as well.
    pub changed_lanes: Vec<String>,
    /// Requests of which a fact is needed that was not kept; they count nowhere else.
    pub unanswerable: u64,
    /// Which facts those are.
    pub missing_facts: Vec<Unanswerable>,
    /// Requests that there was no time for; they count nowhere else.
    pub undecided: u64,
}

/// Requests that change lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The lane they were on.
    pub from: String,
    /// The lane they would be on.
    pub to: String,
    /// How many.
    pub count: u64,
}

/// How many requests one rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// Its name, or `default`.
    pub rule: String,
    /// By the old rules.
    pub before: u64,
    /// By the new ones.
    pub after: u64,
}

/// A fact that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswerable {
    /// Its name, as documents write it.
    pub fact: String,
    /// How many requests need it.
    pub requests: u64,
}

impl Replay {
    /// Decides every record twice.
    pub fn run<R: Borrow<FactRecord>>(records: &[R], old: &RuleSet, new: &RuleSet) -> Self {
        Self::run_while(records, old, new, || true)
    }

    /// Likewise, the oldest first, for as long as it may go on.
    pub fn run_while<R: Borrow<FactRecord>>(
        records: &[R],
        old: &RuleSet,
        new: &RuleSet,
        mut may_go_on: impl FnMut() -> bool,
    ) -> Self {
        // The newest was kept by the rules in effect, most of the others as well.
        let plan = records.last().map(|record| record.borrow().plan());
        let (old, new) = (&asking_late(old, plan), &asking_late(new, plan));
        let mut replay =
            Self { from_revision: old.revision().into(), to_revision: new.revision().into(), ..Self::default() };
        let mut moves: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let (mut rules, mut known): (Vec<RuleCount>, HashSet<&str>) = Default::default();
        for rule in old.rules().iter().chain(new.rules()).map(|rule| &*rule.name).chain(["default"]) {
            if known.insert(rule) {
                rules.push(RuleCount { rule: rule.into(), before: 0, after: 0 });
            }
        }
        let places: BTreeMap<_, _> =
            rules.iter().enumerate().map(|(place, count)| (count.rule.clone(), place)).collect();
        let mut missing: BTreeMap<String, u64> = BTreeMap::new();
        for (decided, record) in records.iter().enumerate() {
            if !may_go_on() {
                replay.undecided = (records.len() - decided) as u64;
                break;
            }
            replay.requests += 1;
            let facts = record.borrow().facts();
            // Without the index, which asks for facts in another order.
            let decided = |set| RuleSet::judge(set, &facts, &mut Unwatched);
            let (before, after) = (decided(old), decided(new));
            let (from, to) = (old.lane_name(&before), new.lane_name(&after));
            let place = |rule: &str| places.get(rule).copied();
            let (before, after) = (place(before.rule), place(after.rule));
            let missed = facts.missed();
            if !missed.is_empty() {
                replay.unanswerable += 1;
                missed.into_iter().for_each(|fact| *missing.entry(fact).or_default() += 1);
                continue;
            }
            if from != to {
                replay.moved += 1;
                *moves.entry((from, to)).or_default() += 1;
            }
            for (place, is_after) in [(before, false), (after, true)] {
                let Some(count) = place.and_then(|place| rules.get_mut(place)) else { continue };
                *(if is_after { &mut count.after } else { &mut count.before }) += 1;
            }
        }
        let named = moves.into_iter().map(|((from, to), count)| Move { from: from.into(), to: to.into(), count });
        replay.moves = named.collect();
        replay.moves.sort_by_key(|one| std::cmp::Reverse(one.count));
        replay.by_rule = rules;
        replay.changed_lanes = changed_lanes(old, new);
        replay.missing_facts = missing.into_iter().map(|(fact, requests)| Unanswerable { fact, requests }).collect();
        replay
    }
}

/// The same rules, asking for facts that were not kept only when everything else in a block holds: conditions may be asked
/// in any order, and fewer requests are unanswerable.
fn asking_late(rules: &RuleSet, plan: Option<&FactPlan>) -> RuleSet {
    let mut rules = rules.clone();
    let RuleSet { sources, rules: list, .. } = &mut rules;
    for block in list.iter_mut().flat_map(|rule| &mut rule.any) {
        block.sort_by_key(|condition| match &condition.subject {
            Subject::Fact { source, .. } => {
                plan.zip(sources.get(*source)).is_some_and(|(plan, source)| !plan.has(source))
            }
            Subject::Time(_) => false,
        });
    }
    rules
}

impl RuleSet {
    /// The name of the lane as the set owns it: a decision may have a lane of its own.
    fn lane_name(&self, decision: &Decision<'_>) -> &str {
        let place = decision.place.or_else(|| Some(self.rules.get(decision.rule_place?)?.lane));
        place.and_then(|place| self.lanes.get(place)).map_or("", |entry| entry.lane().name())
    }
}

fn changed_lanes(old: &RuleSet, new: &RuleSet) -> Vec<String> {
    let lanes = |set: &'_ RuleSet| -> Vec<gray_core::lane::Lane> {
        set.lanes().iter().map(|entry| entry.lane().clone()).collect()
    };
    let (old, new) = (lanes(old), lanes(new));
    let old: BTreeMap<_, _> = old.iter().map(|lane| (lane.name(), lane)).collect();
    let differs = |lane: &&gray_core::lane::Lane| old.get(lane.name()).is_some_and(|known| known != lane);
    new.iter().filter(differs).map(|lane| lane.name().to_owned()).collect()
}

#[cfg(test)]
mod tests;
