//! One thread's hold on the snapshot, and how its decisions look on the wire.

use std::{cell::RefCell, ops::Deref, sync::Arc};

use gray_core::GrayStatus;
use gray_registry::unix_seconds;
use gray_rules::{Decision, Reason};

use crate::{
    dye::{Mark, dye},
    snapshot::Snapshot,
};

/// A snapshot under a counter of this thread's own, with the lines that requests are marked with: cloning shared
/// values for every request would make the cores fight over their counters.
pub(in crate::proxy) struct Held {
    snapshot: Arc<Snapshot>,
    /// By place of the lane, then plain and traced, then by tag; the last place is for gray release being off.
    marks: RefCell<Vec<[[Rendered; GrayStatus::ALL.len()]; 2]>>,
}

/// Lines that were rendered already.
#[derive(Clone, Debug, Default)]
struct Rendered {
    /// When their signature expires; 0 without one.
    expiry: u64,
    lines: Vec<u8>,
}

impl Held {
    /// Signatures are made anew so often, in seconds; until then they are taken from here.
    const SIGN_EVERY: u64 = 10;

    pub(in crate::proxy) fn new(snapshot: Arc<Snapshot>) -> Self {
        let marks = vec![Default::default(); snapshot.rules.lanes().len() + 1];
        Self { snapshot, marks: marks.into() }
    }

    /// Writes a decision as header lines.
    pub(in crate::proxy) fn write_mark(&self, decision: &Decision<'_>, tag: GrayStatus, out: &mut Vec<u8>) {
        let expiry = self.snapshot.signing.as_ref().map_or(0, |signing| {
            let begun = unix_seconds() / Self::SIGN_EVERY * Self::SIGN_EVERY;
            begun + Self::SIGN_EVERY + signing.ttl.as_secs()
        });
        let mut marks = self.marks.borrow_mut();
        let place = if decision.reason == Reason::Off { Some(marks.len() - 1) } else { decision.place };
        let Some(place) = place else {
            // Filled in for this request.
            return dye(out, tag, &self.mark(decision, tag, expiry));
        };
        let rendered = &mut marks[place][usize::from(decision.traced)][tag as usize];
        if rendered.lines.is_empty() || rendered.expiry != expiry {
            rendered.expiry = expiry;
            rendered.lines.clear();
            dye(&mut rendered.lines, tag, &self.mark(decision, tag, expiry));
        }
        out.extend_from_slice(&rendered.lines);
    }

    fn mark(&self, decision: &Decision<'_>, tag: GrayStatus, expiry: u64) -> Mark {
        let lane = match decision.place {
            _ if decision.reason == Reason::Off => None,
            Some(place) => Some(self.snapshot.rules.lanes()[place].header(decision.traced).clone()),
            // A token, so it always fits.
            None => decision.lane.encode(decision.revision, decision.traced).ok(),
        };
        let signing = self.snapshot.signing.as_ref();
        let signature = signing.map(|signing| signing.keys.signer().sign(tag, lane.as_ref(), expiry));
        Mark { lane, signature, caller: self.snapshot.caller.clone() }
    }

    /// Whether this is the snapshot that is held.
    pub(in crate::proxy) fn is(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}
