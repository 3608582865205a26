//! JSON Web Tokens (RFC 7519) as facts.

mod der;
mod key;
mod server;
mod set;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value as Json;

use super::{Facts, Source, Value, source::only};

pub use key::{Algorithm, InvalidKey, JwtKey};
pub use server::{InvalidUrl, KeyServer, KeyUrl};
pub use set::{InvalidKeySet, KeySet};

/// Longest token that is looked at, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Where tokens are, and who must have signed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// Where the token is; `Bearer ` in front of it is removed.
    pub token: Source,
    /// The key by which a token must be signed.
    pub key: TokenKey,
    /// Whether a token without `exp` is refused.
    pub requires_expiry: bool,
}

/// By which key a token must be signed.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKey {
    /// None: whatever it says counts, which is fit for choosing a version and for nothing else.
    Unverified,
    /// This one.
    Known(JwtKey),
    /// One that a server publishes; the caller has fetched them ([`Facts::keys`]).
    Fetched {
        /// Which server.
        server: KeyServer,
        /// By which algorithms alone, if any are named.
        algorithms: Box<[Algorithm]>,
    },
}

impl TokenKey {
    /// One that this server publishes, for these algorithms alone, if any are named.
    ///
    /// # Errors
    /// One of them takes a secret: a server publishes public keys.
    pub fn fetched(server: KeyServer, algorithms: Vec<Algorithm>) -> Result<Self, String> {
        match algorithms.iter().find(|algorithm| algorithm.is_secret()) {
            Some(secret) => Err(format!(
                "`algorithm` names {}, which takes a secret, and a server publishes public keys: name RS256, ES256 or the like",
                secret.as_str()
            )),
            None => Ok(Self::Fetched { server, algorithms: algorithms.into() }),
        }
    }

    /// The server that publishes the keys.
    pub fn server(&self) -> Option<&KeyServer> {
        match self {
            Self::Fetched { server, .. } => Some(server),
            Self::Unverified | Self::Known(_) => None,
        }
    }
}

/// A request has no token that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none, there are two, or it is not signed as it must be, expired, or not valid yet.
    #[error("there is no valid token")]
    Invalid,
    /// It may be a good one: the keys have not been fetched yet.
    #[error("the keys that tokens are verified by have not been fetched yet")]
    KeysMissing,
}

impl Jwt {
    /// The claims of the request's token; `None` without one that counts.
    pub fn claims(&self, facts: &impl Facts) -> Option<Json> {
        self.verify(facts).ok()
    }

    /// The claims of the request's token.
    ///
    /// # Errors
    /// It has none that counts, or that cannot be known yet.
    pub fn verify(&self, facts: &impl Facts) -> Result<Json, TokenError> {
        let Some(Value::Text(text)) = only(&self.token, facts) else { return Err(TokenError::Invalid) };
        let bearer = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        let text = if bearer { &text[7..] } else { &text[..] };
        let text = std::str::from_utf8(text).ok().map(str::trim).filter(|text| text.len() <= MAX_BYTES);
        let (message, signature) = text.and_then(|text| text.rsplit_once('.')).ok_or(TokenError::Invalid)?;
        let (head, body) = message.split_once('.').ok_or(TokenError::Invalid)?;
        let signature = decoded(signature).ok_or(TokenError::Invalid)?;
        self.check_signature(head, message.as_bytes(), &signature, facts)?;
        let claims = json(body).ok_or(TokenError::Invalid)?;
        let is_current = self.is_current(&claims, facts.now() as f64).unwrap_or(false);
        let issuer = self.key.server().and_then(KeyServer::issuer);
        let is_issued = issuer.is_none_or(|issuer| claims.get("iss").and_then(Json::as_str) == Some(issuer));
        if is_current && is_issued { Ok(claims) } else { Err(TokenError::Invalid) }
    }

    fn check_signature(
        &self,
        head: &str,
        message: &[u8],
        signature: &[u8],
        facts: &impl Facts,
    ) -> Result<(), TokenError> {
        if self.key == TokenKey::Unverified {
            return Ok(());
        }
        let head = json(head).ok_or(TokenError::Invalid)?;
        let algorithm = head.get("alg").and_then(Json::as_str).ok_or(TokenError::Invalid)?;
        // Extensions that must be understood (RFC 7515, 4.1.11); we know of none.
        if head.get("crit").is_some() {
            return Err(TokenError::Invalid);
        }
        let is_good = match &self.key {
            TokenKey::Unverified => true,
            TokenKey::Known(key) => key.verifies(algorithm, message, signature),
            TokenKey::Fetched { server, algorithms } => {
                let algorithm = Algorithm::of_token(algorithm).ok_or(TokenError::Invalid)?;
                if !algorithms.is_empty() && !algorithms.contains(&algorithm) {
                    return Err(TokenError::Invalid);
                }
                let id = match head.get("kid") {
                    None => None,
                    Some(id) => Some(id.as_str().ok_or(TokenError::Invalid)?),
                };
                let keys = facts.keys(server, id).ok_or(TokenError::KeysMissing)?;
                keys.verifies((id, algorithm), !algorithms.is_empty(), message, signature)
            }
        };
        if is_good { Ok(()) } else { Err(TokenError::Invalid) }
    }

    /// Whether the token is valid now; `None`: what is there and is not a number says nothing that could be kept to.
    fn is_current(&self, claims: &Json, now: f64) -> Option<bool> {
        let time = |claim: &str| claims.get(claim).map_or(Some(None), |time| time.as_f64().map(Some));
        let (expiry, begin) = (time("exp")?, time("nbf")?);
        let expired = expiry.map_or(self.requires_expiry, |expiry| expiry <= now);
        let early = begin.is_some_and(|begin| begin > now);
        Some(!expired && !early)
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn json(part: &str) -> Option<Json> {
    serde_json::from_slice(&decoded(part)?).ok()
}

#[cfg(test)]
mod tests;
