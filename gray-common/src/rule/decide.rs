//! The decision itself: one pass over the rules, watched by whoever wants an explanation.

use std::borrow::Cow;

use super::{Condition, Facts, Rule, RuleSet, Share, ShareKey, Subject, Switch, Value};
use crate::{lane::Lane, tag::GrayStatus};

/// What was decided, and why.
#[derive(Clone, Debug)]
pub struct Decision<'s> {
    /// The lane of the request.
    pub lane: Cow<'s, Lane>,
    /// Its place in the rule set; `None` when it was filled in for this request.
    pub place: Option<usize>,
    /// Name of the rule that matched, `default` when none did.
    pub rule: &'s str,
    /// Place of that rule in the list; `None` when none matched.
    pub rule_place: Option<usize>,
    /// Why this lane.
    pub reason: Reason,
    /// Whether the request is to be told its path.
    pub traced: bool,
    /// Revision of the rules.
    pub revision: &'s str,
}

impl Decision<'_> {
    /// What the header `gray` is to say.
    pub fn tag(&self) -> GrayStatus {
        self.lane.tag()
    }
}

/// Why a request got its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule matched, by this block of it.
    Block(usize),
    /// A rule without blocks took it into its share.
    Share,
    /// No rule matched.
    Default,
    /// Gray release is off.
    Off,
    /// An operator stopped all rules.
    Killed,
}

impl Reason {
    /// The name in metrics and explanations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block(_) => "block",
            Self::Share => "share",
            Self::Default => "default",
            Self::Off => "off",
            Self::Killed => "killed",
        }
    }
}

/// Sees every step of a decision. Deciding and explaining are the same code this way.
pub(super) trait Watch {
    /// A rule is looked at.
    fn rule(&mut self, _rule: &Rule) {}
    /// A block of it begins.
    fn block(&mut self) {}
    /// A condition matched or not.
    fn condition(&mut self, _condition: &Condition, _value: Option<&Value<'_>>, _matched: bool) {}
    /// The request is within the share of the rule or not; `None` without a key to hash.
    fn share(&mut self, _share: &Share, _point: Option<u32>, _within: bool) {}
    /// The lane could not be filled in for want of a value.
    fn unfilled(&mut self) {}
    /// The rule matched, or not.
    fn end(&mut self, _reason: Option<Reason>) {}
}

/// Nobody watches.
struct Unwatched;

impl Watch for Unwatched {}

/// Facts kept from one rule to the next. More than these are asked for again each time, which is never wrong.
const KEPT: usize = 16;

struct Asked<'r, F> {
    facts: &'r F,
    kept: [Option<Option<Value<'r>>>; KEPT],
    other: Option<Value<'r>>,
}

impl<'r, F: Facts> Asked<'r, F> {
    fn new(facts: &'r F) -> Self {
        Self { facts, kept: [const { None }; KEPT], other: None }
    }

    fn get(&mut self, set: &RuleSet, place: usize) -> Option<&Value<'r>> {
        let ask = || set.sources.get(place).and_then(|source| source.get(self.facts));
        match self.kept.get_mut(place) {
            Some(kept) => kept.get_or_insert_with(ask).as_ref(),
            None => {
                self.other = ask();
                self.other.as_ref()
            }
        }
    }
}

impl RuleSet {
    /// Decides. Pure: the same facts and rules always give the same decision. A missing fact never matches.
    pub fn decide(&self, facts: &impl Facts) -> Decision<'_> {
        self.judge(facts, &mut Unwatched)
    }

    pub(super) fn judge<F: Facts>(&self, facts: &F, watch: &mut impl Watch) -> Decision<'_> {
        match self.switch {
            Switch::On => {}
            Switch::Off => return self.by_default(Reason::Off),
            Switch::Killed => return self.by_default(Reason::Killed),
        }
        let mut asked = Asked::new(facts);
        let mut now = None;
        for (rule_place, rule) in self.rules.iter().enumerate() {
            watch.rule(rule);
            let timed = rule.since.is_some() || rule.until.is_some();
            let reason = if timed && !rule.is_current(*now.get_or_insert_with(|| facts.now())) {
                None
            } else {
                self.matches(rule, &mut asked, watch)
            };
            let decision = reason.and_then(|reason| self.by_rule(rule_place, reason, &mut asked, watch));
            watch.end(decision.as_ref().map(|decision| decision.reason));
            if let Some(decision) = decision {
                return decision;
            }
        }
        self.by_default(Reason::Default)
    }

    fn matches<F: Facts>(&self, rule: &Rule, asked: &mut Asked<'_, F>, watch: &mut impl Watch) -> Option<Reason> {
        let reason = if rule.any.is_empty() {
            Reason::Share
        } else {
            Reason::Block(rule.any.iter().position(|block| {
                watch.block();
                block.iter().all(|condition| self.holds(condition, asked, watch))
            })?)
        };
        match &rule.share {
            Some(share) => self.is_within(share, asked, watch).then_some(reason),
            // A rule without blocks and without a share would match everybody; nobody means that.
            None => Some(reason).filter(|reason| *reason != Reason::Share),
        }
    }

    fn holds<F: Facts>(&self, condition: &Condition, asked: &mut Asked<'_, F>, watch: &mut impl Watch) -> bool {
        match &condition.subject {
            Subject::Fact { source, test } => {
                let value = asked.get(self, *source);
                // What is not there has no property, and does not lack one either.
                let comparable = value.is_some() || matches!(test, super::Test::Missing);
                let matched = comparable && test.passes(value) != condition.negated;
                watch.condition(condition, value, matched);
                matched
            }
            Subject::Time(window) => {
                let matched = window.is_open(asked.facts.now()) != condition.negated;
                watch.condition(condition, None, matched);
                matched
            }
        }
    }

    fn is_within<F: Facts>(&self, share: &Share, asked: &mut Asked<'_, F>, watch: &mut impl Watch) -> bool {
        let point = match share.key {
            ShareKey::Random => Some(Share::spread(asked.facts.random())),
            ShareKey::Fact(place) => asked.get(self, place).map(|value| share.point(value)),
        };
        let within = point.is_some_and(|point| share.points().contains(&point));
        watch.share(share, point, within);
        within
    }

    fn by_rule<'s, F: Facts>(
        &'s self,
        rule_place: usize,
        reason: Reason,
        asked: &mut Asked<'_, F>,
        watch: &mut impl Watch,
    ) -> Option<Decision<'s>> {
        let rule = &self.rules[rule_place];
        let entry = &self.lanes[rule.lane];
        let (lane, place) = match entry.value {
            None => (Cow::Borrowed(&entry.lane), Some(rule.lane)),
            Some(value) => {
                let Some(value) = asked.get(self, value).and_then(Value::as_token) else {
                    watch.unfilled();
                    return None;
                };
                (Cow::Owned(entry.lane.filled(value)), None)
            }
        };
        let (rule, traced) = (&*rule.name, rule.traced);
        let rule_place = Some(rule_place);
        Some(Decision { lane, place, rule, rule_place, reason, traced, revision: &self.revision })
    }

    fn by_default(&self, reason: Reason) -> Decision<'_> {
        Decision {
            lane: Cow::Borrowed(&self.lanes[self.default].lane),
            place: Some(self.default),
            rule: "default",
            rule_place: None,
            reason,
            traced: false,
            revision: &self.revision,
        }
    }
}
