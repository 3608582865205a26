//! `CircuitBreaker`, and `Hystrix` as it was called before: when a route's instances are not asked, and what is answered then.
//! What it has counted is kept elsewhere: this is its specification.

mod headers;
mod read;
mod settings;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use gray_core::breaker::BreakerPolicy;

pub use self::headers::FallbackHeaders;
pub(crate) use self::settings::BreakerSettings;
use crate::variables::{EditError, Template, Variables, Within};

/// A circuit breaker of a route. Those of the same name and policy are the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Its name; at first empty where the document gives none.
    pub name: Arc<str>,
    /// When it opens and closes.
    pub policy: BreakerPolicy,
    /// Longest wait for the head of an answer, all attempts together; `None`: no other than the route's.
    pub time_limit: Option<Duration>,
    /// What is answered in place of a failure.
    pub fallback: Option<FallbackUri>,
    /// Whether a failure without a fallback is answered 200, with nothing.
    pub resumes: bool,
    statuses: Arc<[u16]>,
    is_hystrix: bool,
}

impl CircuitBreaker {
    /// Whether an answer with this status is a failure.
    pub fn covers(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// As one with another around it: its name and policy count, the shorter time limit, the statuses of both, and the
    /// other's fallback where it has none.
    pub(crate) fn within(&self, outer: &Self) -> Self {
        let limits = [self.time_limit, outer.time_limit];
        Self {
            time_limit: limits.into_iter().flatten().min(),
            fallback: self.fallback.clone().or_else(|| outer.fallback.clone()),
            resumes: self.resumes || outer.resumes,
            statuses: self.statuses.iter().chain(&*outer.statuses).copied().collect(),
            ..self.clone()
        }
    }

    /// With a name, and what the settings say of one that is called so.
    pub(crate) fn named(&self, name: &str, settings: &BreakerSettings) -> Self {
        let (policy, time_limit) = settings.of(name, self.is_hystrix);
        Self { name: name.into(), policy, time_limit, ..self.clone() }
    }

    /// What it takes with what is counted for it, in bytes.
    pub(crate) fn size(&self) -> usize {
        const BREAKER: usize = 2 << 10;
        let one = if self.policy.is_timed { 2 * size_of::<u64>() } else { size_of::<u32>() };
        BREAKER + one * self.policy.window as usize
    }

    /// The variables of path or host that it asks for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fallback.iter().flat_map(|fallback| fallback.path.names())
    }
}

/// `forward:/path`: where a request goes that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackUri {
    path: Template,
    query: Option<Arc<str>>,
}

impl FallbackUri {
    /// Path and query, which take the place of the client's; its query stays where this has none.
    ///
    /// # Errors
    /// A variable stands for nothing, or makes it too long.
    pub fn target(&self, query: Option<&str>, variables: &Variables<'_>) -> Result<String, EditError> {
        let mut target = self.path.expand(variables, Within::Path)?.into_owned();
        if let Some(query) = self.query.as_deref().or(query) {
            target.push('?');
            target.push_str(query);
        }
        Ok(target)
    }

    /// The path with something in place of each variable.
    pub(crate) fn sample(&self) -> String {
        let mut variables = Variables::default();
        self.path.names().for_each(|name| variables.add(name, "x"));
        self.path.expand(&variables, Within::Path).map(Into::into).unwrap_or_default()
    }
}
