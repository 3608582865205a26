//! The decision itself: the first rule that matches. The index ([`super::index`]) says which rules are worth judging; an
//! explanation judges all of them, by the same code, and watches.

use std::borrow::Cow;

use gray_core::{lane::Lane, tag::GrayStatus};

use super::{
    Condition, Facts, Rule, RuleSet, Share, ShareKey, Subject, Switch, Value,
    index::{Ask, Found, Index, Place, WORD},
};

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
    /// What the header `gray` is to say to a service that the lane does not name ([`Lane::told`] for one that it does).
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
    /// It was decided before: the request says it.
    Carried,
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
            Self::Carried => "carried",
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

/// Without an observer.
pub(super) struct Unwatched;

impl Watch for Unwatched {}

/// Facts kept from one rule to the next. More than these are asked for again each time, which is never wrong.
const KEPT: usize = 16;

struct Asked<'r, F> {
    facts: &'r F,
    kept: [Option<Option<Value<'r>>>; KEPT],
    other: Option<Value<'r>>,
    now: Option<u64>,
}

impl<'r, F: Facts> Asked<'r, F> {
    fn new(facts: &'r F) -> Self {
        Self { facts, kept: [const { None }; KEPT], other: None, now: None }
    }

    fn now(&mut self) -> u64 {
        *self.now.get_or_insert_with(|| self.facts.now())
    }

    #[inline]
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
    pub fn decide<F: Facts>(&self, facts: &F) -> Decision<'_> {
        match (self.reason_without_rules(), &self.index) {
            (Some(reason), _) => self.by_default(reason),
            (None, None) => self.judge(facts, &mut Unwatched),
            (None, Some(index)) => self.look_up(index, facts),
        }
    }

    fn look_up<F: Facts>(&self, index: &Index, facts: &F) -> Decision<'_> {
        let (mut asked, mut found) = (Asked::new(facts), Found::default());
        for (number, word) in index.words().iter().enumerate() {
            let (mut left, mut steps, mut shares) = (word.always, word.steps.iter().peekable(), &[][..]);
            loop {
                // The next rule to be judged, or WORD. Before that, all that may let an earlier one in have their say.
                let place = left.trailing_zeros();
                if shares.first().is_some_and(|next: &Place| next.place < place) {
                    left |= self.first_share(&mut shares, place, &mut asked);
                } else if let Some(step) = steps.next_if(|step| step.place <= place) {
                    match &step.ask {
                        Ask::Guard(guard) => {
                            left |= found.rules(index, *guard, number, |source| asked.get(self, source));
                        }
                        Ask::Shares(all) => shares = all,
                    }
                } else if left == 0 {
                    break;
                } else {
                    left &= left - 1;
                    let place = number * WORD + place as usize;
                    let reason = self.matches(&self.rules[place], &mut asked, &mut Unwatched);
                    if let Some(reason) = reason
                        && let Some(decision) = self.on_lane(place, reason, &mut asked, &mut Unwatched)
                    {
                        return decision;
                    }
                }
            }
        }
        self.by_default(Reason::Default)
    }

    /// The first rule of these that the request is within the share of and that comes before this place, as a bit. Shares
    /// that were computed are taken off the list; they are of one key.
    fn first_share<F: Facts>(&self, shares: &mut &[Place], before: u32, asked: &mut Asked<'_, F>) -> u64 {
        match shares.first().map(|next| next.share.key) {
            None => 0,
            Some(ShareKey::Random) => {
                let point = Share::spread(asked.facts.random());
                Place::first(shares, before, |share| share.has(point))
            }
            Some(ShareKey::Fact(source)) => match asked.get(self, source) {
                None => Place::first(shares, before, |_| false),
                Some(value) => value.hashed(|bytes| Place::first_with(shares, before, bytes)),
            },
        }
    }

    /// Decides without the index, by a look at every rule.
    pub(super) fn judge<F: Facts>(&self, facts: &F, watch: &mut impl Watch) -> Decision<'_> {
        if let Some(reason) = self.reason_without_rules() {
            return self.by_default(reason);
        }
        let mut asked = Asked::new(facts);
        for (place, rule) in self.rules.iter().enumerate() {
            watch.rule(rule);
            let reason = self.matches(rule, &mut asked, watch);
            let decision = reason.and_then(|reason| self.on_lane(place, reason, &mut asked, watch));
            watch.end(decision.as_ref().map(|decision| decision.reason));
            if let Some(decision) = decision {
                return decision;
            }
        }
        self.by_default(Reason::Default)
    }

    fn reason_without_rules(&self) -> Option<Reason> {
        match self.switch {
            Switch::On => None,
            Switch::Off => Some(Reason::Off),
            Switch::Killed => Some(Reason::Killed),
        }
    }

    // Inlined, because nearly all the time of a decision is spent on rules that do not match.
    #[inline(always)]
    fn matches<F: Facts>(&self, rule: &Rule, asked: &mut Asked<'_, F>, watch: &mut impl Watch) -> Option<Reason> {
        let timed = rule.since.is_some() || rule.until.is_some();
        if timed && !rule.is_current(asked.now()) {
            return None;
        }
        let reason = if rule.any.is_empty() { Reason::Share } else { Reason::Block(self.block(rule, asked, watch)?) };
        match &rule.share {
            Some(share) => self.is_within(share, asked, watch).then_some(reason),
            // A rule without blocks and without a share would match every request, which is never meant.
            None => Some(reason).filter(|reason| *reason != Reason::Share),
        }
    }

    /// The first block that matches.
    #[inline(always)]
    fn block<F: Facts>(&self, rule: &Rule, asked: &mut Asked<'_, F>, watch: &mut impl Watch) -> Option<usize> {
        'blocks: for (place, block) in rule.any.iter().enumerate() {
            watch.block();
            for condition in block {
                if !self.holds(condition, asked, watch) {
                    continue 'blocks;
                }
            }
            return Some(place);
        }
        None
    }

    #[inline]
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
        let within = point.is_some_and(|point| share.has(point));
        watch.share(share, point, within);
        within
    }

    // At most once per request, as a rule; apart from the loops that run for every rule.
    #[inline(never)]
    fn on_lane<'s, F: Facts>(
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
