//! JSON Web Tokens (RFC 7519) as facts.

mod der;
mod key;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value as Json;

use super::{Facts, Source, Value, source::only};

pub use key::{Algorithm, InvalidKey, JwtKey};

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
    /// Whether a token without `exp` is refused.
    pub requires_expiry: bool,
}

impl Jwt {
    /// The claims of the request's token; `None` without one, with two, or when it is not one, not signed as it must be,
    /// expired, or not valid yet.
    pub fn claims(&self, facts: &impl Facts) -> Option<Json> {
        let Value::Text(text) = only(&self.token, facts)? else { return None };
        let bearer = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        let text = if bearer { &text[7..] } else { &text[..] };
        let text = std::str::from_utf8(text).ok().map(str::trim).filter(|text| text.len() <= MAX_BYTES)?;
        let (message, signature) = text.rsplit_once('.')?;
        let (head, body) = message.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| serde_json::from_slice::<Json>(&decoded(part)?).ok();
        let signature = decoded(signature)?;
        if let Some(key) = &self.key {
            let head = json(head)?;
            // Extensions that must be understood (RFC 7515, 4.1.11); we know of none.
            if head.get("crit").is_some() || !key.verifies(head.get("alg")?.as_str()?, message.as_bytes(), &signature) {
                return None;
            }
        }
        let claims = json(body)?;
        // What is there and no number says nothing that could be kept to.
        let time = |claim: &str| claims.get(claim).map_or(Some(None), |time| time.as_f64().map(Some));
        let (expiry, begin, now) = (time("exp")?, time("nbf")?, facts.now() as f64);
        let expired = expiry.map_or(self.requires_expiry, |expiry| expiry <= now);
        let early = begin.is_some_and(|begin| begin > now);
        (!expired && !early).then_some(claims)
    }
}

#[cfg(test)]
mod tests;
