//! Keys of tokens: what a text is, and which algorithms it is for.
//!
//! A public key is not a secret: any client could sign by it, were it taken for one. What a text looks like proves
//! nothing, so a text is a secret only when `algorithm` says that it is.

use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::{hmac, signature};

use super::der::{Kind, PublicKey, inspect};

/// Shortest secret, in bytes.
const MIN_SECRET: usize = 16;

/// How a token may be signed (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, and so on.
    Hs256,
    /// With SHA-384.
    Hs384,
    /// With SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, with SHA-256, and so on.
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
    /// RSA-PSS with SHA-256, and so on.
    Ps256,
    /// With SHA-384.
    Ps384,
    /// With SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As tokens and documents name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one that a token names so.
    pub(super) fn of_token(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Whether it takes a secret, with which every verifier could sign as well.
    pub fn is_secret(self) -> bool {
        self.mac().is_some()
    }

    /// With a secret.
    fn mac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    /// With this kind of public key.
    pub(super) fn verifier(self, kind: Kind) -> Option<&'static dyn signature::VerificationAlgorithm> {
        Some(match (kind, self) {
            (Kind::Rsa, Self::Rs256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, Self::Rs384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Self::Rs512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Kind::Rsa, Self::Ps256) => &signature::RSA_PSS_2048_8192_SHA256,
            (Kind::Rsa, Self::Ps384) => &signature::RSA_PSS_2048_8192_SHA384,
            (Kind::Rsa, Self::Ps512) => &signature::RSA_PSS_2048_8192_SHA512,
            (Kind::P256, Self::Es256) => &signature::ECDSA_P256_SHA256_FIXED,
            (Kind::P384, Self::Es384) => &signature::ECDSA_P384_SHA384_FIXED,
            (Kind::Ed25519, Self::EdDsa) => &signature::ED25519,
            _ => return None,
        })
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| format!("`{text:.20}` is not an algorithm of tokens that is supported: expected {known}"))
    }
}

/// A key, and the algorithms that tokens may be signed by.
#[derive(Clone)]
pub struct JwtKey(Vec<(Algorithm, Check)>);

#[derive(Clone)]
enum Check {
    Secret(hmac::Key),
    Public(signature::UnparsedPublicKey<Vec<u8>>),
}

impl PartialEq for JwtKey {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &Check, two: &Check| match (one, two) {
            // Equal keys, equal signatures; there is no other way to ask a key for its secret.
            (Check::Secret(one), Check::Secret(two)) => {
                hmac::sign(one, b"equal?").as_ref() == hmac::sign(two, b"equal?").as_ref()
            }
            (Check::Public(one), Check::Public(two)) => one.as_ref() == two.as_ref(),
            _ => false,
        };
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((one, check), (two, other))| one == two && same(check, other))
    }
}

/// The text is not a usable key. Nothing of the text is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKey(String);

impl JwtKey {
    /// A public key (PEM, or the base64 of its DER); or, if HS256, HS384 or HS512 is named, a secret. Without an algorithm
    /// it is the usual one of the public key: RS256, ES256, ES384 or EdDSA.
    ///
    /// # Errors
    /// When the text is neither a public key that is read nor named a secret, is too short, or does not fit the algorithms.
    pub fn new(text: &str, algorithms: &[Algorithm]) -> Result<Self, InvalidKey> {
        let text = text.trim();
        let unfit = |algorithm: &Algorithm, what: &str| {
            let algorithm = algorithm.as_str();
            InvalidKey(format!(
                "`algorithm` names {algorithm}, and the key is {what}; set the key that fits, or another algorithm"
            ))
        };
        if let Some(PublicKey { kind, key }) = public_key(text)? {
            let usual = [kind.usual()];
            let algorithms = if algorithms.is_empty() { &usual } else { algorithms };
            let check = |algorithm: &Algorithm| {
                let verifier = algorithm.verifier(kind).ok_or_else(|| unfit(algorithm, kind.name()))?;
                Ok((*algorithm, Check::Public(signature::UnparsedPublicKey::new(verifier, key.clone()))))
            };
            return algorithms.iter().map(check).collect::<Result<_, _>>().map(Self);
        }
        if !algorithms.iter().any(|algorithm| algorithm.mac().is_some()) {
            return Err(InvalidKey(format!(
                "is not a public key that can be read{}; write the public key in PEM (BEGIN PUBLIC KEY), or name \
                 `algorithm: HS256` if it is a secret",
                hint(text)
            )));
        }
        if text.len() < MIN_SECRET {
            return Err(InvalidKey(format!("expected a secret of at least {MIN_SECRET} bytes")));
        }
        let check = |algorithm: &Algorithm| {
            let mac = algorithm.mac().ok_or_else(|| unfit(algorithm, "not a public key that can be read"))?;
            Ok((*algorithm, Check::Secret(hmac::Key::new(mac, text.as_bytes()))))
        };
        algorithms.iter().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the message is signed by this key, with this algorithm of a token.
    pub(super) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let check = self.0.iter().find(|(known, _)| known.as_str() == algorithm);
        check.is_some_and(|(_, check)| match check {
            Check::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Check::Public(key) => key.verify(message, signature).is_ok(),
        })
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.0.iter().map(|(algorithm, _)| algorithm.as_str()).collect();
        write!(f, "JwtKey({}, hidden)", algorithms.join(" "))
    }
}

/// The public key that the text is; `None`: it is not one that is read. An error: it is one, or another kind of key, that
/// cannot be used, whatever the algorithm.
fn public_key(text: &str) -> Result<Option<PublicKey>, InvalidKey> {
    if text.contains("-----BEGIN") || text.starts_with("-----") {
        // A variable of the environment often has `\n` for the ends of lines.
        return pem(&text.replace("\\n", "\n")).map(Some).map_err(InvalidKey);
    }
    if text.starts_with(['{', '[']) {
        return Err(InvalidKey(
            "looks like a JWK or a set of them (JWKS), which is not read; write the public key in PEM".into(),
        ));
    }
    let packed: String = text.split_whitespace().collect();
    let inspected = base64(&packed).as_deref().and_then(inspect).transpose();
    inspected.map_err(|reason| InvalidKey(reason.to_owned()))
}

/// What the text probably is, where that helps to find the mistake. Nothing depends on it.
fn hint(text: &str) -> &'static str {
    if text.contains("://") {
        " (keys are fetched from addresses by `jwks-uri` and `issuer-uri`)"
    } else if text.starts_with("ssh-") {
        " (`ssh-keygen -e -m PKCS8 -f FILE` writes a key of SSH in PEM)"
    } else {
        ""
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE].into_iter().find_map(|alphabet| GeneralPurpose::new(&alphabet, config).decode(text).ok())
}

fn pem(text: &str) -> Result<PublicKey, String> {
    const EXPECTED: &str =
        "expected one PEM block with BEGIN PUBLIC KEY (RSA, P-256, P-384 or Ed25519) and nothing else";
    let Some((label, rest)) = text.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----")) else {
        return Err(EXPECTED.into());
    };
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        "CERTIFICATE" => {
            return Err("is a certificate; `openssl x509 -pubkey -noout -in FILE` writes its public key".into());
        }
        label if label.contains("PRIVATE KEY") => {
            return Err(
                "is a private key, which does not belong here; `openssl pkey -pubout` writes its public key".into()
            );
        }
        _ => return Err(EXPECTED.into()),
    }
    let (body, after) = rest.split_once("-----END ").ok_or(EXPECTED)?;
    if after.trim_end().strip_prefix(label) != Some("-----") {
        return Err(EXPECTED.into());
    }
    let body: String = body.split_whitespace().collect();
    base64(&body).and_then(|der| inspect(&der)).ok_or(EXPECTED)?.map_err(str::to_owned)
}
