//! Who made a lane: an HMAC over the tag, the lane and an expiry, so that a service can tell a decision of the gateway
//! from a forged one.
//!
//! Header `gray-signature: <expiry>.<mac>`: Unix seconds, and HMAC-SHA256 (RFC 2104) as 64 hexadecimal digits over
//! `tag \n lane \n expiry`, followed by `\n message \n audience` on a message ([`Purpose`]).
//!
//! It lies here, not beside what reads and writes headers (gray-context): settings hold keys, and what is pure must not
//! depend on a runtime for them.

use std::fmt;

use http::HeaderValue;
use ring::hmac;

use crate::tag::GrayStatus;

/// The secret that gateway and services share. Not shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        // Equal keys, equal signatures; there is no other way to ask a key for its secret.
        let probe = |key: &Self| hmac::sign(&key.0, b"equal?");
        probe(self).as_ref() == probe(other).as_ref()
    }
}

impl Eq for SigningKey {}

/// Longest signature that is read, in bytes; those that [`SigningKey::sign`] makes have 85 at most.
pub const MAX_SIGNATURE_BYTES: usize = 128;

/// What a signature is good for. A message waits longer than a call takes, so its signature holds longer; it must not be
/// taken from there and put onto a call, nor onto a message for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose<'a> {
    /// A call from one program to another.
    Call,
    /// A message that a broker keeps.
    Message {
        /// Where the message goes: its topic, exchange or queue.
        audience: &'a str,
    },
}

/// What a signature says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Made with the key, for this purpose, and not expired.
    Valid,
    /// There is none.
    Unsigned,
    /// Made for something else, with another key, or damaged.
    Forged,
    /// Once valid.
    Expired,
}

impl SigningKey {
    /// Shortest secret, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// A key from a secret of at least [`MIN_BYTES`](Self::MIN_BYTES).
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= Self::MIN_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Signs for a call; `expiry` in Unix seconds.
    pub fn sign(&self, tag: GrayStatus, lane: Option<&HeaderValue>, expiry: u64) -> HeaderValue {
        self.sign_for(Purpose::Call, tag, lane, expiry)
    }

    /// Signs; `expiry` in Unix seconds.
    pub fn sign_for(
        &self,
        purpose: Purpose<'_>,
        tag: GrayStatus,
        lane: Option<&HeaderValue>,
        expiry: u64,
    ) -> HeaderValue {
        let mac = hmac::sign(&self.0, &message(purpose, tag, lane, expiry));
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let mut text = format!("{expiry}.");
        text.extend(mac.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Judges the signature of a call; `now` in Unix seconds.
    pub fn verify(
        &self,
        signature: Option<&HeaderValue>,
        tag: GrayStatus,
        lane: Option<&HeaderValue>,
        now: u64,
    ) -> Verdict {
        self.verify_for(Purpose::Call, signature, tag, lane, now)
    }

    /// Judges; `now` in Unix seconds. Takes the same time wherever a forged signature differs.
    pub fn verify_for(
        &self,
        purpose: Purpose<'_>,
        signature: Option<&HeaderValue>,
        tag: GrayStatus,
        lane: Option<&HeaderValue>,
        now: u64,
    ) -> Verdict {
        let Some(signature) = signature else { return Verdict::Unsigned };
        let text = signature.to_str().ok().filter(|text| text.len() <= MAX_SIGNATURE_BYTES);
        let Some((expiry, mac)) = text.and_then(|text| text.split_once('.')) else { return Verdict::Forged };
        let (Ok(expiry), Some(mac)) = (expiry.parse(), unhex(mac)) else { return Verdict::Forged };
        match hmac::verify(&self.0, &message(purpose, tag, lane, expiry), &mac) {
            Err(_) => Verdict::Forged,
            Ok(()) if expiry < now => Verdict::Expired,
            Ok(()) => Verdict::Valid,
        }
    }
}

/// The secrets of a chain. One signs; others are believed as well, so that a new one can be given to all programs before
/// it signs, and an old one be taken away after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    signer: SigningKey,
    also: Box<[SigningKey]>,
}

impl SigningKeys {
    /// The key that signs, and those that are believed as well.
    pub fn new(signer: SigningKey, also: impl IntoIterator<Item = SigningKey>) -> Self {
        Self { signer, also: also.into_iter().collect() }
    }

    /// The key that signs.
    pub fn signer(&self) -> &SigningKey {
        &self.signer
    }

    /// Judges a signature by all keys; see [`SigningKey::verify_for`].
    pub fn verify_for(
        &self,
        purpose: Purpose<'_>,
        signature: Option<&HeaderValue>,
        tag: GrayStatus,
        lane: Option<&HeaderValue>,
        now: u64,
    ) -> Verdict {
        let keys = [&self.signer].into_iter().chain(&self.also);
        let mut verdicts = keys.map(|key| key.verify_for(purpose, signature, tag, lane, now));
        // A key that did not make it calls it forged.
        verdicts.find(|verdict| *verdict != Verdict::Forged).unwrap_or(Verdict::Forged)
    }
}

/// What is signed. No part but the last can have a line end, so no two purposes sign the same bytes.
fn message(purpose: Purpose<'_>, tag: GrayStatus, lane: Option<&HeaderValue>, expiry: u64) -> Vec<u8> {
    let lane = lane.map_or(&b""[..], HeaderValue::as_bytes);
    let mut message = [tag.as_str().as_bytes(), lane, expiry.to_string().as_bytes()].join(&b'\n');
    match purpose {
        Purpose::Call => {}
        Purpose::Message { audience } => {
            message.extend_from_slice(b"\nmessage\n");
            message.extend_from_slice(audience.as_bytes());
        }
    }
    message
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}
