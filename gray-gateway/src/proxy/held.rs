//! One thread's hold on the snapshot, and how its decisions look on the wire.

use std::{cell::RefCell, ops::Deref, sync::Arc};

use gray_common::{
    clock::unix_seconds,
    rule::{Decision, Reason},
};
use http::HeaderValue;

use crate::{dye::Mark, snapshot::Snapshot};

/// A snapshot under a counter of this thread's own, with copies of the header values that requests are marked with:
/// cloning the shared ones for every request would make the cores fight over their counters.
pub(super) struct Held {
    snapshot: Arc<Snapshot>,
    caller: HeaderValue,
    /// By place of the lane, plain and traced.
    lanes: Vec<[HeaderValue; 2]>,
    /// The last signature of each of them, with its expiry.
    signatures: RefCell<Vec<[Signature; 2]>>,
}

/// A signature that was made already, with its expiry.
type Signature = (u64, Option<HeaderValue>);

impl Held {
    /// Signatures are made anew so often, in seconds; until then they are taken from here.
    const SIGN_EVERY: u64 = 10;

    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        // A value made from bytes is a copy of its own.
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
        let lanes = snapshot.rules.lanes();
        let lanes: Vec<_> = lanes.iter().map(|lane| [false, true].map(|traced| copy(lane.header(traced)))).collect();
        let signatures = RefCell::new(vec![[(0, None), (0, None)]; lanes.len()]);
        Self { caller: copy(&snapshot.caller), snapshot, lanes, signatures }
    }

    /// How a decision looks on the wire.
    pub(super) fn mark(&self, decision: &Decision<'_>) -> Mark {
        let off = decision.reason == Reason::Off;
        let lane = match decision.place {
            _ if off => None,
            Some(place) => Some(self.lanes[place][usize::from(decision.traced)].clone()),
            // Filled in for this request: a token, so it always fits.
            None => decision.lane.encode(decision.revision, decision.traced).ok(),
        };
        let signature = self.snapshot.signing.as_ref().map(|signing| {
            let begun = unix_seconds() / Self::SIGN_EVERY * Self::SIGN_EVERY;
            let expiry = begun + Self::SIGN_EVERY + signing.ttl.as_secs();
            let sign = || signing.key.sign(decision.tag(), lane.as_ref(), expiry);
            let Some(place) = decision.place else { return sign() };
            let (known, signature) = &mut self.signatures.borrow_mut()[place][usize::from(decision.traced)];
            if *known != expiry {
                (*known, *signature) = (expiry, None);
            }
            signature.get_or_insert_with(sign).clone()
        });
        Mark { lane, signature, caller: self.caller.clone() }
    }

    /// Whether this is the snapshot that is held.
    pub(super) fn is(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}
