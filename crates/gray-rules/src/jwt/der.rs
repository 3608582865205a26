//! As much of DER as it takes to tell one kind of key from another.

use super::Algorithm;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OID: u8 = 0x06;

/// Kinds of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "a public RSA key",
            Self::P256 => "a public key on P-256",
            Self::P384 => "a public key on P-384",
            Self::Ed25519 => "a public Ed25519 key",
        }
    }

    /// The algorithm that is meant when none is named.
    pub(super) fn usual(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::Rs256,
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::Ed25519 => Algorithm::EdDsa,
        }
    }
}

/// A key as the algorithms take it.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) kind: Kind,
    pub(super) key: Vec<u8>,
}

/// What the DER is: a public key, or why it is not one that can be used. `None`: it is not DER.
pub(super) fn inspect(der: &[u8]) -> Option<Result<PublicKey, &'static str>> {
    let (content, []) = element(der, SEQUENCE)? else { return None };
    // Every further element has to be one, or this is something that only begins like DER.
    let mut rest = content;
    while !rest.is_empty() {
        rest = any(rest)?.2;
    }
    Some(public(content).or_else(|| rsa(der)).unwrap_or(Err(
        "is neither a public key (RSA, P-256, P-384 or Ed25519) nor a secret: a certificate (`openssl x509 -pubkey -noout` \
         writes its public key), a private key, or of another kind",
    )))
}

/// A SubjectPublicKeyInfo (RFC 5280, 4.1): an algorithm and a bit string.
fn public(info: &[u8]) -> Option<Result<PublicKey, &'static str>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let (algorithm, rest) = element(info, SEQUENCE)?;
    let (bits, []) = element(rest, BITS)? else { return None };
    let key = bits.strip_prefix(&[0])?;
    let (oid, parameters) = element(algorithm, OID)?;
    let curve = element(parameters, OID).map(|(curve, _)| curve);
    // A point in full: 4, then both coordinates.
    let point = |kind, length| match key {
        [4, ..] if key.len() == length => Ok(PublicKey { kind, key: key.to_vec() }),
        _ => Err("is a point of a curve in another form; write it uncompressed"),
    };
    match (oid, curve) {
        (RSA, _) => rsa(key),
        (EC, Some(P256)) => Some(point(Kind::P256, 65)),
        (EC, Some(P384)) => Some(point(Kind::P384, 97)),
        (ED25519, _) if key.len() == 32 => Some(Ok(PublicKey { kind: Kind::Ed25519, key: key.to_vec() })),
        _ => None,
    }
}

/// An RSAPublicKey (RFC 8017, A.1.1): modulus and exponent.
fn rsa(der: &[u8]) -> Option<Result<PublicKey, &'static str>> {
    let (content, []) = element(der, SEQUENCE)? else { return None };
    let (modulus, rest) = element(content, INTEGER)?;
    let (_, []) = element(rest, INTEGER)? else { return None };
    let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
    Some(if (256..=1024).contains(&bytes) {
        Ok(PublicKey { kind: Kind::Rsa, key: der.to_vec() })
    } else {
        Err("is an RSA key of fewer than 2048 bits or more than 8192, by which nothing is verified")
    })
}

/// The content of the element in front, if it is of this kind, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Kind and content of the element in front, and what comes after it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=127 => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
