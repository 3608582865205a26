//! Likely mistakes in a rule set that is legal: rules that no request reaches, lanes without instances, and the like.
//!
//! Pure: the services are handed in as a [`Fleet`], the time as a number. Without a fleet only the rules are judged.

mod cover;
mod rules;
mod services;

use std::{collections::BTreeMap, fmt, sync::Arc};

use gray_core::{ServiceKey, instance::InstanceSet};
use serde::Serialize;

use super::{RuleSet, Source};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Requests fail, or ordinary ones are told to be gray.
    Error,
    /// A part of the document does not do what it says.
    Warning,
    /// Works, and could be written better or removed.
    Note,
}

impl Severity {
    /// All of them, worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// The name in logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// A rule.
    Rule,
    /// A lane.
    Lane,
    /// A route of the gateway.
    Route,
}

/// One likely mistake.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of finding, for machines.
    pub code: &'static str,
    /// Whether `name` is that of a rule, of a lane or of a route.
    pub about: About,
    /// Name of the rule, lane or route.
    pub name: Box<str>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    /// Whether it is about the instances of services, so that it comes and goes with them.
    pub fn is_about_instances(&self) -> bool {
        let codes = [
            "baseline-without-instance",
            "lane-without-instance",
            "instances-ejected",
            "unknown-service",
            "unversioned-service",
            "lane-beyond-tag",
            "service-name-case",
        ];
        codes.contains(&self.code)
    }
}

impl About {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Lane => "lane",
            Self::Route => "route",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = self.about.as_str();
        write!(f, "{}[{}] {about} `{}`: {}", self.severity.as_str(), self.code, self.name, self.message)
    }
}

/// The services that are known, with their instances. One that is not in it is not judged.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// By name, then by where it is.
    services: BTreeMap<Box<str>, BTreeMap<ServiceKey, Arc<InstanceSet>>>,
    now_ms: u64,
}

impl Fleet {
    /// The instances of a service of this name, when its registry has answered: where there are any, if it is in several spaces.
    pub fn get(&self, name: &str) -> Option<&InstanceSet> {
        let places = self.services.get(name)?;
        let mut sets = places.values().map(AsRef::as_ref);
        sets.clone().find(|set: &&InstanceSet| !set.known().is_empty()).or_else(|| sets.next())
    }

    /// Those in one space.
    pub fn within(&self, service: &ServiceKey) -> Option<&InstanceSet> {
        self.services.get(service.name())?.get(service).map(AsRef::as_ref)
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceKey, &InstanceSet)> {
        self.services.values().flatten().map(|(service, set)| (service, &**set))
    }
}

impl Fleet {
    /// As of this moment, on the clock that picks use.
    #[must_use]
    pub fn at(self, now_ms: u64) -> Self {
        Self { now_ms, ..self }
    }
}

impl FromIterator<(ServiceKey, Arc<InstanceSet>)> for Fleet {
    fn from_iter<I: IntoIterator<Item = (ServiceKey, Arc<InstanceSet>)>>(services: I) -> Self {
        let mut fleet = Self::default();
        for (service, set) in services {
            fleet.services.entry(service.name().into()).or_default().insert(service, set);
        }
        fleet
    }
}

/// Puts findings down.
struct Lint<'s> {
    set: &'s RuleSet,
    now: u64,
    findings: Vec<Finding>,
}

impl<'s> Lint<'s> {
    fn rule(&mut self, severity: Severity, code: &'static str, name: &str, message: String) {
        self.findings.push(Finding { severity, code, about: About::Rule, name: name.into(), message });
    }

    fn lane(&mut self, severity: Severity, code: &'static str, name: &str, message: String) {
        self.findings.push(Finding { severity, code, about: About::Lane, name: name.into(), message });
    }

    /// The fact at a place; a fact that is the first of one is that one.
    fn source(&self, place: usize) -> Option<&'s Source> {
        let mut source = self.set.sources.get(place)?;
        while let Source::FirstOf(parts) = source
            && let [only] = &**parts
        {
            source = only;
        }
        Some(source)
    }

    /// Whether requests can get onto the lane at this place.
    fn is_used(&self, lane: usize) -> bool {
        self.set.default == lane || self.set.rules.iter().any(|rule| rule.lane == lane)
    }
}

impl RuleSet {
    /// All likely mistakes, worst first. `now` in Unix seconds.
    pub fn lint(&self, fleet: &Fleet, now: u64) -> Vec<Finding> {
        let mut lint = Lint { set: self, now, findings: Vec::new() };
        lint.rules();
        lint.lanes();
        lint.services(fleet);
        lint.findings.sort_by_key(|finding| finding.severity);
        lint.findings
    }

    /// The findings about instances alone ([`Finding::is_about_instances`]), worst first: as [`lint`](Self::lint) has them.
    pub fn lint_instances(&self, fleet: &Fleet) -> Vec<Finding> {
        let mut lint = Lint { set: self, now: 0, findings: Vec::new() };
        lint.services(fleet);
        lint.findings.sort_by_key(|finding| finding.severity);
        lint.findings
    }
}

#[cfg(test)]
mod tests;
