//! Who may pass: requests with a good token.

use gray_rules::{Algorithm, Facts, Jwt, JwtKey, Source};

use crate::{
    definition::{Definition, Value, truth},
    text::quoted,
};

/// The filter `JsonWebToken`: who has no good token is answered 401.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCheck {
    jwt: Jwt,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    claim: Box<str>,
}

impl TokenCheck {
    /// Whose request it is, by a token that is good: signed, in time, from whom and for whom it has to be.
    pub fn user(&self, facts: &impl Facts) -> Option<String> {
        let claims = self.jwt.claims(facts)?;
        let says = |claim: &str, expected: &str| match claims.get(claim) {
            Some(serde_json::Value::String(text)) => text == expected,
            Some(serde_json::Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(expected)),
            _ => false,
        };
        let fits = self.issuer.as_deref().is_none_or(|issuer| says("iss", issuer))
            && self.audience.as_deref().is_none_or(|audience| says("aud", audience));
        match claims.get(&*self.claim)? {
            serde_json::Value::String(user) if fits && !user.is_empty() => Some(user.clone()),
            serde_json::Value::Number(user) if fits => Some(user.to_string()),
            _ => None,
        }
    }

    /// The parameter of a query that holds the token, if it is there.
    pub(super) fn query(&self) -> Option<&str> {
        if let Source::Query(name) = &self.jwt.token { Some(name) } else { None }
    }

    pub(super) fn read(mut definition: Definition<'_>) -> Option<Self> {
        let mut algorithms = definition.take("algorithm", None);
        let parameters = [
            ("key", [].as_slice()),
            ("token", &[]),
            ("issuer", &["iss"]),
            ("audience", &["aud"]),
            ("userClaim", &["user"]),
            ("requireExp", &[]),
            ("algorithm", &[]),
        ];
        let [key, token, issuer, audience, claim, requires_expiry, algorithm] = definition.bind(parameters, 1)?;
        // In its place, not by name.
        algorithms.extend(algorithm);
        let algorithms: Option<Vec<Algorithm>> =
            algorithms.iter().map(|value| value.convert(|text| text.parse())).collect();
        let algorithms = algorithms?;
        let key = key?.convert(|text| JwtKey::new(text, &algorithms).map_err(|error| error.to_string()))?;
        let requires_expiry = requires_expiry.map_or(Some(false), |value| value.convert(truth))?;
        let token = token.map_or(Some(Source::Header(http::header::AUTHORIZATION)), |token| {
            token.convert(|text| match text.split_once('.') {
                Some(("header", name)) => name.parse().map(Source::Header).map_err(|_| not_a_place(text)),
                Some(("cookie", name)) => Ok(Source::Cookie(name.into())),
                Some(("query", name)) => Ok(Source::Query(name.into())),
                _ => Err(not_a_place(text)),
            })
        })?;
        let text = |value: Option<Value<'_>>| value.map(|value| Box::from(value.text.trim()));
        let claim = text(claim).unwrap_or_else(|| "sub".into());
        Some(Self {
            jwt: Jwt { token, key: Some(key), requires_expiry },
            issuer: text(issuer),
            audience: text(audience),
            claim,
        })
    }
}

fn not_a_place(text: &str) -> String {
    format!("expected header.NAME, cookie.NAME or query.NAME, found {}", quoted(text))
}
