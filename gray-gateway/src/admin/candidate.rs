//! A rules document that is not in effect: read as if it were, together with the documents that are.

use std::{cell::RefCell, collections::HashSet};

use axum::http::StatusCode;
use gray_common::document::{Documents, Problems};
use serde_json::Value;

use super::{
    Admin,
    answer::{Refusal, json_of},
};
use crate::{app::RULES_DOCUMENT, control::GatewayConfig};

/// What the document takes from elsewhere is hidden in an answer when it is at least so long; a shorter text would be found
/// everywhere.
const SHORTEST_SECRET: usize = 6;

/// What the gateway would run with.
pub(super) struct Candidate {
    pub(super) config: GatewayConfig,
    /// Warnings about the document.
    pub(super) warnings: Value,
    secrets: Vec<Secret>,
}

/// A text that must not be shown, and what is shown instead.
type Secret = (String, String);

impl Candidate {
    /// Reads the text in place of the rules document in effect. Takes a while for a long one.
    ///
    /// Its placeholders are looked up only where the document in effect has them, so that no client reads the
    /// environment by it; and only names that the documents in effect ask the environment for are looked up there at
    /// all.
    pub(super) fn read(admin: &Admin, text: &str) -> Result<Self, Refusal> {
        let state = admin.settings.borrow().clone();
        let unknown = || {
            let message = "the gateway has no configuration yet to combine the document with; /readyz says why";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
        };
        if state.current.is_none() {
            return Err(unknown());
        }
        let documents = state.documents.iter().map(|(name, text)| (&**name, &**text));
        let asked = RefCell::new(HashSet::new());
        let in_effect = Documents::parse(&documents.clone().collect::<Vec<_>>(), &|name| {
            asked.borrow_mut().insert(name.to_owned());
            std::env::var(name).ok()
        });
        let in_effect = in_effect.map_err(|_| unknown())?;
        let asked = asked.into_inner();
        let secrets = RefCell::new(Vec::new());
        let environment = |name: &str| {
            let value = std::env::var(name).ok().filter(|_| asked.contains(name))?;
            secrets.borrow_mut().push((value.clone(), format!("${{{name}}}")));
            Some(value)
        };
        let others = documents.filter(|(name, _)| *name != RULES_DOCUMENT);
        let sources: Vec<_> = others.chain([(RULES_DOCUMENT, text)]).collect();
        let read = || -> Result<_, Problems> {
            let documents = Documents::parse_candidate(&sources, RULES_DOCUMENT, &in_effect, &environment)?;
            let veiled = documents.veiled().map(|(raw, text)| (text.to_owned(), raw.to_owned()));
            secrets.borrow_mut().extend(veiled);
            let config = GatewayConfig::read(&documents, &admin.prefix);
            Ok((config, documents.take_problems().into_result()?))
        };
        let outcome = read();
        let secrets: Vec<_> =
            secrets.into_inner().into_iter().filter(|(text, _)| text.len() >= SHORTEST_SECRET).collect();
        match outcome {
            Ok((config, problems)) => {
                let ours = problems.warnings().filter(|problem| *problem.origin.document == *RULES_DOCUMENT);
                let warnings = hidden(ours.map(json_of).collect(), &secrets);
                Ok(Self { config, warnings, secrets })
            }
            Err(problems) => {
                let listed = problems.errors().chain(problems.warnings()).map(json_of).collect();
                let refusal = Refusal::bad(format!("{RULES_DOCUMENT} would be refused"));
                Err(refusal.with("problems", hidden(listed, &secrets)))
            }
        }
    }

    /// The value without what the document takes from elsewhere: a client that may ask what rules do may not read
    /// the keys of the gateway by it.
    pub(super) fn hide(&self, value: Value) -> Value {
        hidden(value, &self.secrets)
    }
}

fn hidden(value: Value, secrets: &[Secret]) -> Value {
    match value {
        Value::String(text) => {
            Value::String(secrets.iter().fold(text, |text, (secret, instead)| without(&text, secret, instead)))
        }
        Value::Array(values) => values.into_iter().map(|value| hidden(value, secrets)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, hidden(value, secrets))).collect(),
        value => value,
    }
}

/// The text without the secret, in any case, and without a beginning of it: messages are cut.
fn without(text: &str, secret: &str, instead: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let pairs = rest.char_indices().zip(secret.chars());
        let same = pairs.take_while(|((_, one), two)| one.eq_ignore_ascii_case(two));
        match same.map(|((at, c), _)| at + c.len_utf8()).enumerate().last() {
            Some((count, end)) if count + 1 >= SHORTEST_SECRET => {
                out.push_str(instead);
                rest = &rest[end..];
            }
            _ => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_from_the_environment_does_not_come_out() {
        let secrets = [("s3cret-of-the-gateway".to_owned(), "${KEY}".to_owned())];
        let value = json!({ "a": ["no lane `s3cret-of-the-gateway`", "cut `s3cret-of-t…`", "is `S3CRET-of-the-gateway`!"], "b": 1 });
        let expect = json!({ "a": ["no lane `${KEY}`", "cut `${KEY}…`", "is `${KEY}`!"], "b": 1 });
        assert_eq!(hidden(value, &secrets), expect);
        assert_eq!(
            without("杭州 s3cre", "s3cret-of-the-gateway", "${KEY}"),
            "杭州 s3cre",
            "too short to tell anything"
        );
    }
}
