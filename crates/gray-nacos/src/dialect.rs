//! Which request puts which question to the HTTP side of a server, and how its answer is read: the v1 API of Nacos 2.x and
//! r-nacos, and the v3 API of Nacos 3.x. Pure: [`http`](crate::http) sends them.
//!
//! | question | v1 | v3 |
//! |---|---|---|
//! | [`Ready`] | `console/health/readiness` | `admin/core/state/readiness`: the code counts, the status is 200 either way |
//! | [`login`] | `auth/login` | `auth/user/login`, else `v1/auth/login`; a wrong password may be 500 |
//! | [`Openness`] | `ns/service/list` without a token | `auth_enabled` of `admin/core/state` |
//! | [`Detail`] | `ns/instance` | `admin/ns/instance`, which needs the right to write; else [`Instances`] |
//! | [`Namespaces`], [`CreateNamespace`] | `console/namespaces` | `admin/core/namespace`, for administrators |
//! | [`ReadDocument`], [`WriteDocument`] | `cs/configs` | `admin/cs/config` |
//! | [`ReadBeta`], [`WriteBeta`], [`StopBeta`] | `cs/configs`, `beta=true` | `admin/cs/config/beta`; written as a document |

mod beta;
mod operator;
mod program;

use std::borrow::Cow;

use http::{Method, StatusCode};
use serde_json::Value;

pub use self::{
    beta::{Beta, ReadBeta, StopBeta, WriteBeta},
    operator::{CreateNamespace, DocumentPlace, Namespaces, ReadDocument, Ready, WriteDocument},
    program::{Detail, Instances, LoginReading, Openness, Token, login, read_login},
};

/// Longest text of a server's that is repeated.
const MAX_SAID: usize = 200;
/// Codes of v3 that say that there is no such document, namespace, instance or service.
const ABSENT: [i64; 3] = [20_004, 22_001, 30_000];

/// The version of the HTTP API that a server is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Nacos 2.x and r-nacos.
    V1,
    /// Nacos 3.0 and later, which answer most of v1 with 410, or 404.
    V3,
}

/// One request, below the context path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question<'a> {
    /// GET, POST or DELETE.
    pub method: Method,
    /// Without the context path and the slash in front.
    pub path: &'static str,
    /// In the body of a POST, else in the query.
    pub fields: Vec<(&'static str, Cow<'a, str>)>,
    /// What is said by a header.
    pub header: Option<(&'static str, Cow<'a, str>)>,
}

/// What a server answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: &'a [u8],
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading<T> {
    /// What was asked for.
    Is(T),
    /// There is no such thing.
    Absent,
    /// This user, or a client without one, has no right to know or do that; what the server says.
    Denied(String),
    /// The server does not have the path: it speaks another dialect, or below another context path.
    NoPath(String),
    /// The server failed (5xx), and may not the next time.
    Fault(String),
    /// Anything else, in short.
    Failed(String),
}

/// A question that both dialects can put.
pub trait Ask {
    /// What the answer says, if it is one.
    type Said;

    /// The request.
    fn question(&self, dialect: Dialect) -> Question<'_>;

    /// Reads the answer to that request.
    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<Self::Said>;
}

/// What the answer to [`probe`] says of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probed {
    /// 2.x, or another server that knows no v3.
    V1,
    /// 3.x, and why it is not ready, if it is not.
    V3(Option<String>),
    /// Neither is certain. It may be starting, or another server in front of it answers.
    Unclear(String),
}

/// Asks for what only 3.x has, and answers without a login in all its versions and settings.
pub fn probe() -> Question<'static> {
    Question::get("v3/admin/core/state/readiness", [])
}

/// Reads the answer to [`probe`].
pub fn probed(answer: Answer<'_>) -> Probed {
    match (answer.status, answer.json().as_ref().and_then(|json| json["code"].as_i64())) {
        (StatusCode::OK, Some(0)) => Probed::V3(None),
        (StatusCode::OK, Some(_)) => Probed::V3(Some(answer.said())),
        (StatusCode::NOT_FOUND, _) => Probed::V1,
        _ => Probed::Unclear(answer.said()),
    }
}

impl<'a> Question<'a> {
    fn get<const N: usize>(path: &'static str, fields: [(&'static str, &'a str); N]) -> Self {
        Self::new(Method::GET, path, fields)
    }

    fn post<const N: usize>(path: &'static str, fields: [(&'static str, &'a str); N]) -> Self {
        Self::new(Method::POST, path, fields)
    }

    fn new<const N: usize>(method: Method, path: &'static str, fields: [(&'static str, &'a str); N]) -> Self {
        Self { method, path, fields: fields.map(|(name, value)| (name, value.into())).into(), header: None }
    }
}

impl<'a> Answer<'a> {
    /// An answer as it came.
    pub fn new(status: StatusCode, body: &'a [u8]) -> Self {
        Self { status, body }
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice::<Value>(self.body).ok().filter(Value::is_object)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }

    /// Whether it refuses the caller rather than the request.
    fn is_denial(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// Whether the path itself is unknown, and not what was looked for by it: 3.0 and 3.1 answer v1 with 410, and all say 404 with the
    /// path in it.
    fn has_no_path(&self) -> bool {
        let names_path = || self.json().is_some_and(|json| json["path"].is_string() && json["code"].is_null());
        self.status == StatusCode::GONE || self.status == StatusCode::NOT_FOUND && names_path()
    }

    /// Status and message, short and on one line.
    pub fn said(&self) -> String {
        let json = self.json();
        let field = |name: &str| json.as_ref().and_then(|json| json[name].as_str()).unwrap_or_default().to_owned();
        let message = match &json {
            Some(_) => [field("message"), field("data")].into_iter().filter(|text| !text.is_empty()).collect(),
            None => vec![self.text()],
        };
        let message = message.join(", ");
        let message: String = message.trim().chars().take(MAX_SAID).filter(|char| !char.is_control()).collect();
        let code = json.as_ref().and_then(|json| json["code"].as_i64());
        let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
        let colon = if message.is_empty() { "" } else { ": " };
        format!("{}{code}{colon}{message}", self.status)
    }

    /// As v1 answers: the status says how it went, and the body is the text that was asked for.
    fn plain(&self) -> Reading<String> {
        match self.status {
            status if status.is_success() => Reading::Is(self.text()),
            _ if self.is_denial() => Reading::Denied(self.said()),
            _ if self.has_no_path() => Reading::NoPath(self.said()),
            StatusCode::NOT_FOUND => Reading::Absent,
            _ => self.failed(),
        }
    }

    /// As v3 answers: `{"code":0,"message":"success","data":...}`, of which the code counts.
    fn enveloped(&self) -> Reading<Value> {
        let json = self.json();
        match json.as_ref().and_then(|json| json["code"].as_i64()) {
            _ if self.is_denial() => Reading::Denied(self.said()),
            Some(0) if self.status.is_success() => {
                Reading::Is(json.map(|mut json| json["data"].take()).unwrap_or_default())
            }
            Some(code) if ABSENT.contains(&code) && !self.status.is_server_error() => Reading::Absent,
            None if self.has_no_path() => Reading::NoPath(self.said()),
            _ => self.failed(),
        }
    }

    fn failed<T>(&self) -> Reading<T> {
        let said = self.said();
        if self.status.is_server_error() { Reading::Fault(said) } else { Reading::Failed(said) }
    }
}

impl<T> Reading<T> {
    /// Reads on in what was said; `None` is not what was asked for.
    fn then<U>(self, answer: Answer<'_>, read: impl FnOnce(T) -> Option<U>) -> Reading<U> {
        match self {
            Self::Is(said) => {
                read(said).map_or_else(|| Reading::Failed(format!("not understood: {}", answer.said())), Reading::Is)
            }
            Self::Absent => Reading::Absent,
            Self::Denied(said) => Reading::Denied(said),
            Self::NoPath(said) => Reading::NoPath(said),
            Self::Fault(said) => Reading::Fault(said),
            Self::Failed(said) => Reading::Failed(said),
        }
    }
}

/// v3 names the built-in namespace, for which v1 has an empty ID.
fn named(namespace: &str) -> &str {
    if namespace.is_empty() { "public" } else { namespace }
}

#[cfg(test)]
mod tests;
