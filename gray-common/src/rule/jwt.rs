//! JSON Web Tokens (RFC 7519) as facts.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use serde_json::Value as Json;

use super::{Facts, Source, Value};

/// Longest token that is looked at, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Where tokens are, and who must have signed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// Where the token is; `Bearer ` in front of it is left out.
    pub token: Source,
    /// The key by which a token must be signed; `None`: whatever it says counts, which is fit for choosing a version and
    /// for nothing else.
    pub key: Option<JwtKey>,
}

/// A key, which also says by which algorithm.
#[derive(Clone)]
pub enum JwtKey {
    /// HS256: a shared secret.
    Secret(hmac::Key),
    /// RS256, ES256 or EdDSA: a public key.
    Public {
        /// `alg` of tokens it can check.
        algorithm: &'static str,
        /// The key as the algorithm takes it.
        key: signature::UnparsedPublicKey<Vec<u8>>,
    },
}

impl PartialEq for JwtKey {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Equal keys, equal signatures; there is no other way to ask a key for its secret.
            (Self::Secret(one), Self::Secret(two)) => {
                hmac::sign(one, b"equal?").as_ref() == hmac::sign(two, b"equal?").as_ref()
            }
            (Self::Public { algorithm: one, key: first }, Self::Public { algorithm: two, key: second }) => {
                one == two && first.as_ref() == second.as_ref()
            }
            _ => false,
        }
    }
}

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a PEM text with BEGIN PUBLIC KEY (RSA, P-256 or Ed25519), or a secret of at least 16 bytes")]
pub struct InvalidKey;

impl JwtKey {
    /// A public key in PEM, or else a secret.
    ///
    /// # Errors
    /// When it is PEM of something else, or too short.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        match text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
            Some(rest) => {
                let body = rest.split("-----END").next().unwrap_or_default();
                let body: String = body.split_whitespace().collect();
                let der = base64::engine::general_purpose::STANDARD.decode(body).map_err(|_| InvalidKey)?;
                public(&der).ok_or(InvalidKey)
            }
            None if text.starts_with("-----") || text.len() < 16 => Err(InvalidKey),
            None => Ok(Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))),
        }
    }

    fn verifies(&self, algorithm: &str, message: &[u8], mac: &[u8]) -> bool {
        match self {
            Self::Secret(key) => algorithm == "HS256" && hmac::verify(key, message, mac).is_ok(),
            Self::Public { algorithm: expected, key } => algorithm == *expected && key.verify(message, mac).is_ok(),
        }
    }
}

/// A SubjectPublicKeyInfo (RFC 5280, 4.1): a sequence of an algorithm and a bit string.
fn public(der: &[u8]) -> Option<JwtKey> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let (info, _) = element(der, 0x30)?;
    let (algorithm, rest) = element(info, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    let key = bits.strip_prefix(&[0])?.to_vec();
    let (oid, parameters) = element(algorithm, 0x06)?;
    let (algorithm, verifier): (_, &'static dyn signature::VerificationAlgorithm) = match oid {
        RSA => ("RS256", &signature::RSA_PKCS1_2048_8192_SHA256),
        EC if element(parameters, 0x06)?.0 == P256 => ("ES256", &signature::ECDSA_P256_SHA256_FIXED),
        ED25519 => ("EdDSA", &signature::ED25519),
        _ => return None,
    };
    Some(JwtKey::Public { algorithm, key: signature::UnparsedPublicKey::new(verifier, key) })
}

/// The content of the DER element in front, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first().filter(|(first, _)| **first == tag)?;
    debug_assert_eq!(first, tag);
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=127 => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    rest.split_at_checked(length)
}

impl Jwt {
    /// The claims of the request's token; `None` without one, or when it is not one, not signed as it must be, expired,
    /// or not valid yet.
    pub fn claims(&self, facts: &impl Facts) -> Option<Json> {
        let Value::Text(text) = self.token.get(facts)? else { return None };
        let bearer = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        let text = if bearer { &text[7..] } else { &text[..] };
        let text = std::str::from_utf8(text).ok().map(str::trim).filter(|text| text.len() <= MAX_BYTES)?;
        let (message, mac) = text.rsplit_once('.')?;
        let (head, body) = message.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Json>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        if let Some(key) = &self.key {
            let head = json(head)?;
            let algorithm = head.get("alg")?.as_str()?;
            if !key.verifies(algorithm, message.as_bytes(), &URL_SAFE_NO_PAD.decode(mac).ok()?) {
                return None;
            }
        }
        let claims = json(body)?;
        let time = |claim: &str| claims.get(claim).and_then(Json::as_f64);
        let now = facts.now() as f64;
        let expired = time("exp").is_some_and(|expiry| expiry <= now);
        let early = time("nbf").is_some_and(|begin| begin > now);
        (!expired && !early).then_some(claims)
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "JwtKey(HS256, hidden)",
            Self::Public { .. } => "JwtKey(public)",
        })
    }
}

#[cfg(test)]
mod tests;
