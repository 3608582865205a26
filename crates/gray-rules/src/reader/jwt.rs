//! `gray.jwt`: where tokens are, and by which key they must be signed.

use std::sync::Arc;

use gray_document::Section;

use super::source::parse_source;
use crate::{Algorithm, Jwt, JwtKey, KeyServer, Source, TokenKey};

/// Reads it; `None` when it is not there, or when it is not known where tokens are.
pub(super) fn read(section: &Section<'_>) -> Option<Arc<Jwt>> {
    if !section.exists() {
        return None;
    }
    let token = section.string("token").unwrap_or_else(|| "header.authorization".to_owned());
    let token = match parse_source(&token) {
        Some(source @ (Source::Header(_) | Source::Cookie(_) | Source::Query(_))) => source,
        _ => {
            section.error("token", "expected header.NAME, cookie.NAME or query.NAME");
            return None;
        }
    };
    let key = key(section);
    let requires_expiry = section.bool("require-exp").unwrap_or(false);
    Some(Arc::new(Jwt { token, key, requires_expiry }))
}

fn key(section: &Section<'_>) -> TokenKey {
    let named = section.items("algorithm");
    let algorithms = named.iter().filter_map(|item| {
        let algorithm = item.required_text("an algorithm such as RS256")?.parse();
        algorithm.map_err(|error: String| item.error(error)).ok()
    });
    let algorithms: Vec<Algorithm> = algorithms.collect();
    // Where an algorithm is wrong, that is said, and not what the key is without it.
    let is_complete = algorithms.len() == named.len();
    let [key, key_set, issuer] = ["key", "jwks-uri", "issuer-uri"].map(|name| section.string(name));
    let read = match (key, key_set, issuer) {
        (None, None, None) => {
            section.warn(
                "key",
                "no key: tokens are not verified, so any client can claim to be any user; set `key`, `jwks-uri` or `issuer-uri`",
            );
            return TokenKey::Unverified;
        }
        (Some(text), None, None) if is_complete => {
            JwtKey::new(&text, &algorithms).map(TokenKey::Known).map_err(|error| ("key", error.to_string()))
        }
        (None, Some(text), None) if is_complete => KeyServer::key_set_at(&text)
            .map_err(|error| error.to_string())
            .and_then(|server| TokenKey::fetched(server, algorithms))
            .map_err(|error| ("jwks-uri", error)),
        (None, None, Some(text)) if is_complete => KeyServer::issuer_of(&text)
            .map_err(|error| error.to_string())
            .and_then(|server| TokenKey::fetched(server, algorithms))
            .map_err(|error| ("issuer-uri", error)),
        (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => return TokenKey::Unverified,
        (_, second, third) => {
            let surplus = if third.is_some() { "issuer-uri" } else { "jwks-uri" };
            debug_assert!(second.is_some() || third.is_some());
            Err((surplus, "set one of `key`, `jwks-uri` and `issuer-uri`: a token is verified by one of them".into()))
        }
    };
    // With an error the document is refused whole.
    read.unwrap_or_else(|(key, reason)| {
        section.error(key, reason);
        TokenKey::Unverified
    })
}
