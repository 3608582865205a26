//! Findings about rules: what they test, when they are in force, and who gets that far.

use gray_core::tag::{CALLER_HEADER, LANE_HEADER, SIGNATURE_HEADER};
use gray_expression::escape;

use super::{
    Lint,
    Severity::{Note, Warning},
    cover::{Block, lasts},
};
use crate::{Rule, Share, ShareKey, Source, Subject, Test};

/// More blocks than this are not compared with each other: the time it takes grows with their square.
const MAX_BLOCKS: usize = 2_000;

/// Comparisons of conditions and values, likewise.
const MAX_EFFORT: usize = 200_000_000;

/// How many comparisons it takes, if the worst comes to the worst.
fn effort(rules: &[Rule]) -> usize {
    let conditions = || rules.iter().flat_map(|rule| rule.any.iter().flatten());
    let values = conditions().map(|condition| match &condition.subject {
        Subject::Fact { test: Test::In(values), .. } => values.len(),
        _ => 1,
    });
    conditions().count().saturating_mul(values.sum())
}

/// A rule with its blocks, worked out once.
struct Entry<'s> {
    rule: &'s Rule,
    sufficient: Vec<Block<'s>>,
    necessary: Vec<Block<'s>>,
}

impl<'s> Lint<'s> {
    pub(super) fn rules(&mut self) {
        let set = self.set;
        for rule in &set.rules {
            self.times(rule);
            self.tests(rule);
        }
        let blocks: usize = set.rules.iter().map(|rule| rule.any.len().max(1)).sum();
        if blocks > MAX_BLOCKS || effort(&set.rules) > MAX_EFFORT {
            let name = set.rules.first().map_or("", |rule| &*rule.name);
            let message = format!(
                "{blocks} blocks with all their conditions and values are too many to search for unreachable ones"
            );
            return self.rule(Note, "not-compared", name, message);
        }
        let entry = |rule| Entry { rule, sufficient: self.sufficient(rule), necessary: self.necessary(rule) };
        let entries: Vec<_> = set.rules.iter().map(entry).collect();
        for (place, entry) in entries.iter().enumerate() {
            let earlier: Vec<_> = entries[..place].iter().filter(|earlier| lasts(earlier.rule, entry.rule)).collect();
            let expired = entry.rule.until.is_some_and(|until| until <= self.now);
            self.repeated_blocks(entry);
            if !expired && !self.hidden(entry, &earlier) {
                self.share(entry, &earlier);
            }
        }
    }

    fn times(&mut self, rule: &Rule) {
        if rule.until.is_some_and(|until| until <= self.now) {
            let message = "expired: it has ended and matches no request; delete it, or move `until`";
            self.rule(Warning, "rule-expired", &rule.name, message.into());
        } else if rule.since.is_some_and(|since| self.now < since) {
            let message = "not yet begun: it matches no request until `since`; nothing to do if that is intended";
            self.rule(Note, "rule-pending", &rule.name, message.into());
        }
    }

    fn tests(&mut self, rule: &Rule) {
        for (number, block) in rule.any.iter().enumerate() {
            for (place, condition) in block.iter().enumerate() {
                let shown = self.set.shown(condition);
                if block[..place].contains(condition) {
                    let message = format!("block {} asks twice whether {shown}; delete one", number + 1);
                    self.rule(Note, "duplicate-condition", &rule.name, message);
                    continue;
                }
                let Subject::Fact { source, test } = &condition.subject else { continue };
                if let Test::Regex(regex) = test
                    && let Some(text) = plain(regex.as_str())
                {
                    let message =
                        format!("the regex `{text}` is a plain text; write `exact: {text}`, or just the text");
                    self.rule(Note, "plain-regex", &rule.name, message);
                }
                if let Some(header) = self.reserved(*source) {
                    let message = format!(
                        "asks for the header {header}, which the gateway sets itself and takes from no client: a client that \
                         guesses it gets the lane; use a header of your own"
                    );
                    self.rule(Warning, "reserved-header", &rule.name, message);
                }
            }
        }
        if let Some(Share { key: ShareKey::Fact(source), .. }) = rule.share
            && let Some(header) = self.reserved(source)
        {
            let message =
                format!("takes its share of the header {header}, which the gateway sets itself; use another fact");
            self.rule(Warning, "reserved-header", &rule.name, message);
        }
    }

    /// The header that only the gateway sets, when the fact is one or falls back to one.
    fn reserved(&self, source: usize) -> Option<&'static str> {
        let ours = [LANE_HEADER, SIGNATURE_HEADER, CALLER_HEADER];
        let source = self.source(source)?;
        let names = ["gray-lane", "gray-signature", "gray-caller"];
        ours.iter().zip(names).find_map(|(header, name)| {
            source.any(&|source| matches!(source, Source::Header(asked) if asked == header)).then_some(name)
        })
    }

    /// Blocks of one rule that another block of it makes useless.
    fn repeated_blocks(&mut self, entry: &Entry<'s>) {
        let blocks = &entry.necessary;
        for (place, block) in blocks.iter().enumerate() {
            let mut others = blocks.iter().enumerate().filter(|(other, _)| *other != place);
            let wider = others
                .find(|(other, outer)| self.covers(outer, block) && (*other < place || !self.covers(block, outer)));
            if let Some((other, _)) = wider {
                let message = format!(
                    "block {} changes nothing: every request that meets it meets block {} as well; delete it",
                    place + 1,
                    other + 1
                );
                self.rule(Warning, "shadowed-block", &entry.rule.name, message);
            }
        }
    }

    /// Blocks that earlier rules leave no request for; true when that is all of them.
    fn hidden(&mut self, entry: &Entry<'s>, earlier: &[&Entry<'s>]) -> bool {
        let taker = |block: &Block<'s>| {
            let takes = |earlier: &&&Entry<'s>| earlier.sufficient.iter().any(|outer| self.covers(outer, block));
            earlier.iter().find(takes).map(|earlier| &*earlier.rule.name)
        };
        let takers: Vec<_> = entry.necessary.iter().map(taker).collect();
        let name = &entry.rule.name;
        if let Some(mut names) = takers.iter().copied().collect::<Option<Vec<_>>>() {
            names.dedup();
            let names = names.join("`, `");
            let message = format!(
                "never reached: rule `{names}` above already matches all of these requests; move this rule up, or \
                 delete it"
            );
            self.rule(Warning, "unreachable-rule", name, message);
            return true;
        }
        for (place, taker) in takers.iter().enumerate() {
            if let Some(taker) = taker {
                let number = place + 1;
                let message = format!(
                    "block {number} is never reached: rule `{taker}` above already matches all of these requests; delete it"
                );
                self.rule(Warning, "shadowed-block", name, message);
            }
        }
        false
    }

    fn share(&mut self, entry: &Entry<'s>, earlier: &[&Entry<'s>]) {
        let Some(share) = &entry.rule.share else { return };
        let name = &entry.rule.name;
        if share.points().is_empty() {
            let message = "a share of 0 %: takes no request; raise `percent`, or delete the rule";
            return self.rule(Note, "share-empty", name, message.into());
        }
        let mut left = vec![share.points()];
        let mut takers = Vec::new();
        for earlier in earlier {
            let Some(other) = self.same_points(entry, earlier, share) else { continue };
            let taken = other.points();
            let before: u32 = left.iter().map(|range| range.len() as u32).sum();
            let cut = |range: std::ops::Range<u32>| {
                let (from, to) = (taken.start.clamp(range.start, range.end), taken.end.clamp(range.start, range.end));
                [range.start..from, to.max(from)..range.end]
            };
            left = left.into_iter().flat_map(cut).filter(|range| !range.is_empty()).collect();
            if left.iter().map(|range| range.len() as u32).sum::<u32>() < before {
                takers.push(&*earlier.rule.name);
            }
        }
        if left.is_empty() {
            let takers = takers.join("`, `");
            let message = format!(
                "its share is empty: the shares of rule `{takers}` above have all of it already; give it another `salt`, \
                 or put both on one layer with a `slot` each"
            );
            self.rule(Warning, "share-unreachable", name, message);
        }
    }

    /// The share of an earlier rule that takes whole points away from this one.
    fn same_points(&self, entry: &Entry<'s>, earlier: &Entry<'s>, share: &Share) -> Option<&'s Share> {
        let other = earlier.rule.share.as_ref().filter(|other| other.has_points_of(share))?;
        let same_key = match (share.key, other.key) {
            (ShareKey::Fact(one), ShareKey::Fact(two)) => self.source(one) == self.source(two),
            _ => true,
        };
        let complete = self.set.lanes[earlier.rule.lane].value.is_none();
        let reaches = |inner: &Block<'s>| earlier.necessary.iter().any(|outer| self.covers(outer, inner));
        (same_key && complete && entry.necessary.iter().all(reaches)).then_some(other)
    }
}

/// The text that an expression stands for, when it stands for one only.
fn plain(regex: &str) -> Option<&str> {
    (escape(regex) == regex).then_some(regex)
}
