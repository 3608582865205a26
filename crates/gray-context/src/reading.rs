//! How the headers of a release context are read, whatever carries them. The rules stand here and nowhere else:
//!
//! - Two values of one name are one too many: which of them the gateway wrote cannot be told, so none counts.
//! - What is longer than its kind can be ([`MAX_LANE_BYTES`], [`MAX_SIGNATURE_BYTES`], [`MAX_CALLER_BYTES`]), or has bytes
//!   that no HTTP header can carry, is not copied, and does not count.
//! - A signature counts only beside a tag.
//! - Where keys are known, what is not signed with one of them, for what it is read as ([`Purpose`]), says nothing:
//!   neither tag nor lane, and no path is told. The exception is a trusted sender, for which we sign.
//! - Where there is no `gray-lane`, the member `gray-lane` of W3C Baggage counts in its place, with the tag and the signature in
//!   it: services that know nothing of gray releases pass on that alone. It is judged as the headers are. Two members that say
//!   the same are one. One that names no tag gives way to a header `gray`.
//! - The name of a caller is for counting, and the headers named by the settings go on unjudged: a stranger may say those.

use std::{borrow::Cow, time::Duration};

use gray_core::{
    lane::{LaneTag, MAX_LANE_BYTES, MAX_SIGNATURE_BYTES, MAX_TOKEN_BYTES, Purpose, SigningKeys, Verdict, is_token},
    tag::{CALLER_HEADER, GRAY_HEADER, GrayStatus, LANE_HEADER, PATH_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderName, HeaderValue};

use crate::{
    baggage::Baggage,
    carrier::{Extract, Value},
    path::MAX_PATH_BYTES,
};

/// Longest name of a caller, in bytes: `service@version`.
pub const MAX_CALLER_BYTES: usize = 2 * MAX_TOKEN_BYTES + 1;

/// What tells a decision of the gateway from a forged one.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'k> {
    pub(crate) keys: &'k SigningKeys,
    pub(crate) purpose: Purpose<'k>,
    pub(crate) now: u64,
    pub(crate) ttl: Duration,
}

impl<'k> Verifier<'k> {
    /// For calls; `now` in Unix seconds. What we sign for a sender that does not sign holds for `ttl`.
    pub const fn new(keys: &'k SigningKeys, now: u64, ttl: Duration) -> Self {
        Self { keys, purpose: Purpose::Call, now, ttl }
    }

    /// For something else than calls.
    #[must_use]
    pub const fn reading(self, purpose: Purpose<'k>) -> Self {
        Self { purpose, ..self }
    }
}

/// What vouches for the tag and the lane that a carrier has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has neither, so nothing has to.
    Silent,
    /// A good signature.
    Signed,
    /// The sender is trusted: it knows no signatures, and we have signed for it.
    Trusted,
    /// Nothing: neither counts.
    Rejected(Verdict),
}

/// The values of one name.
enum Sent<'c> {
    Never,
    Once(Value<'c>),
    /// More than once.
    Twice,
}

impl<'c> Sent<'c> {
    fn of(carrier: &'c impl Extract, name: &HeaderName) -> Self {
        let mut values = carrier.values(name);
        match (values.next(), values.next()) {
            (None, _) => Self::Never,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Twice,
        }
    }

    /// The value, when there is exactly one, at most so long.
    fn only(&self, longest: usize) -> Option<Value<'c>> {
        match *self {
            Self::Once(value) if value.as_bytes().len() <= longest => Some(value),
            Self::Once(_) | Self::Never | Self::Twice => None,
        }
    }

    /// The same as a header; `Err` when there is something that is none.
    fn header(&self, longest: usize) -> Result<Option<Cow<'c, HeaderValue>>, NoHeader> {
        match self {
            Self::Never => Ok(None),
            Self::Once(_) | Self::Twice => self.only(longest).and_then(Value::to_header).map(Some).ok_or(NoHeader),
        }
    }
}

/// Sent twice, too long, or with bytes that no header can carry.
struct NoHeader;

/// What a carrier says of its release, as it was sent.
pub(crate) struct Claims<'c> {
    pub(crate) tag: Option<GrayStatus>,
    has_tag: bool,
    lane: Sent<'c>,
    signature: Sent<'c>,
}

/// What the baggage of a carrier has to do with its release context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaggageUse {
    /// Nothing: it says nothing of it, or what the headers say.
    None,
    /// It is read in place of the headers.
    Source,
    /// It says something else than the header `gray-lane`, which counts.
    Conflict,
}

impl BaggageUse {
    /// What it has to do with that of this carrier.
    pub fn of(carrier: &impl Extract) -> Self {
        match Sent::of(carrier, &LANE_HEADER) {
            Sent::Never if Self::source(carrier).is_some() => Self::Source,
            Sent::Once(lane) if Baggage::of(carrier).is_some_and(|baggage| baggage.differs_from(lane.as_bytes())) => {
                Self::Conflict
            }
            Sent::Never | Sent::Once(_) | Sent::Twice => Self::None,
        }
    }

    /// The baggage, where it is read in place of the headers.
    fn source(carrier: &impl Extract) -> Option<Baggage> {
        if carrier.contains(&LANE_HEADER) {
            return None;
        }
        Baggage::of(carrier).filter(|baggage| baggage.is_readable() || !carrier.contains(&GRAY_HEADER))
    }
}

/// Reads what a carrier says of its release, from where it says so.
pub(crate) fn claims<R>(carrier: &impl Extract, read: impl FnOnce(&Claims<'_>) -> R) -> R {
    match BaggageUse::source(carrier) {
        Some(baggage) => read(&Claims::of(&baggage)),
        None => read(&Claims::of(carrier)),
    }
}

impl<'c> Claims<'c> {
    fn of(carrier: &'c impl Extract) -> Self {
        let tag = Sent::of(carrier, &GRAY_HEADER);
        Self {
            tag: tag.only(usize::MAX).and_then(|value| GrayStatus::from_bytes(value.as_bytes())),
            has_tag: !matches!(tag, Sent::Never),
            lane: Sent::of(carrier, &LANE_HEADER),
            signature: Sent::of(carrier, &SIGNATURE_HEADER),
        }
    }

    pub(crate) fn lane(&self) -> Option<LaneTag> {
        let value = self.lane.header(MAX_LANE_BYTES).ok()??;
        LaneTag::from_header(&value)
    }

    /// The signature, of a tag alone as well: so it comes while gray release is off.
    pub(crate) fn signature(&self) -> Option<HeaderValue> {
        self.tag?;
        self.signature.header(MAX_SIGNATURE_BYTES).ok()?.map(Cow::into_owned)
    }

    /// Whether the request claims to belong somewhere.
    pub(crate) fn any(&self) -> bool {
        self.has_tag || !matches!(self.lane, Sent::Never)
    }

    /// What the signature says of tag and lane. What cannot be the gateway's is forged without a look at the keys.
    pub(crate) fn verdict(&self, verifier: &Verifier<'_>) -> Verdict {
        let (Some(tag), Ok(lane), Ok(signature)) =
            (self.tag, self.lane.header(MAX_LANE_BYTES), self.signature.header(MAX_SIGNATURE_BYTES))
        else {
            return Verdict::Forged;
        };
        verifier.keys.verify_for(verifier.purpose, signature.as_deref(), tag, lane.as_deref(), verifier.now)
    }
}

/// Who sent it, `order-app@V1` or `order-app`, as it says itself: for counting, never for deciding.
pub fn caller(carrier: &impl Extract) -> Option<&str> {
    let text = text(Sent::of(carrier, &CALLER_HEADER), MAX_CALLER_BYTES)?;
    let (service, version) = text.split_once('@').map_or((text, None), |(service, version)| (service, Some(version)));
    (is_token(service) && version.is_none_or(is_token)).then_some(text)
}

/// The path that an answer tells.
pub fn told_path(carrier: &impl Extract) -> Option<&str> {
    text(Sent::of(carrier, &PATH_HEADER), MAX_PATH_BYTES)
}

/// Printable ASCII of at most so many bytes.
fn text(sent: Sent<'_>, longest: usize) -> Option<&str> {
    let text = str::from_utf8(sent.only(longest)?.as_bytes()).ok()?;
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()).then_some(text)
}
