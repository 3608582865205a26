//! A rules document that is not in effect: read as if it were, together with the documents that are.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashSet},
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gray_document::{Documents, Problems, lasting::losses};
use serde_json::Value;

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
};
use crate::config::{GatewayConfig, RULES_DOCUMENT};

/// What the document takes from elsewhere is hidden in an answer when it has at least so many characters; a shorter text would
/// be found everywhere.
const SHORTEST_SECRET: usize = 6;

/// Answers with what `work` makes of the document, an object, and with the warnings about it; nothing is applied.
///
/// It takes a while, so it is done on a thread of its own ([`Judge`](super::judge::Judge)). What the document takes from elsewhere
/// does not come out: a client that may ask what rules do may not read the keys of the gateway by it.
///
/// # Errors
/// What is wrong with the document, without such values as well.
pub(super) async fn judge(
    admin: Admin,
    text: String,
    work: impl FnOnce(&Admin, &GatewayConfig) -> Value + Send + 'static,
) -> Result<Response, Refusal> {
    let judge = admin.judge.clone();
    let judged = judge.run(move || {
        let candidate = Candidate::read(&admin, &text)?;
        let mut body = hidden(work(&admin, &candidate.config), &candidate.secrets);
        body["warnings"] = candidate.warnings;
        Ok(fresh(body).into_response())
    });
    let broke_off = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "broke off; the log may say why");
    judged.await.unwrap_or_else(|| Err(broke_off()))
}

/// What the gateway would run with.
struct Candidate {
    config: GatewayConfig,
    /// Warnings about the document; they show no secret.
    warnings: Value,
    secrets: Vec<Secret>,
}

/// A text that must not be shown, and what is shown instead.
type Secret = (String, String);

impl Candidate {
    /// Reads the text in place of the rules document in effect.
    ///
    /// Its placeholders are looked up only where the document in effect has them, so that no client reads the
    /// environment by it; and only names that the documents in effect ask the environment for are looked up there at
    /// all.
    fn read(admin: &Admin, text: &str) -> Result<Self, Refusal> {
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
        let in_effect = Documents::parse_for(&documents.clone().collect::<Vec<_>>(), &admin.reading, &|name| {
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
            // First: it looks at the text on its own, and what that takes is gone again before the rest is read.
            let lasting = GatewayConfig::lasting(&admin.prefix);
            let lost = losses(&state.documents, RULES_DOCUMENT, text, &admin.reading, &lasting);
            let (of, reading) = (RULES_DOCUMENT, &admin.reading);
            let documents = Documents::parse_candidate(&sources, of, &in_effect, reading, &environment)?;
            let veiled = documents.veiled().map(|(raw, text)| (text.to_owned(), raw.to_owned()));
            secrets.borrow_mut().extend(veiled);
            let config = GatewayConfig::read(&documents, &admin.prefix);
            let mut problems = documents.take_problems();
            problems.extend(lost);
            Ok((config, problems.into_result()?))
        };
        let outcome = read();
        let secrets: Vec<_> = secrets.into_inner().into_iter().flat_map(as_written).collect();
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
}

/// The secret in each form that messages write it in: as it is, on one line, and as a quoted text.
fn as_written((text, instead): Secret) -> impl Iterator<Item = Secret> {
    let one_line = |c: char| if c.is_control() { c.escape_debug().collect() } else { String::from(c) };
    let quoted: String = text.chars().flat_map(char::escape_debug).collect();
    let is_long = text.chars().count() >= SHORTEST_SECRET;
    let forms = BTreeSet::from([
        text.chars().map(one_line).collect(),
        quoted.replace("\\\"", "\"").replace("\\'", "'"),
        quoted,
        text.escape_debug().to_string(),
        text,
    ]);
    { forms }.into_iter().filter(move |_| is_long).map(move |form| (form, instead.clone()))
}

fn hidden(value: Value, secrets: &[Secret]) -> Value {
    match value {
        Value::String(text) => Value::String(without(&text, secrets)),
        Value::Array(values) => values.into_iter().map(|value| hidden(value, secrets)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, hidden(value, secrets))).collect(),
        value => value,
    }
}

/// The text without the secrets, in any case, and without beginnings of them: messages are cut.
fn without(text: &str, secrets: &[Secret]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // Of forms of one secret, some are the beginning of another one: what is longest leaves nothing of it.
        let longest = secrets.iter().map(|(secret, instead)| (common(rest, secret), instead)).max();
        match longest {
            Some(((count, end), instead)) if count >= SHORTEST_SECRET => {
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

/// How many characters at the beginning of the text are those of the secret, and where in the text they end.
fn common(text: &str, secret: &str) -> (usize, usize) {
    let pairs = text.char_indices().zip(secret.chars());
    let same = pairs.take_while(|((_, one), two)| one.eq_ignore_ascii_case(two));
    same.fold((0, 0), |(count, _), ((at, c), _)| (count + 1, at + c.len_utf8()))
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
        assert_eq!(without("杭州 s3cre", &secrets), "杭州 s3cre", "too short to tell anything");
        assert_eq!(as_written(("杭州杭州".into(), "${KEY}".into())).count(), 0, "too short to be found");
    }

    #[test]
    fn nor_does_it_in_the_ways_that_messages_write_it() {
        let secret = "begins \\ goes\ton \"and\" it's\u{301} its end";
        let secrets: Vec<_> = as_written((secret.into(), "${KEY}".into())).collect();
        let quoted: String = secret.chars().flat_map(char::escape_debug).collect();
        for written in [
            secret.to_owned(),
            secret.replace('\t', "\\t"),
            secret.escape_debug().to_string(),
            quoted.replace("\\\"", "\"").replace("\\'", "'"),
            quoted,
        ] {
            assert_eq!(without(&format!("is `{written}`!"), &secrets), "is `${KEY}`!", "{written}");
            let cut: String = written.chars().take(20).collect();
            assert_eq!(without(&format!("is `{cut}…`"), &secrets), "is `${KEY}…`", "{cut}");
        }
    }
}
