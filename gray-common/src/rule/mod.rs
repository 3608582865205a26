//! Deciding, as a pure function: facts about a request and an ordered list of rules in, a [`Decision`] out.
//!
//! One model for every kind of gray: the first rule of which one block matches wins; a block matches when all of its
//! matchers do (AND inside a block, OR between blocks). The settings of the Java demo become such a list
//! ([`RuleSet::from_settings`]).

mod facts;
mod matcher;
mod translate;

pub use facts::{Facts, RequestFacts};
pub use matcher::{InvalidAddress, IpSet, Matcher};

use crate::tag::GrayStatus;

/// One rule: when any block matches, the request gets `target`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Name, for logs, metrics and people.
    pub name: Box<str>,
    /// Blocks, any of which suffices. A rule without blocks never matches.
    pub any: Vec<Vec<Matcher>>,
    /// What a matching request becomes.
    pub target: GrayStatus,
}

/// An ordered list of rules with the answer when none matches.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    default: GrayStatus,
}

/// What was decided, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// The tag for the request.
    pub status: GrayStatus,
    /// Name of the rule that matched, `default` when none did.
    pub rule: &'r str,
}

impl RuleSet {
    /// A list of rules; requests that match none get `default`.
    pub fn new(rules: Vec<Rule>, default: GrayStatus) -> Self {
        Self { rules, default }
    }

    /// Gray release is off: every request is [`GrayStatus::All`].
    pub fn off() -> Self {
        Self::new(Vec::new(), GrayStatus::All)
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule asks for the city, so that the lookup is worth its while.
    pub fn needs_city(&self) -> bool {
        self.rules.iter().flat_map(|rule| rule.any.iter().flatten()).any(|m| matches!(m, Matcher::City(_)))
    }

    /// Decides. Pure: the same facts and rules always give the same decision. A missing fact never matches.
    pub fn decide(&self, facts: &impl Facts) -> Decision<'_> {
        for rule in &self.rules {
            if rule.any.iter().any(|block| !block.is_empty() && block.iter().all(|matcher| matcher.matches(facts))) {
                return Decision { status: rule.target, rule: &rule.name };
            }
        }
        Decision { status: self.default, rule: "default" }
    }
}

#[cfg(test)]
mod tests;
