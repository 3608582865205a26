//! Who made a lane: an HMAC over the tag, the lane and an expiry, so that a service can tell a decision of the gateway
//! from one that somebody wrote himself.
//!
//! Header `gray-signature: <expiry>.<mac>`: Unix seconds, and HMAC-SHA256 (RFC 2104) as 64 hexadecimal digits over
//! `tag \n lane \n expiry`.

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

/// What a signature says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Made by somebody who has the key, and not expired.
    Valid,
    /// There is none.
    Unsigned,
    /// Made for something else, by somebody else, or damaged.
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

    /// Signs; `expiry` in Unix seconds.
    pub fn sign(&self, tag: GrayStatus, lane: Option<&HeaderValue>, expiry: u64) -> HeaderValue {
        let mac = hmac::sign(&self.0, &message(tag, lane, expiry));
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let mut text = format!("{expiry}.");
        text.extend(mac.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Judges; `now` in Unix seconds. Takes the same time wherever a forged signature differs.
    pub fn verify(
        &self,
        signature: Option<&HeaderValue>,
        tag: GrayStatus,
        lane: Option<&HeaderValue>,
        now: u64,
    ) -> Verdict {
        let Some(signature) = signature else { return Verdict::Unsigned };
        let Some((expiry, mac)) = signature.to_str().ok().and_then(|text| text.split_once('.')) else {
            return Verdict::Forged;
        };
        let (Ok(expiry), Some(mac)) = (expiry.parse(), unhex(mac)) else { return Verdict::Forged };
        match hmac::verify(&self.0, &message(tag, lane, expiry), &mac) {
            Err(_) => Verdict::Forged,
            Ok(()) if expiry < now => Verdict::Expired,
            Ok(()) => Verdict::Valid,
        }
    }
}

fn message(tag: GrayStatus, lane: Option<&HeaderValue>, expiry: u64) -> Vec<u8> {
    let lane = lane.map_or(&b""[..], HeaderValue::as_bytes);
    [tag.as_str().as_bytes(), lane, expiry.to_string().as_bytes()].join(&b'\n')
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
