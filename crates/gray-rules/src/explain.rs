//! Why a request would get its lane: every rule, every condition, with the value it saw. Nothing is sent.

use serde::Serialize;

use super::{
    Condition, Facts, Reason, Rule, RuleSet, Share, Subject, Value,
    decide::{Decision, Watch},
};

/// A decision with everything that led to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Revision of the rules.
    pub revision: String,
    /// The lane.
    pub lane: String,
    /// What the header `gray` would say.
    pub tag: &'static str,
    /// The rule that matched, or `default`.
    pub rule: String,
    /// Why, in one word.
    pub reason: &'static str,
    /// Whether the request would be told its path.
    pub traced: bool,
    /// The rules that were looked at, in order; the last one matched unless the reason is `default`.
    pub rules: Vec<RuleTrace>,
}

/// How one rule fared.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleTrace {
    /// Its name.
    pub name: String,
    /// Whether it matched, and if not, why.
    pub verdict: Verdict,
    /// Its blocks, as far as they were looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockTrace>,
    /// Its share, when it got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareTrace>,
}

/// Whether a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It did.
    Matched,
    /// It is not in force now.
    NotCurrent,
    /// No block matched.
    NoBlock,
    /// The request is not in the share.
    OutsideOfShare,
    /// The fact that the share is taken of is missing.
    NoShareKey,
    /// The fact that fills the lane is missing, or no value that a version can have.
    NoLaneValue,
}

/// One block of a rule.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BlockTrace {
    /// Its conditions, up to the first that did not match.
    pub conditions: Vec<ConditionTrace>,
}

/// One condition of a block.
#[derive(Clone, Debug, Serialize)]
pub struct ConditionTrace {
    /// The condition: ``header.gray is `gray-996` ``.
    pub condition: String,
    /// The value it saw; `None` when the fact is missing.
    pub value: Option<String>,
    /// Whether it matched.
    pub matched: bool,
}

/// The share of a rule.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareTrace {
    /// The first point of the share, of 0 to 9999.
    pub from: u32,
    /// The point after its last one.
    pub to: u32,
    /// The point of the request.
    pub point: Option<u32>,
}

struct Recorder<'s> {
    set: &'s RuleSet,
    now: u64,
    rules: Vec<RuleTrace>,
}

impl Recorder<'_> {
    fn set_verdict(&mut self, verdict: Verdict) {
        if let Some(rule) = self.rules.last_mut() {
            rule.verdict = verdict;
        }
    }
}

impl Watch for Recorder<'_> {
    fn rule(&mut self, rule: &Rule) {
        let verdict = if rule.is_current(self.now) { Verdict::NoBlock } else { Verdict::NotCurrent };
        self.rules.push(RuleTrace { name: rule.name.to_string(), verdict, blocks: Vec::new(), share: None });
    }

    fn block(&mut self) {
        if let Some(rule) = self.rules.last_mut() {
            rule.blocks.push(BlockTrace::default());
        }
    }

    fn condition(&mut self, condition: &Condition, value: Option<&Value<'_>>, matched: bool) {
        let condition = self.set.shown(condition);
        let trace = ConditionTrace { condition, value: value.map(Value::shown), matched };
        if let Some(block) = self.rules.last_mut().and_then(|rule| rule.blocks.last_mut()) {
            block.conditions.push(trace);
        }
    }

    fn share(&mut self, share: &Share, point: Option<u32>, within: bool) {
        let points = share.points();
        let trace = ShareTrace { from: points.start, to: points.end, point };
        if let Some(rule) = self.rules.last_mut() {
            rule.share = Some(trace);
        }
        if !within {
            self.set_verdict(if point.is_none() { Verdict::NoShareKey } else { Verdict::OutsideOfShare });
        }
    }

    fn unfilled(&mut self) {
        self.set_verdict(Verdict::NoLaneValue);
    }

    fn end(&mut self, reason: Option<Reason>) {
        if reason.is_some() {
            self.set_verdict(Verdict::Matched);
        }
    }
}

impl RuleSet {
    /// Decides, and tells how it came to that.
    pub fn explain<F: Facts>(&self, facts: &F) -> (Decision<'_>, Explanation) {
        let mut recorder = Recorder { set: self, now: facts.now(), rules: Vec::new() };
        let decision = self.judge(facts, &mut recorder);
        let explanation = Explanation {
            revision: decision.revision.to_owned(),
            lane: decision.lane.name().to_owned(),
            tag: decision.tag().as_str(),
            rule: decision.rule.to_owned(),
            reason: decision.reason.as_str(),
            traced: decision.traced,
            rules: recorder.rules,
        };
        (decision, explanation)
    }

    /// A condition as people read it.
    pub fn shown(&self, condition: &Condition) -> String {
        let not = if condition.negated { "not: " } else { "" };
        match &condition.subject {
            Subject::Fact { source, test } => {
                let name = self.sources.get(*source).map(ToString::to_string).unwrap_or_default();
                format!("{not}{name} {test}")
            }
            Subject::Time(window) => format!("{not}the time is from {} to {}", window.from, window.to),
        }
    }
}
