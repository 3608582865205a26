//! What travels with a request, read, kept, and written.

use std::{borrow::Cow, future::Future, sync::Arc};

use gray_core::{
    balance::VersionPolicy,
    lane::{LaneTag, Purpose, Selector, SigningKey, Verdict},
    tag::{GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderName, HeaderValue};
use tokio::task::futures::TaskLocalFuture;

use crate::{
    baggage,
    carrier::{Extract, Inject},
    path::PathLog,
    reading::{Claims, Standing, Verifier, claims},
};

/// Most that the headers named by the settings may take, names included, in bytes. A header that does not fit is not sent
/// on. Servers commonly take 8 KiB of headers in all.
pub const MAX_CARRIED_BYTES: usize = 16 * 1024;

/// What travels with a request from hop to hop. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseContext {
    /// The tag; `None` when the caller sent none, or one we do not know.
    pub tag: Option<GrayStatus>,
    lane: Option<LaneTag>,
    signature: Option<HeaderValue>,
    carried: Option<Arc<[(HeaderName, HeaderValue)]>>,
    path: Option<PathLog>,
    /// Whether it is written into headers alone.
    has_no_baggage: bool,
}

tokio::task_local! {
    static CURRENT: ReleaseContext;
}

impl ReleaseContext {
    /// A context with a tag alone.
    pub fn tagged(tag: Option<GrayStatus>) -> Self {
        Self { tag, ..Self::default() }
    }

    /// Reads the context that a carrier has, and believes it. Two tags are one too many: none counts, and so it is with
    /// lanes and signatures. Where the header `gray-lane` is missing, W3C Baggage is read.
    pub fn extract(carrier: &impl Extract) -> Self {
        claims(carrier, Self::of)
    }

    /// Reads the context that a carrier has. It is empty when tag and lane are not signed as they have to be, unless the
    /// sender is trusted, which is asked only then. What travels on is signed for calls, whatever it was read as.
    pub fn extract_verified(
        carrier: &impl Extract,
        verifier: &Verifier<'_>,
        is_trusted: impl FnOnce() -> bool,
    ) -> (Self, Standing) {
        claims(carrier, |claims| Self::verified(claims, verifier, is_trusted))
    }

    fn verified(claims: &Claims<'_>, verifier: &Verifier<'_>, is_trusted: impl FnOnce() -> bool) -> (Self, Standing) {
        if !claims.any() {
            return (Self::of(claims), Standing::Silent);
        }
        let verdict = claims.verdict(verifier);
        let standing = if verdict == Verdict::Valid {
            Standing::Signed
        } else if is_trusted() {
            Standing::Trusted
        } else {
            return (Self::default(), Standing::Rejected(verdict));
        };
        let mut context = Self::of(claims);
        if standing == Standing::Trusted || verifier.purpose != Purpose::Call {
            let expiry = verifier.now.saturating_add(verifier.ttl.as_secs());
            context.sign(verifier.keys.signer(), Purpose::Call, expiry);
        }
        (context, standing)
    }

    fn of(claims: &Claims<'_>) -> Self {
        let lane = claims.lane();
        let path = lane.as_ref().filter(|lane| lane.traced()).map(|_| PathLog::default());
        Self { tag: claims.tag, lane, signature: claims.signature(), carried: None, path, has_no_baggage: false }
    }

    /// A context with a tag and a lane; `None` when this is not a lane.
    pub(crate) fn of_lane(tag: GrayStatus, lane: &HeaderValue) -> Option<Self> {
        Some(Self { tag: Some(tag), lane: Some(LaneTag::from_header(lane)?), ..Self::default() })
    }

    /// The context with tag and lane of another one.
    #[must_use]
    pub(crate) fn with_release_of(self, other: Self) -> Self {
        Self { tag: other.tag, lane: other.lane, signature: other.signature, ..self }
    }

    /// The context as it is written into headers alone. Our member is still taken off the baggage of what is sent.
    #[must_use]
    pub fn without_baggage(self) -> Self {
        Self { has_no_baggage: true, ..self }
    }

    /// The context with the named headers of a carrier, which are sent along with every call. Each goes with all its
    /// values or not at all: not when HTTP cannot carry one of them, or there is no room ([`MAX_CARRIED_BYTES`]).
    #[must_use]
    pub fn carrying(mut self, carrier: &impl Extract, names: &[HeaderName]) -> Self {
        let mut carried = Vec::new();
        let mut room = MAX_CARRIED_BYTES;
        for name in names {
            let (end, room_before) = (carried.len(), room);
            let fits = carrier.values(name).all(|value| {
                let rest = room.checked_sub(name.as_str().len() + value.as_bytes().len());
                // Measured first: a message may be of any size.
                let Some((rest, value)) = rest.and_then(|rest| Some((rest, value.to_header()?))) else { return false };
                room = rest;
                carried.push((name.clone(), value.into_owned()));
                true
            });
            if !fits {
                carried.truncate(end);
                room = room_before;
            }
        }
        if !carried.is_empty() {
            self.carried = Some(carried.into());
        }
        self
    }

    /// The lane; `None` when the caller sent only a tag, or nothing.
    pub fn lane(&self) -> Option<&LaneTag> {
        self.lane.as_ref()
    }

    /// Signs tag and lane anew, for what they are about to be written onto; `expiry` in Unix seconds.
    pub fn sign(&mut self, key: &SigningKey, purpose: Purpose<'_>, expiry: u64) {
        let lane = self.lane.as_ref().map(LaneTag::as_header);
        self.signature = self.tag.map(|tag| key.sign_for(purpose, tag, lane, expiry));
    }

    /// Takes the signature off, where what is written is not signed.
    pub(crate) fn unsign(&mut self) {
        self.signature = None;
    }

    /// Where calls made for this request leave their path; `None` when the caller may not see it.
    pub fn path(&self) -> Option<&PathLog> {
        self.path.as_ref()
    }

    /// All of it but the log of the path, which equals no other.
    #[cfg(test)]
    pub(crate) fn without_path(self) -> Self {
        Self { path: None, ..self }
    }

    /// The selectors for a call to `service`, best first: what the lane says, else what the tag means by `policy`; a
    /// caller without a tag stays on its `own` version.
    pub fn choice<'c>(
        &'c self,
        service: &str,
        policy: &'c VersionPolicy,
        own: Option<&'c str>,
    ) -> impl Iterator<Item = Selector<&'c str>> + Clone {
        let lane = self.lane.as_ref().map(|lane| lane.choice(service));
        let tag = self.lane.is_none().then(|| policy.choice(self.tag, own));
        lane.into_iter().flatten().chain(tag.into_iter().flatten())
    }

    /// The context as it goes to `service`: its tag is worked out anew from the lane ([`LaneTag::told`]), for services that know
    /// the tag alone. Without a tag it gets none; a context that is signed keeps its tag unless it can be signed anew, by this key and until then (Unix
    /// seconds).
    pub fn told<'c>(
        &'c self,
        service: &str,
        policy: &VersionPolicy,
        signer: Option<(&SigningKey, u64)>,
    ) -> Cow<'c, Self> {
        let lane = self.lane.as_ref().filter(|_| policy.load && self.tag.is_some());
        let tag = lane.and_then(|lane| lane.told(service, &policy.prod, &policy.gray));
        if tag.is_none() || tag == self.tag || (self.signature.is_some() && signer.is_none()) {
            return Cow::Borrowed(self);
        }
        let mut told = Self { tag, ..self.clone() };
        if let (Some(_), Some((key, expiry))) = (&self.signature, signer) {
            told.sign(key, Purpose::Call, expiry);
        }
        Cow::Owned(told)
    }

    /// Writes the context onto what is about to be sent; what was there under our names goes. A carried header gives way
    /// to one that is there already. Tag and lane are written into W3C Baggage as well, beside the members of others; nothing of
    /// ours stays there without a tag.
    pub fn inject(&self, carrier: &mut impl Inject) {
        let mut write = |name: HeaderName, value: Option<&HeaderValue>| match value {
            Some(value) => carrier.set(&name, value),
            None => carrier.remove(&name),
        };
        write(GRAY_HEADER, self.tag.map(GrayStatus::header_value).as_ref());
        write(LANE_HEADER, self.lane.as_ref().map(LaneTag::as_header));
        write(SIGNATURE_HEADER, self.signature.as_ref());
        // Several values of one header stand side by side.
        for values in self.carried.iter().flat_map(|carried| carried.chunk_by(|(one, _), (next, _)| one == next)) {
            if values.first().is_some_and(|(name, _)| !carrier.contains(name)) {
                values.iter().for_each(|(name, value)| carrier.add(name, value));
            }
        }
        let tag = self.tag.filter(|_| !self.has_no_baggage);
        baggage::write(carrier, tag, self.signature.as_ref(), self.lane.as_ref().map(LaneTag::as_header));
    }

    /// The context of the running task; empty outside of a request.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs a closure within this context.
    pub fn enter<R>(self, run: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, run)
    }

    /// A future that runs within this context, as a type that can be named.
    pub fn wrap<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a future within this context.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}
