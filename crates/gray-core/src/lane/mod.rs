//! Lanes: which instances of each service a request may use.
//!
//! A decision names a lane. A lane gives every service a [`Choice`]: selectors over instance metadata, in order of
//! preference; the first with a live instance is taken, and when none has one the answer is 503. Every fallback is
//! therefore written down, and every kind of gray (gray and prod, exact versions, A/B, tagged instances, blue-green) is
//! a lane.
//!
//! The lane travels with the request whole ([`LaneTag`]), not by name: every hop follows the revision by which the
//! gateway decided, and none needs the rules.

pub mod baggage;
mod selector;
#[cfg(feature = "signing")]
mod signature;
mod tagging;
mod wire;

pub use selector::{Choice, MAX_TOKEN_BYTES, ParseChoiceError, Selector, Want, is_token};
#[cfg(feature = "signing")]
pub use signature::{MAX_SIGNATURE_BYTES, Purpose, SigningKey, SigningKeys, Verdict};
pub use tagging::Told;
pub use wire::{LaneTag, MAX_LANE_BYTES};

use std::sync::Arc;

use http::HeaderValue;

use self::tagging::Tagging;
use crate::tag::GrayStatus;

/// Which instances of each service a request may use, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    name: Box<str>,
    /// Shared: a decision may hold a lane of its own, and should stay small.
    tagging: Arc<Tagging>,
    /// By name, so that a service is found by binary search.
    services: Box<[(Box<str>, Choice)]>,
    others: Choice,
}

impl Lane {
    /// A lane: choices for some services, and one for all others. `tag` is what services that know only the header
    /// `gray` are told, all of them ([`Lane::tagged_by_others`]).
    pub fn new(
        name: impl Into<Box<str>>,
        tag: GrayStatus,
        services: impl IntoIterator<Item = (Box<str>, Choice)>,
        others: Choice,
    ) -> Self {
        let mut services: Vec<_> = services.into_iter().collect();
        services.sort_by(|(one, _), (other, _)| one.cmp(other));
        services.dedup_by(|(one, _), (other, _)| one == other);
        Self { name: name.into(), tagging: Tagging::fixed(tag).into(), services: services.into(), others }
    }

    /// Every instance of every service.
    pub fn any() -> Self {
        Self::new("any", GrayStatus::All, [], Choice::any())
    }

    /// Its name, for logs, metrics and people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the header `gray` says on this lane to a service that it does not name.
    pub fn tag(&self) -> GrayStatus {
        self.told("").tag
    }

    /// The choice for one service.
    pub fn choice(&self, service: &str) -> &Choice {
        let found = self.services.binary_search_by(|(name, _)| (**name).cmp(service));
        found.ok().and_then(|place| self.services.get(place)).map_or(&self.others, |(_, choice)| choice)
    }

    /// Whether the service has a choice of its own.
    pub fn names(&self, service: &str) -> bool {
        self.services.binary_search_by(|(name, _)| (**name).cmp(service)).is_ok()
    }

    /// The services that have a choice of their own.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Choice)> {
        self.services.iter().map(|(service, choice)| (&**service, choice))
    }

    /// The choice for services without one of their own.
    pub fn others(&self) -> &Choice {
        &self.others
    }

    /// Whether a part of it is to be filled in from a fact ([`Lane::filled`]).
    pub fn is_template(&self) -> bool {
        self.choices().any(|choice| choice.selectors().iter().any(Selector::is_open))
    }

    /// The lane with the open values filled in.
    #[must_use]
    pub fn filled(&self, value: &str) -> Self {
        let services: Box<[_]> =
            self.services.iter().map(|(service, choice)| (service.clone(), choice.filled(value))).collect();
        let others = self.others.filled(value);
        Self { name: self.name.clone(), tagging: self.refilled(&services, &others), services, others }
    }

    /// All choices.
    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.services.iter().map(|(_, choice)| choice).chain([&self.others])
    }

    /// As the header `gray-lane` carries it.
    ///
    /// # Errors
    /// When it is longer than [`MAX_LANE_BYTES`]; the text says so.
    pub fn encode(&self, revision: &str, traced: bool) -> Result<HeaderValue, String> {
        wire::encode(self, revision, traced)
    }
}

#[cfg(all(test, feature = "signing"))]
mod tests;
