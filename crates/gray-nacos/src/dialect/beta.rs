//! Documents that Nacos publishes to some addresses first ("beta", gray publish).

use std::net::IpAddr;

use http::Method;
use serde_json::Value;

use super::{
    Answer, Ask, Dialect, DocumentPlace, Question, Reading,
    operator::{accepted, format_of},
};

/// A text that some addresses get instead of the one for all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beta {
    /// The text.
    pub text: String,
    /// Who gets it, as Nacos has it: addresses separated by commas.
    pub addresses: String,
}

impl Beta {
    /// This text for these addresses.
    pub fn new(text: impl Into<String>, addresses: impl Into<String>) -> Self {
        Self { text: text.into(), addresses: addresses.into() }
    }

    /// Whether this address gets it.
    pub fn is_for(&self, address: &str) -> bool {
        self.addresses.split(',').any(|given| given.trim() == address)
    }
}

/// What is published as beta.
#[derive(Clone, Copy, Debug)]
pub struct ReadBeta<'a>(pub DocumentPlace<'a>);

impl Ask for ReadBeta<'_> {
    type Said = Beta;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        of_beta(Method::GET, self.0, dialect)
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<Beta> {
        let beta = |data: &Value| {
            let addresses = [&data["betaIps"], &data["grayRule"]].into_iter().find_map(Value::as_str)?;
            Some(Beta::new(data["content"].as_str()?, addresses_in(addresses)))
        };
        match result(dialect, answer) {
            Reading::Is(Value::Null) => Reading::Absent,
            data => data.then(answer, |data| beta(&data)),
        }
    }
}

/// Publishes a text to these addresses alone; `false`: the server did not.
#[derive(Clone, Copy, Debug)]
pub struct WriteBeta<'a> {
    /// Which document.
    pub place: DocumentPlace<'a>,
    /// Its text for them.
    pub text: &'a str,
    /// Whom.
    pub addresses: &'a [IpAddr],
}

impl Ask for WriteBeta<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        let mut question = Question::post(DocumentPlace::path(dialect), self.place.fields(dialect));
        question.fields.extend([("content", self.text.into()), ("type", format_of(self.place.name).into())]);
        let addresses: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        question.header = Some(("betaIps", addresses.join(",").into()));
        question
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        accepted(dialect, answer)
    }
}

/// Ends the beta of a document: all get the same text again.
#[derive(Clone, Copy, Debug)]
pub struct StopBeta<'a>(pub DocumentPlace<'a>);

impl Ask for StopBeta<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        of_beta(Method::DELETE, self.0, dialect)
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        result(dialect, answer).then(answer, |data| data.as_bool())
    }
}

fn of_beta(method: Method, place: DocumentPlace<'_>, dialect: Dialect) -> Question<'_> {
    let mut question = Question::new(method, DocumentPlace::path(dialect), place.fields(dialect));
    match dialect {
        Dialect::V1 => question.fields.push(("beta", "true".into())),
        Dialect::V3 => question.path = "v3/admin/cs/config/beta",
    }
    question
}

/// v1 has an envelope here as well, in which 200 is what 0 is in v3.
fn result(dialect: Dialect, answer: Answer<'_>) -> Reading<Value> {
    match dialect {
        Dialect::V1 => answer.plain().then(answer, |text| {
            let mut json: Value = serde_json::from_str(&text).ok()?;
            (json["code"] == 200).then(|| json["data"].take())
        }),
        Dialect::V3 => answer.enveloped(),
    }
}

/// 3.x may put them into a rule: `{"type":"beta","expr":"10.0.0.7,10.0.0.8",...}`.
fn addresses_in(said: &str) -> String {
    let rule = serde_json::from_str::<Value>(said).ok();
    rule.as_ref().and_then(|rule| rule["expr"].as_str()).unwrap_or(said).to_owned()
}
