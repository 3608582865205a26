//! What a new set of rules would have done: requests that were kept are decided by the old rules and by the new ones.

use std::{borrow::Borrow, collections::BTreeMap};

use serde::Serialize;

use super::{FactPlan, FactRecord, RuleSet, Subject, decide::Unwatched};

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
    /// Lanes of the same name that select other instances: whoever stays on them moves as well.
    pub changed_lanes: Vec<String>,
    /// Requests of which a fact is needed that was not kept; they count nowhere else.
    pub unanswerable: u64,
    /// Which facts those are.
    pub missing_facts: Vec<Unanswerable>,
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
        // The newest was kept by the rules in effect, most of the others as well.
        let plan = records.last().map(|record| record.borrow().plan());
        let (old, new) = (&asking_late(old, plan), &asking_late(new, plan));
        let mut replay =
            Self { from_revision: old.revision().into(), to_revision: new.revision().into(), ..Self::default() };
        let mut moves: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut rules: Vec<RuleCount> = Vec::new();
        for rule in old.rules().iter().chain(new.rules()).map(|rule| &*rule.name).chain(["default"]) {
            if !rules.iter().any(|count| count.rule == rule) {
                rules.push(RuleCount { rule: rule.into(), before: 0, after: 0 });
            }
        }
        let places: BTreeMap<_, _> =
            rules.iter().enumerate().map(|(place, count)| (count.rule.clone(), place)).collect();
        let mut missing: BTreeMap<String, u64> = BTreeMap::new();
        for record in records {
            replay.requests += 1;
            let facts = record.borrow().facts();
            let decided = |set| {
                // Without the index, which asks for facts in another order.
                let decision = RuleSet::judge(set, &facts, &mut Unwatched);
                (lane_name(set, decision.lane.name()), places.get(decision.rule).copied())
            };
            let ((from, before), (to, after)) = (decided(old), decided(new));
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

/// The name as the set owns it: a decision may have a lane of its own.
fn lane_name<'s>(set: &'s RuleSet, name: &str) -> &'s str {
    set.lanes().iter().map(|entry| entry.lane().name()).find(|known| *known == name).unwrap_or_default()
}

fn changed_lanes(old: &RuleSet, new: &RuleSet) -> Vec<String> {
    let lanes =
        |set: &'_ RuleSet| -> Vec<crate::lane::Lane> { set.lanes().iter().map(|entry| entry.lane().clone()).collect() };
    let (old, new) = (lanes(old), lanes(new));
    let differs = |lane: &&crate::lane::Lane| old.iter().any(|known| known.name() == lane.name() && known != *lane);
    new.iter().filter(differs).map(|lane| lane.name().to_owned()).collect()
}

#[cfg(test)]
mod tests;
