//! Key sets as servers publish them (RFC 7517).

use ring::signature;
use serde_json::Value as Json;

use super::{
    Algorithm, decoded,
    der::{Kind, PublicKey, inspect},
};

/// Longest id of a key, in bytes.
const MAX_ID: usize = 256;
/// Most keys that a set lists.
const MAX_KEYS: usize = 32;

/// The public keys of a server: those of them that tokens can be verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Box<[PublishedKey]>,
    skipped: Box<[String]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PublishedKey {
    id: Option<Box<str>>,
    kind: Kind,
    /// The only algorithm that it is for, if the set says so.
    algorithm: Option<Algorithm>,
    key: Box<[u8]>,
}

/// The text is not a key set that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKeySet(String);

impl KeySet {
    /// Longest text that is read, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Reads a key set. Keys that are for something else, or that cannot be used, are ignored.
    ///
    /// # Errors
    /// When it is not one, is too large, has one id twice or a private key, or when no key is left.
    pub fn read(text: &[u8]) -> Result<Self, InvalidKeySet> {
        let invalid = |reason: String| Err(InvalidKeySet(reason));
        if text.len() > Self::MAX_BYTES {
            return invalid(format!("a key set has at most {} bytes", Self::MAX_BYTES));
        }
        let Ok(json) = serde_json::from_slice::<Json>(text) else { return invalid("it is not JSON".into()) };
        let Some(listed) = json.get("keys").and_then(Json::as_array) else {
            return invalid("it is not a key set: it has no list `keys`".into());
        };
        if listed.len() > MAX_KEYS {
            return invalid(format!("it has {} keys, and at most {MAX_KEYS} are read", listed.len()));
        }
        let (mut keys, mut skipped): (Vec<PublishedKey>, _) = (Vec::new(), Vec::new());
        for (place, jwk) in listed.iter().enumerate() {
            match PublishedKey::read(jwk) {
                Ok(key) if key.id.is_some() && keys.iter().any(|known| known.id == key.id) => {
                    let id = key.id.unwrap_or_default();
                    return invalid(format!("two of its keys have the kid `{}`", shown(&id)));
                }
                Ok(key) => keys.push(key),
                Err(Unfit::Skipped(reason)) => {
                    let name = jwk.get("kid").and_then(Json::as_str).map(|id| format!("`{}`", shown(id)));
                    skipped.push(format!("{} {reason}", name.unwrap_or_else(|| format!("number {}", place + 1))));
                }
                Err(Unfit::Private) => {
                    return invalid("it publishes a private key, by which any client could sign".into());
                }
            }
        }
        if keys.is_empty() {
            let why = if skipped.is_empty() { String::new() } else { format!(": {}", skipped.join("; ")) };
            return invalid(format!("it has no key that tokens can be verified by{why}"));
        }
        Ok(Self { keys: keys.into(), skipped: skipped.into() })
    }

    /// How many keys there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is a key with this id.
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The keys that are ignored, and why.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Whether the message is signed by the key with this id; without an id, by the only key that is for this algorithm.
    /// `is_named`: the algorithm is one that the settings name, so that keys that name none may be used with it.
    pub(super) fn verifies(
        &self,
        (id, algorithm): (Option<&str>, Algorithm),
        is_named: bool,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let meant = self.keys.iter().filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let mut fitting = meant.filter_map(|key| Some((key, key.verifier(algorithm, is_named)?)));
        // A client that may choose among all keys may also have all of them tried.
        let (Some((key, verifier)), None) = (fitting.next(), fitting.next()) else { return false };
        signature::UnparsedPublicKey::new(verifier, &key.key).verify(message, signature).is_ok()
    }
}

/// Why a key is not used.
enum Unfit {
    /// It is ignored.
    Skipped(String),
    /// None of the set can be trusted.
    Private,
}

impl From<&str> for Unfit {
    fn from(reason: &str) -> Self {
        Self::Skipped(reason.into())
    }
}

impl PublishedKey {
    fn read(jwk: &Json) -> Result<Self, Unfit> {
        let text = |name: &str| jwk.get(name).and_then(Json::as_str);
        let id = match jwk.get("kid") {
            None => None,
            Some(Json::String(id)) if id.len() <= MAX_ID => Some(id.as_str().into()),
            Some(_) => return Err("has a kid that is not a text of at most 256 bytes".into()),
        };
        match jwk.get("use") {
            None => {}
            Some(Json::String(purpose)) if purpose == "sig" => {}
            Some(_) => return Err("is not for signatures (use)".into()),
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        {
            return Err("is not for verifying (key_ops)".into());
        }
        let part = |name: &str| text(name).and_then(decoded).ok_or_else(|| Unfit::from("is not complete"));
        let PublicKey { kind, key } = match (text("kty"), text("crv")) {
            (Some("oct"), _) => return Err("is a secret, and secrets are never taken from a key set".into()),
            // From here on a private part means that it is no secret any more.
            (Some(_), _) if jwk.get("d").is_some() => return Err(Unfit::Private),
            (Some("RSA"), _) => rsa(&part("n")?, &part("e")?)?,
            (Some("EC"), Some("P-256")) => point(Kind::P256, 32, &part("x")?, &part("y")?)?,
            (Some("EC"), Some("P-384")) => point(Kind::P384, 48, &part("x")?, &part("y")?)?,
            (Some("OKP"), Some("Ed25519")) => match part("x")? {
                key if key.len() == 32 => PublicKey { kind: Kind::Ed25519, key },
                _ => return Err("has a coordinate of another length than Ed25519 has".into()),
            },
            _ => return Err("is of a kind that is not supported (RSA, P-256, P-384 and Ed25519 are)".into()),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(named) => {
                let known = named.as_str().and_then(Algorithm::of_token);
                let fitting = known.filter(|algorithm| algorithm.verifier(kind).is_some());
                Some(fitting.ok_or_else(|| Unfit::from("names an alg that is not supported or not of such a key"))?)
            }
        };
        Ok(Self { id, kind, algorithm, key: key.into() })
    }

    /// How it verifies signatures of this algorithm, if it is for that.
    fn verifier(&self, algorithm: Algorithm, is_named: bool) -> Option<&'static dyn signature::VerificationAlgorithm> {
        let is_for = match self.algorithm {
            Some(own) => own == algorithm,
            None => is_named || algorithm == self.kind.usual(),
        };
        algorithm.verifier(self.kind).filter(|_| is_for)
    }
}

fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn point(kind: Kind, length: usize, x: &[u8], y: &[u8]) -> Result<PublicKey, Unfit> {
    if x.len() != length || y.len() != length {
        return Err("has coordinates of another length than its curve has".into());
    }
    Ok(PublicKey { kind, key: [&[4], x, y].concat() })
}

/// An RSA key as the algorithms take it: DER (RFC 8017, A.1.1).
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, Unfit> {
    let significant = exponent.iter().skip_while(|byte| **byte == 0).count();
    // Odd, more than 1, and no longer than the algorithms take.
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !is_odd || !(1..=4).contains(&significant) || (significant == 1 && exponent.last() == Some(&1)) {
        return Err("has an exponent that cannot be used".into());
    }
    let der = element(0x30, &[integer(modulus), integer(exponent)].concat());
    match inspect(&der) {
        Some(Ok(key)) => Ok(key),
        Some(Err(reason)) => Err(reason.into()),
        None => Err("cannot be read".into()),
    }
}

/// A number that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    let is_high = bytes.first().is_none_or(|first| first & 0x80 != 0);
    if is_high { element(0x02, &[&[0], bytes].concat()) } else { element(0x02, bytes) }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match u16::try_from(content.len()) {
        Ok(short @ 0..=127) => vec![short.to_be_bytes()[1]],
        Ok(long) => [&[0x82], &long.to_be_bytes()[..]].concat(),
        // More than any key that is used: it will not be read as one.
        Err(_) => vec![0xff],
    };
    [&[tag], &length[..], content].concat()
}

#[cfg(test)]
mod tests;
