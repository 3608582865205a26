//! One thread's hold on the snapshot, and how its decisions look on the wire.

use std::{cell::RefCell, net::IpAddr, ops::Deref, rc::Rc, sync::Arc};

use gray_context::Extract;
use gray_core::{
    GrayStatus,
    lane::baggage::write_member,
    tag::{BAGGAGE_HEADER, GRAY_HEADER, LANE_HEADER, SIGNATURE_HEADER},
};
use gray_registry::unix_seconds;
use gray_rules::{Decision, Reason};
use http::HeaderValue;

use crate::{
    dye::{Mark, dye},
    egress::{Carried, ReadBy},
    snapshot::Snapshot,
};

/// A snapshot under a counter of this thread's own, with the lines that requests are marked with: cloning shared
/// values for every request would make the cores fight over their counters.
pub(in crate::proxy) struct Held {
    snapshot: Arc<Snapshot>,
    /// By place of the lane, then plain and traced, then by tag; the last place is for gray release being off.
    marks: RefCell<Vec<[[Rendered; GrayStatus::ALL.len()]; 2]>>,
    /// Of an egress: what requests carry, by the headers that say it. There are few lanes.
    carried: RefCell<CarriedCache>,
}

/// What was read last, and the headers that it was read from.
#[derive(Default)]
struct CarriedCache {
    /// Room for the headers of a request.
    key: Vec<u8>,
    read: Vec<(Box<[u8]>, Rc<Carried>)>,
    /// Which of them is replaced next.
    next: usize,
    /// When they were read: signatures expire.
    period: u64,
}

impl CarriedCache {
    const MAX: usize = 16;
    /// Longer headers are read each time, in bytes.
    const MAX_KEY: usize = 8 * 1024;

    /// Writes what it is found by: all headers that are read.
    fn key_of(&mut self, carrier: &impl Extract, peer: IpAddr) -> bool {
        let key = &mut self.key;
        key.clear();
        // Baggage is read where the header is missing.
        let baggage = (!carrier.contains(&LANE_HEADER)).then_some(BAGGAGE_HEADER);
        for name in [GRAY_HEADER, LANE_HEADER, SIGNATURE_HEADER].iter().chain(&baggage) {
            for value in carrier.values(name) {
                key.extend_from_slice(value.as_bytes());
                // In no header value.
                key.push(0);
            }
            key.push(1);
        }
        match peer {
            IpAddr::V4(ip) => key.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => key.extend_from_slice(&ip.octets()),
        }
        key.len() <= Self::MAX_KEY
    }
}

/// A decision as it is sent.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Rendered {
    /// When their signature expires; 0 without one.
    expiry: u64,
    /// Header lines.
    pub(in crate::proxy) lines: Vec<u8>,
    /// The member of W3C Baggage; empty when it would be too long.
    pub(in crate::proxy) member: Vec<u8>,
}

impl Held {
    /// Signatures are made anew so often, in seconds; until then they are taken from here.
    const SIGN_EVERY: u64 = 10;

    pub(in crate::proxy) fn new(snapshot: Arc<Snapshot>) -> Self {
        let marks = vec![Default::default(); snapshot.rules.lanes().len() + 1];
        Self { snapshot, marks: marks.into(), carried: RefCell::default() }
    }

    /// Shows a decision as it is sent.
    pub(in crate::proxy) fn marked<R>(
        &self,
        decision: &Decision<'_>,
        tag: GrayStatus,
        show: impl FnOnce(&Rendered) -> R,
    ) -> R {
        let expiry = self.snapshot.signing.as_ref().map_or(0, |signing| {
            let begun = unix_seconds() / Self::SIGN_EVERY * Self::SIGN_EVERY;
            begun + Self::SIGN_EVERY + signing.ttl.as_secs()
        });
        let mut marks = self.marks.borrow_mut();
        let place = if decision.reason == Reason::Off { Some(marks.len() - 1) } else { decision.place };
        let Some(place) = place else {
            // Filled in for this request.
            let mut rendered = Rendered::default();
            self.render(decision, tag, expiry, &mut rendered);
            return show(&rendered);
        };
        let rendered = &mut marks[place][usize::from(decision.traced)][tag as usize];
        if rendered.lines.is_empty() || rendered.expiry != expiry {
            self.render(decision, tag, expiry, rendered);
        }
        show(rendered)
    }

    fn render(&self, decision: &Decision<'_>, tag: GrayStatus, expiry: u64, rendered: &mut Rendered) {
        let mark = self.mark(decision, tag, expiry);
        rendered.expiry = expiry;
        rendered.lines.clear();
        dye(&mut rendered.lines, tag, &mark);
        rendered.member.clear();
        let [signature, lane] = [&mark.signature, &mark.lane].map(|value| value.as_ref().map(HeaderValue::as_bytes));
        // One that is too long stays empty, and is counted with each request.
        write_member(&mut rendered.member, tag, signature, lane);
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

    /// What a request carries.
    pub(in crate::proxy) fn carried(&self, carrier: &impl Extract, by: ReadBy<'_>) -> Rc<Carried> {
        let mut cache = self.carried.borrow_mut();
        let read = || Rc::new(Carried::read(carrier, by));
        if !cache.key_of(carrier, by.peer) {
            return read();
        }
        let period = by.now / Self::SIGN_EVERY;
        if cache.period != period {
            cache.period = period;
            cache.read.clear();
        }
        if let Some((_, known)) = cache.read.iter().find(|(key, _)| **key == *cache.key) {
            return Rc::clone(known);
        }
        let entry = (cache.key.as_slice().into(), read());
        let known = Rc::clone(&entry.1);
        let next = cache.next % CarriedCache::MAX;
        cache.next = next + 1;
        match cache.read.get_mut(next) {
            Some(old) => *old = entry,
            None => cache.read.push(entry),
        }
        known
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
