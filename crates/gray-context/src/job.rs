//! Runs of scheduled jobs: work that begins without a request whose context it could have. The group of executors for which a run
//! is meant says its lane.

use std::time::Duration;

use gray_core::{
    Side,
    balance::VersionPolicy,
    lane::{Lane, Purpose, SigningKeys},
};

use crate::context::ReleaseContext;

/// What a program goes by when it runs scheduled jobs: a part of its settings, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRules {
    /// Which versions are those of ordinary and of gray traffic.
    pub policy: VersionPolicy,
    /// Whether tag and lane travel as W3C Baggage as well.
    pub baggage: bool,
    /// How the calls of a run are signed; `None` = they are not.
    pub signing: Option<CallSigning>,
}

/// How calls are signed that no request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSigning {
    /// The shared secrets.
    pub keys: SigningKeys,
    /// How long a signature holds. A run may take longer: it is signed anew.
    pub ttl: Duration,
}

impl CallSigning {
    /// Keys, and how long a signature holds.
    pub const fn new(keys: SigningKeys, ttl: Duration) -> Self {
        Self { keys, ttl }
    }
}

impl JobRules {
    /// Rules by these versions, without signatures.
    pub const fn new(policy: VersionPolicy) -> Self {
        Self { policy, baggage: true, signing: None }
    }

    /// The lane of a run for this group.
    fn lane(&self, side: Side) -> Lane {
        match side {
            _ if !self.policy.load => Lane::any(),
            Side::Baseline => self.policy.baseline(),
            Side::Gray => self.policy.gray(),
        }
    }

    /// The context of a run for this group, not signed yet.
    pub fn context(&self, side: Side) -> ReleaseContext {
        let lane = self.lane(side);
        let of_lane = lane.encode("jobs", false).ok().and_then(|value| ReleaseContext::of_lane(lane.tag(), &value));
        // A lane that cannot be written (a version that no header can carry) leaves the tag, which says nearly as much.
        let context = of_lane.unwrap_or_else(|| ReleaseContext::tagged(Some(lane.tag())));
        if self.baggage { context } else { context.without_baggage() }
    }

    /// Signs for the calls that are made from `now` on; the time at which to do it again. Both in Unix seconds.
    pub fn sign(&self, context: &mut ReleaseContext, now: u64) -> u64 {
        let Some(signing) = &self.signing else {
            context.unsign();
            return now.saturating_add(1);
        };
        let ttl = signing.ttl.as_secs();
        context.sign(signing.keys.signer(), Purpose::Call, now.saturating_add(ttl));
        // A third of its time, so that a call made just before has the rest of it.
        now.saturating_add((ttl / 3).max(1))
    }
}
