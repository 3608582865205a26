//! Who may pass: requests with a good token.

use gray_document::Item;
use gray_rules::{Algorithm, Facts, Jwt, JwtKey, KeyServer, Source, TokenError, TokenKey};

use crate::{
    definition::{Definition, Value, relaxed, truth},
    text::quoted,
};

/// Where Spring's resource server reads by what it verifies tokens: for a filter that names no key.
const SPRING: &str = "spring.security.oauth2.resourceserver.jwt";

/// The filter `JsonWebToken`: who has no good token is answered 401.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCheck {
    jwt: Jwt,
    issuer: Option<Box<str>>,
    /// One of these; none: any.
    audiences: Box<[Box<str>]>,
    claim: Box<str>,
}

impl TokenCheck {
    /// Whose request it is, by a token that is good: signed, in time, from whom and for whom it has to be.
    ///
    /// # Errors
    /// It has none, or that cannot be known yet.
    pub fn user(&self, facts: &impl Facts) -> Result<String, TokenError> {
        let claims = self.jwt.verify(facts)?;
        let says = |claim: &str, expected: &str| match claims.get(claim) {
            Some(serde_json::Value::String(text)) => text == expected,
            Some(serde_json::Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(expected)),
            _ => false,
        };
        let fits = self.issuer.as_deref().is_none_or(|issuer| says("iss", issuer))
            && (self.audiences.is_empty() || self.audiences.iter().any(|audience| says("aud", audience)));
        match claims.get(&*self.claim) {
            Some(serde_json::Value::String(user)) if fits && !user.is_empty() => Ok(user.clone()),
            Some(serde_json::Value::Number(user)) if fits => Ok(user.to_string()),
            _ => Err(TokenError::Invalid),
        }
    }

    /// The parameter of a query that holds the token, if it is there.
    pub(super) fn query(&self) -> Option<&str> {
        if let Source::Query(name) = &self.jwt.token { Some(name) } else { None }
    }

    /// The server whose keys tokens are verified by.
    pub fn key_server(&self) -> Option<&KeyServer> {
        self.jwt.key.server()
    }

    pub(super) fn read(mut definition: Definition<'_>) -> Option<Self> {
        let (mut algorithms, mut audiences) = (definition.take("algorithm", None), Vec::new());
        for name in ["audience", "audiences", "aud"] {
            audiences.extend(definition.take(name, None));
        }
        let parameters = [
            ("key", [].as_slice()),
            ("token", &[]),
            ("issuer", &["iss"]),
            ("audience", &[]),
            ("userClaim", &["user"]),
            ("requireExp", &[]),
            ("algorithm", &[]),
            ("jwks-uri", &["jwkSetUri"]),
            ("issuer-uri", &[]),
        ];
        let [key, token, issuer, audience, claim, requires_expiry, algorithm, key_set, issuer_uri] =
            definition.bind(parameters, 0)?;
        // In their places, not by name.
        algorithms.extend(algorithm);
        audiences.extend(audience);
        let mut stated = Stated { key, key_set, issuer: issuer_uri, algorithms, audiences };
        if stated.is_keyless() {
            stated = stated.of_spring(&definition)?;
        }
        // What checks tokens in Java has its counterpart, whatever this filter takes of it.
        let settings = definition.at.root().section(SPRING);
        for (key, _) in settings.peek_keys() {
            settings.has(&key);
        }
        let requires_expiry = requires_expiry.map_or(Some(false), |value| value.convert(truth))?;
        let token = token.map_or(Some(Source::Header(http::header::AUTHORIZATION)), |token| {
            token.convert(|text| match text.split_once('.') {
                Some(("header", name)) => name.parse().map(Source::Header).map_err(|_| not_a_place(text)),
                Some(("cookie", name)) => Ok(Source::Cookie(name.into())),
                Some(("query", name)) => Ok(Source::Query(name.into())),
                _ => Err(not_a_place(text)),
            })
        })?;
        let text = |value: &Value<'_>| Box::from(value.text.trim());
        let claim = claim.as_ref().map_or_else(|| "sub".into(), text);
        let issuer = match (&issuer, &stated.issuer) {
            (Some(issuer), Some(stated)) if issuer.text.trim() != stated.text.trim() => {
                issuer.at.error("is not what `issuer-uri` says, and a token has one issuer: leave `issuer` out");
                return None;
            }
            (issuer, stated) => issuer.as_ref().or(stated.as_ref()).map(text),
        };
        let audiences = stated.audiences.iter().map(text).collect();
        Some(Self { jwt: Jwt { token, key: stated.key(&definition)?, requires_expiry }, issuer, audiences, claim })
    }
}

/// What a filter says of keys, or `spring.security` in its place.
struct Stated<'d> {
    key: Option<Value<'d>>,
    key_set: Option<Value<'d>>,
    issuer: Option<Value<'d>>,
    algorithms: Vec<Value<'d>>,
    audiences: Vec<Value<'d>>,
}

impl<'d> Stated<'d> {
    fn is_keyless(&self) -> bool {
        self.key.is_none() && self.key_set.is_none() && self.issuer.is_none()
    }

    /// What Spring's resource server goes by, with what the filter says itself.
    fn of_spring(self, definition: &Definition<'d>) -> Option<Self> {
        let settings = definition.at.root().section(SPRING);
        let value = |name: &str| {
            let (_, at) = settings.peek_keys().into_iter().find(|(key, _)| relaxed(key) == relaxed(name))?;
            settings.has(name);
            let text = at.text()?;
            (!text.trim().is_empty()).then_some(Value { text: text.into(), at })
        };
        let values = |name: &str, own: Vec<Value<'d>>| {
            let text = |at: Item<'d>| Some(Value { text: at.text()?.into(), at });
            if own.is_empty() { settings.items(name).into_iter().filter_map(text).collect() } else { own }
        };
        let found = Self {
            key: None,
            key_set: value("jwk-set-uri"),
            issuer: value("issuer-uri"),
            algorithms: values("jws-algorithms", self.algorithms),
            audiences: values("audiences", self.audiences),
        };
        if found.is_keyless() {
            definition.at.error(format!(
                "JsonWebToken needs `key`, `jwks-uri` or `issuer-uri`, or {SPRING} with jwk-set-uri or issuer-uri"
            ));
            return None;
        }
        Some(found)
    }

    fn key(&self, definition: &Definition<'d>) -> Option<TokenKey> {
        let algorithms: Option<Vec<Algorithm>> =
            self.algorithms.iter().map(|value| value.convert(|text| text.parse())).collect();
        let algorithms = algorithms?;
        let (at, server) = match (&self.key, &self.key_set, &self.issuer) {
            (Some(key), None, None) => {
                let key = key.convert(|text| JwtKey::new(text, &algorithms).map_err(|error| error.to_string()))?;
                return Some(TokenKey::Known(key));
            }
            (None, Some(at), _) => {
                (at, at.convert(|text| KeyServer::key_set_at(text).map_err(|error| error.to_string()))?)
            }
            (None, None, Some(at)) => {
                (at, at.convert(|text| KeyServer::issuer_of(text).map_err(|error| error.to_string()))?)
            }
            (Some(_), _, _) => {
                definition
                    .at
                    .error("a token is verified by `key` or by fetched keys (`jwks-uri`, `issuer-uri`): set one");
                return None;
            }
            (None, None, None) => return None,
        };
        at.convert(|_| TokenKey::fetched(server, algorithms))
    }
}

fn not_a_place(text: &str) -> String {
    format!("expected header.NAME, cookie.NAME or query.NAME, found {}", quoted(text))
}
