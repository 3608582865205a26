//! Deciding, as a pure function: facts about a request and an ordered list of rules in, a [`Decision`] out.
//!
//! One model for every kind of gray: the first rule that matches names a lane ([`gray_core::lane`]). A rule matches when one
//! of its blocks does (AND inside a block, OR between blocks) and the request is within its share. The settings of the
//! Java demo become such a list ([`RuleSet::from_settings`]).
//!
//! For the gateway, and for tools that check, explain or replay rules. Never depends on a runtime, on I/O, on a clock, or on
//! what requests look like: the caller has the facts ([`Facts`]) and the time.
//!
//! Every fact is looked up once per request at most, whatever the number of rules that ask for it, and rules that cannot
//! match are not even looked at (`index`); deciding allocates nothing, unless a fact has to be decoded or a lane to be
//! filled in.

mod decide;
mod explain;
mod facts;
mod index;
mod jwt;
mod lint;
mod reader;
mod record;
mod replay;
mod share;
mod source;
mod test;
pub mod time;
mod translate;
mod user_agent;
mod vary;
mod window;

pub use decide::{Decision, Reason};
pub use explain::{BlockTrace, ConditionTrace, Explanation, RuleTrace, Verdict};
pub use facts::{Facts, RequestFacts};
pub use jwt::{
    Algorithm, InvalidKey, InvalidKeySet, InvalidUrl, Jwt, JwtKey, KeyServer, KeySet, KeyUrl, TokenError, TokenKey,
};
pub use lint::{About, Finding, Fleet, Severity};
pub use reader::parse_source;
#[cfg(feature = "schema")]
pub use reader::schema;
pub use record::{FactPlan, FactRecord};
pub use replay::{Move, Replay, RuleCount, Unanswerable};
pub use share::{Share, ShareKey, WHOLE};
pub use source::{Source, Value, find_cookie, plain_city};
pub use test::{Bounds, Test, Values};
pub use user_agent::Agent;
pub use vary::Vary;
pub use window::Window;

pub use gray_core::{Addresses, InvalidAddress, IpSet};

use std::collections::HashMap;

use gray_core::lane::{Lane, MAX_TOKEN_BYTES};
use http::HeaderValue;

use self::index::Index;

/// A condition on a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is tested.
    pub subject: Subject,
    /// Whether the test must fail. A missing fact still does not match.
    pub negated: bool,
}

/// What a condition tests.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A fact, by its place in the rule set.
    Fact {
        /// Its place.
        source: usize,
        /// How it must be.
        test: Test,
    },
    /// The time.
    Time(Window),
}

/// One rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Name, for logs, metrics and people.
    pub name: Box<str>,
    /// Blocks, any of which suffices; in a block all must match. Without blocks the share alone decides.
    pub any: Vec<Vec<Condition>>,
    /// The part of the matching requests that it takes; `None` takes all.
    pub share: Option<Share>,
    /// The lane, by its place in the rule set.
    pub lane: usize,
    /// When it begins, in Unix seconds.
    pub since: Option<u64>,
    /// When it ends, in Unix seconds.
    pub until: Option<u64>,
    /// Whether those who match are told the path of their requests.
    pub traced: bool,
    /// Whether the cookie that tells a front end its lane stays as it is for those who match.
    pub keeps_cookie: bool,
}

impl Rule {
    /// Whether it is in force at this time.
    pub fn is_current(&self, now: u64) -> bool {
        self.since.is_none_or(|since| since <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// A lane, ready to be written onto requests.
#[derive(Clone, Debug)]
pub struct LaneEntry {
    lane: Lane,
    /// The fact that fills it, by its place; `None` when it is complete.
    value: Option<usize>,
    /// Whether it is there without anybody having written it.
    given: bool,
    headers: [HeaderValue; 2],
}

impl LaneEntry {
    /// The lane, possibly a template.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// As the header `gray-lane` carries it; meaningless for a template.
    pub fn header(&self, traced: bool) -> &HeaderValue {
        &self.headers[usize::from(traced)]
    }
}

/// Why requests get the default lane without a look at any rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// They do not: rules decide.
    On,
    /// Gray release is off.
    Off,
    /// An operator stopped all rules.
    Killed,
}

/// An ordered list of rules with the lane of requests that match none. Immutable; built by [`RuleSetBuilder`].
#[derive(Clone, Debug)]
pub struct RuleSet {
    revision: Box<str>,
    sources: Vec<Source>,
    lanes: Vec<LaneEntry>,
    rules: Vec<Rule>,
    /// None when there are only few rules.
    index: Option<Index>,
    default: usize,
    switch: Switch,
    cookie: Option<Box<str>>,
    vary: Vary,
}

impl RuleSet {
    /// Gray release is off: every request may use every instance.
    pub fn off() -> Self {
        let mut builder = RuleSetBuilder::new("off");
        // Short and complete, so it can always be written.
        let default = builder.lane(Lane::any(), None).unwrap_or_default();
        builder.build(default, Switch::Off)
    }

    /// What the rules are called on the wire: a fingerprint of the documents.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Parameters of a query that hold tokens whose claims are asked for.
    pub fn token_queries(&self) -> impl Iterator<Item = &str> + Clone {
        self.sources.iter().flat_map(|source| {
            let parts = if let Source::FirstOf(parts) = source { &**parts } else { std::slice::from_ref(source) };
            parts.iter().filter_map(|part| match part {
                Source::Claim { jwt, .. } => match &jwt.token {
                    Source::Query(name) => Some(&**name),
                    _ => None,
                },
                _ => None,
            })
        })
    }

    /// The servers whose keys verify tokens whose claims are asked for.
    pub fn key_servers(&self) -> impl Iterator<Item = &KeyServer> {
        self.sources.iter().flat_map(Source::parts).filter_map(|part| match part {
            Source::Claim { jwt, .. } => jwt.key.server(),
            _ => None,
        })
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The facts, by place.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The lanes, by place.
    pub fn lanes(&self) -> &[LaneEntry] {
        &self.lanes
    }

    /// The lane of requests that match no rule.
    pub fn default_lane(&self) -> &LaneEntry {
        &self.lanes[self.default]
    }

    /// The cookie that tells a front end its lane, if there is to be one.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// What caches have to know of how requests are decided.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Whether rules decide at all.
    pub fn switch(&self) -> Switch {
        self.switch
    }

    /// Whether a rule asks for the city, so that the lookup is worth its while.
    pub fn needs_city(&self) -> bool {
        self.sources.iter().any(|source| source.any(&|source| matches!(source, Source::City)))
    }
}

/// Puts a [`RuleSet`] together.
#[derive(Debug)]
pub struct RuleSetBuilder {
    revision: Box<str>,
    names: HashMap<String, usize>,
    sources: Vec<Source>,
    lanes: Vec<LaneEntry>,
    rules: Vec<Rule>,
    cookie: Option<Box<str>>,
}

impl RuleSetBuilder {
    /// Of this revision: a token ([`gray_core::lane::is_token`]).
    pub fn new(revision: &str) -> Self {
        let (names, sources, lanes, rules) = Default::default();
        Self { revision: revision.into(), names, sources, lanes, rules, cookie: None }
    }

    /// The place of a fact, under whatever name; a name that was used before is the same fact.
    pub fn source(&mut self, name: &str, source: impl FnOnce() -> Source) -> usize {
        if let Some(place) = self.find_source(name) {
            return place;
        }
        self.names.insert(name.to_owned(), self.sources.len());
        self.sources.push(source());
        self.sources.len() - 1
    }

    /// The place of the fact of this name, if it has one already.
    pub(crate) fn find_source(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The fact at a place.
    pub(crate) fn known(&self, place: usize) -> &Source {
        &self.sources[place]
    }

    /// The place of a lane; a template is filled with the fact `value`.
    ///
    /// # Errors
    /// When it is too long for a header; the text says so.
    pub fn lane(&mut self, lane: Lane, value: Option<usize>) -> Result<usize, String> {
        if value.is_some() {
            // It must fit whatever fills it, or a request could be sent on without its lane.
            lane.filled(&"x".repeat(MAX_TOKEN_BYTES)).encode(&self.revision, true)?;
        }
        let encode = |traced| lane.encode(&self.revision, traced);
        let headers = [encode(false)?, encode(true)?];
        self.lanes.push(LaneEntry { lane, value, given: false, headers });
        Ok(self.lanes.len() - 1)
    }

    /// Marks a lane as one that is there without anybody having written it.
    pub fn given(&mut self, place: usize) {
        if let Some(entry) = self.lanes.get_mut(place) {
            entry.given = true;
        }
    }

    /// The place of the lane of this name.
    pub fn find_lane(&self, name: &str) -> Option<usize> {
        self.lanes.iter().position(|entry| entry.lane.name() == name)
    }

    /// Names the cookie that tells a front end its lane.
    pub fn cookie(&mut self, name: &str) {
        self.cookie = Some(name.into());
    }

    /// Adds a rule at the end.
    pub fn rule(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The rule set. Places must be of this builder.
    pub fn build(self, default: usize, switch: Switch) -> RuleSet {
        let Self { revision, names: _, sources, lanes, rules, cookie } = self;
        debug_assert!(default < lanes.len() && rules.iter().all(|rule| rule.lane < lanes.len()));
        let index = Index::new(&sources, &rules);
        let vary = Vary::of(&sources, &lanes, &rules, switch);
        RuleSet { revision, sources, lanes, rules, index, default, switch, cookie, vary }
    }
}

#[cfg(test)]
mod tests;
