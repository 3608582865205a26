//! What the programs of a chain ask: a token, and what gRPC does not tell.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Ask, Dialect, Question, Reading, named};

/// How 3.0 and 3.1 answer a wrong password at the path of v1.
const COMPATIBILITY: &str = "Handle API Compatibility failed";

/// A token, and for how long it is good.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Token {
    /// What is shown with every request.
    #[serde(rename = "accessToken")]
    pub text: String,
    /// In seconds; 0 when the server does not say.
    #[serde(default, rename = "tokenTtl")]
    pub good_for: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("good_for", &self.good_for).finish_non_exhaustive()
    }
}

/// What a login came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoginReading {
    /// The user is let in.
    In(Token),
    /// The user is not, and how that is said.
    Refused(String),
    /// The user is not, or the server failed: 3.0 and 3.1 answer a wrong password as they answer their own faults.
    Doubtful(String),
    /// There is no login at this path.
    NoPath(String),
    /// The server failed.
    Failed(String),
}

impl Dialect {
    /// Where a login is tried, in this order.
    pub fn login_paths(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["v1/auth/login"],
            Self::V3 => &["v3/auth/user/login", "v1/auth/login"],
        }
    }
}

/// A login at one of [`login_paths`](Dialect::login_paths).
pub fn login<'a>(path: &'static str, username: &'a str, password: &'a str) -> Question<'a> {
    Question::post(path, [("username", username), ("password", password)])
}

/// Reads the answer to [`login`]. No text of it repeats what was sent.
pub fn read_login(dialect: Dialect, answer: Answer<'_>) -> LoginReading {
    let status = answer.status;
    if status.is_success() {
        return match serde_json::from_slice::<Token>(answer.body) {
            Ok(token) if !token.text.is_empty() => LoginReading::In(token),
            _ => LoginReading::Failed(format!("the answer is {status}, without a token")),
        };
    }
    match status.as_u16() {
        404 | 405 | 410 => LoginReading::NoPath(status.to_string()),
        400..500 => LoginReading::Refused(status.as_str().to_owned()),
        500 if dialect == Dialect::V3 && is_mapped_fault(answer) => LoginReading::Doubtful(status.as_str().to_owned()),
        _ => LoginReading::Failed(format!("the answer is {status}, without a token")),
    }
}

/// Whether Nacos itself says so, and nothing in front of it.
fn is_mapped_fault(answer: Answer<'_>) -> bool {
    answer.json().is_some_and(|json| json["status"] == 500) || answer.text().starts_with(COMPATIBILITY)
}

/// Whether clients without a user are let in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Openness<'a> {
    /// Namespace ID.
    pub namespace: &'a str,
}

impl<'a> Openness<'a> {
    /// Asks for this namespace.
    pub fn of(namespace: &'a str) -> Self {
        Self { namespace }
    }
}

impl Ask for Openness<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        match dialect {
            Dialect::V1 => Question::get(
                "v1/ns/service/list",
                [("pageNo", "1"), ("pageSize", "1"), ("namespaceId", self.namespace)],
            ),
            Dialect::V3 => Question::get("v3/admin/core/state", []),
        }
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        match dialect {
            Dialect::V1 => answer.plain().then(answer, |_| Some(true)),
            Dialect::V3 => answer.enveloped().then(answer, |state| match &state["auth_enabled"] {
                Value::String(text) => text.parse::<bool>().ok().map(|guarded| !guarded),
                Value::Bool(guarded) => Some(!guarded),
                _ => None,
            }),
        }
    }
}

/// Whether there is an instance, listed or disabled.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Detail<'a> {
    /// Namespace ID.
    pub namespace: &'a str,
    /// Group of the service.
    pub group: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Cluster of the instance.
    pub cluster: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its port.
    pub port: &'a str,
}

impl<'a> Detail<'a> {
    /// Asks for the instance at `host:port`.
    pub fn of([namespace, group, cluster]: [&'a str; 3], service: &'a str, (host, port): (&'a str, &'a str)) -> Self {
        Self { namespace, group, service, cluster, host, port }
    }
}

impl Ask for Detail<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        let Self { namespace, group, service, cluster, host, port } = *self;
        let fields = [("serviceName", service), ("groupName", group), ("ip", host), ("port", port)];
        let (path, namespace) = match dialect {
            Dialect::V1 => ("v1/ns/instance", namespace),
            Dialect::V3 => ("v3/admin/ns/instance", named(namespace)),
        };
        let mut question = Question::get(path, fields);
        question.fields.extend([("namespaceId", namespace.into()), ("clusterName", cluster.into())]);
        if dialect == Dialect::V1 {
            question.fields.push(("cluster", cluster.into()));
        }
        question
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        match dialect {
            // What is not there has had several statuses.
            Dialect::V1 => match answer.plain() {
                Reading::Absent | Reading::Fault(_) | Reading::Failed(_) => Reading::Is(false),
                other => other.then(answer, |_| Some(true)),
            },
            Dialect::V3 => match answer.enveloped() {
                Reading::Absent => Reading::Is(false),
                other => other.then(answer, |_| Some(true)),
            },
        }
    }
}

/// The same by the list with the disabled ones, for which the right to read will do. Only v3 has it.
#[derive(Clone, Copy, Debug)]
pub struct Instances<'a>(pub Detail<'a>);

impl Ask for Instances<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        let Detail { namespace, group, service, cluster, .. } = self.0;
        match dialect {
            Dialect::V1 => self.0.question(dialect),
            Dialect::V3 => Question::get(
                "v3/admin/ns/instance/list",
                [
                    ("serviceName", service),
                    ("groupName", group),
                    ("namespaceId", named(namespace)),
                    ("clusterName", cluster),
                ],
            ),
        }
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        if dialect == Dialect::V1 {
            return self.0.read(dialect, answer);
        }
        let is_it = |listed: &Value| {
            listed["ip"] == self.0.host && listed["port"].as_u64().is_some_and(|port| port.to_string() == self.0.port)
        };
        match answer.enveloped() {
            Reading::Absent => Reading::Is(false),
            other => other.then(answer, |list| list.as_array().map(|list| list.iter().any(is_it))),
        }
    }
}
