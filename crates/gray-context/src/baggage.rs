//! The member `gray-lane` of W3C Baggage as a carrier of its own: it says the same as the headers, under their names, so that
//! it is read by the same rules (`reading.rs`).

use std::iter;

use gray_core::{
    lane::{
        MAX_LANE_BYTES, MAX_SIGNATURE_BYTES,
        baggage::{MemberParts, decoded, members, write_member, write_others},
    },
    tag::{BAGGAGE_HEADER, GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderName, HeaderValue};

use crate::carrier::{Extract, Inject, Value};

/// Longest value of the member that is decoded, in bytes: each byte of the three headers takes three at most.
const MAX_VALUE_BYTES: usize = 3 * (MAX_LANE_BYTES + MAX_SIGNATURE_BYTES + 16);
/// Baggage behind this is not read, in bytes: a message may be of any size.
const MAX_READ_BYTES: usize = 64 * 1024;

/// What the baggage of a carrier says of the release.
#[derive(Clone, Debug)]
pub(crate) struct Baggage {
    /// Decoded.
    member: Vec<u8>,
    /// How often it counts: two members are one when they say the same.
    times: usize,
}

impl Baggage {
    /// `None` when the baggage says nothing.
    pub(crate) fn of(carrier: &impl Extract) -> Option<Self> {
        let (name, mut room) = (BAGGAGE_HEADER, MAX_READ_BYTES);
        let lines = carrier.values(&name).map(Value::as_bytes).take_while(|line| {
            room = room.saturating_sub(line.len());
            room > 0
        });
        let mut values = lines.flat_map(members).filter_map(|member| member.ours());
        let member = Self::decoded(values.next()?);
        let times = if values.all(|other| Self::decoded(other) == member) { 1 } else { 2 };
        Some(Self { member, times })
    }

    /// What is too long says nothing that could count.
    fn decoded(value: &[u8]) -> Vec<u8> {
        if value.len() <= MAX_VALUE_BYTES { decoded(value) } else { Vec::new() }
    }

    /// Whether it names a tag, and is not in doubt: a member that does not was not written by the gateway, or damaged on the way.
    pub(crate) fn is_readable(&self) -> bool {
        self.times == 1 && GrayStatus::from_bytes(MemberParts::of(&self.member).tag).is_some()
    }

    /// Whether it says something else than this header `gray-lane`.
    pub(crate) fn differs_from(&self, lane: &[u8]) -> bool {
        self.times > 1 || MemberParts::of(&self.member).lane != Some(lane)
    }
}

impl Extract for Baggage {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        let parts = MemberParts::of(&self.member);
        let part = if *name == GRAY_HEADER {
            Some(parts.tag)
        } else if *name == LANE_HEADER {
            parts.lane
        } else if *name == SIGNATURE_HEADER {
            parts.signature
        } else {
            None
        };
        part.into_iter().flat_map(|part| iter::repeat_n(Value::from(part), self.times))
    }
}

/// A carrier without its baggage.
#[derive(Clone, Copy, Debug)]
pub struct WithoutBaggage<'c, C>(pub &'c C);

impl<C: Extract> Extract for WithoutBaggage<'_, C> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        let is_read = *name != BAGGAGE_HEADER;
        is_read.then(|| self.0.values(name)).into_iter().flatten()
    }
}

/// Takes our member off the baggage of a carrier, and writes this one, if it is one; members of others stay.
pub(crate) fn write(
    carrier: &mut impl Inject,
    tag: Option<GrayStatus>,
    signature: Option<&HeaderValue>,
    lane: Option<&HeaderValue>,
) {
    let mut line = Vec::new();
    if let Some(tag) = tag {
        // One that is too long is none.
        write_member(&mut line, tag, signature.map(HeaderValue::as_bytes), lane.map(HeaderValue::as_bytes));
    }
    let name = BAGGAGE_HEADER;
    let lines = || carrier.values(&name).map(Value::as_bytes);
    if line.is_empty() && !lines().flat_map(members).any(|member| member.is_spelling_of_ours()) {
        return;
    }
    write_others(&mut line, 0, lines());
    match HeaderValue::try_from(line) {
        Ok(line) if !line.is_empty() => carrier.set(&name, &line),
        _ => carrier.remove(&name),
    }
}
