//! Which conditions follow from which: whether an earlier block takes every request that a later one would.

use std::borrow::Cow;

use super::Lint;
use crate::{Condition, Rule, ShareKey, Subject, Test, Value, WHOLE};

/// A block as the conditions that a request meets for certain.
pub(super) type Block<'s> = Vec<Cow<'s, Condition>>;

impl<'s> Lint<'s> {
    /// Blocks of which each suffices for the rule to take the request: none, when its share or lane may still refuse.
    pub(super) fn sufficient(&self, rule: &'s Rule) -> Vec<Block<'s>> {
        let key = match &rule.share {
            None if rule.any.is_empty() => return Vec::new(),
            None => None,
            Some(share) if share.size() < WHOLE => return Vec::new(),
            Some(share) => exists(share.key),
        };
        if self.set.lanes[rule.lane].value.is_some() {
            return Vec::new();
        }
        blocks(rule, key)
    }

    /// Blocks of which a request meets at least one when the rule takes it.
    pub(super) fn necessary(&self, rule: &'s Rule) -> Vec<Block<'s>> {
        blocks(rule, rule.share.as_ref().and_then(|share| exists(share.key)))
    }

    /// Whether every request that meets the block `inner` meets `outer`.
    pub(super) fn covers(&self, outer: &[Cow<'s, Condition>], inner: &[Cow<'s, Condition>]) -> bool {
        outer.iter().all(|asked| inner.iter().any(|known| self.implies(known, asked)))
    }

    /// Whether a request that meets `known` meets `asked` for certain.
    fn implies(&self, known: &Condition, asked: &Condition) -> bool {
        let (known_test, asked_test) = match (&known.subject, &asked.subject) {
            (Subject::Time(one), Subject::Time(two)) => return one == two && known.negated == asked.negated,
            (Subject::Fact { source: one, test }, Subject::Fact { source: two, test: asked })
                if self.source(*one) == self.source(*two) =>
            {
                (test, asked)
            }
            _ => return false,
        };
        if known_test == asked_test && known.negated == asked.negated {
            return true;
        }
        let is_there = known.negated || !matches!(known_test, Test::Missing);
        match (asked_test, asked.negated) {
            _ if !is_there => return false,
            (Test::Exists, false) | (Test::Missing, true) => return true,
            _ => {}
        }
        let passes = |value: &[u8]| asked_test.passes(Some(&Value::Text(Cow::Borrowed(value)))) != asked.negated;
        match (known_test, asked_test) {
            _ if known.negated => false,
            (Test::Exact(value), _) => passes(value),
            (Test::In(values), _) => !values.is_empty() && values.iter().all(|value| passes(value)),
            (Test::Prefix(known), Test::Prefix(asked_prefix)) => !asked.negated && known.starts_with(asked_prefix),
            (Test::Suffix(known), Test::Suffix(asked_suffix)) => !asked.negated && known.ends_with(asked_suffix),
            _ => false,
        }
    }
}

/// Whether one rule is in force whenever the other is.
pub(super) fn lasts(outer: &Rule, inner: &Rule) -> bool {
    let begins = outer.since.is_none_or(|since| inner.since.is_some_and(|later| since <= later));
    let ends = outer.until.is_none_or(|until| inner.until.is_some_and(|earlier| earlier <= until));
    begins && ends
}

/// Taking a share of a fact needs the fact.
fn exists(key: ShareKey) -> Option<Condition> {
    match key {
        ShareKey::Random => None,
        ShareKey::Fact(source) => {
            Some(Condition { subject: Subject::Fact { source, test: Test::Exists }, negated: false })
        }
    }
}

fn blocks(rule: &Rule, more: Option<Condition>) -> Vec<Block<'_>> {
    let with = |block: &[Condition]| -> Vec<Condition> { block.iter().chain(&more).cloned().collect() };
    if more.is_none() {
        let everybody = rule.any.is_empty().then(Vec::new);
        return rule.any.iter().map(|block| block.iter().map(Cow::Borrowed).collect()).chain(everybody).collect();
    }
    let everybody = rule.any.is_empty().then(|| with(&[]));
    let blocks = rule.any.iter().map(|block| with(block)).chain(everybody);
    blocks.map(|block| block.into_iter().map(Cow::Owned).collect()).collect()
}
