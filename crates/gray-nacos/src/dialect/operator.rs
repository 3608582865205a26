//! What an operator's tool asks: is it ready, namespaces, documents.

use serde_json::Value;

use super::{Answer, Ask, Dialect, Question, Reading, named};

/// Whether the server is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready;

impl Ask for Ready {
    type Said = ();

    fn question(&self, dialect: Dialect) -> Question<'_> {
        match dialect {
            Dialect::V1 => Question::get("v1/console/health/readiness", []),
            Dialect::V3 => super::probe(),
        }
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<()> {
        match dialect {
            Dialect::V1 => answer.plain().then(answer, |_| Some(())),
            Dialect::V3 => answer.enveloped().then(answer, |_| Some(())),
        }
    }
}

/// The IDs of all namespaces. For administrators, of 3.x at least.
#[derive(Clone, Copy, Debug)]
pub struct Namespaces;

impl Ask for Namespaces {
    type Said = Vec<String>;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        match dialect {
            Dialect::V1 => Question::get("v1/console/namespaces", []),
            Dialect::V3 => Question::get("v3/admin/core/namespace/list", []),
        }
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<Vec<String>> {
        let ids = |list: &Value| -> Option<Vec<String>> {
            list.as_array()?.iter().map(|entry| entry["namespace"].as_str().map(str::to_owned)).collect()
        };
        match dialect {
            Dialect::V1 => answer.plain().then(answer, |text| ids(&serde_json::from_str::<Value>(&text).ok()?["data"])),
            Dialect::V3 => answer.enveloped().then(answer, |list| ids(&list)),
        }
    }
}

/// Makes a namespace whose name is its ID; `false`: the server did not.
#[derive(Clone, Copy, Debug)]
pub struct CreateNamespace<'a>(pub &'a str);

impl Ask for CreateNamespace<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        let (path, id) = match dialect {
            Dialect::V1 => ("v1/console/namespaces", "customNamespaceId"),
            Dialect::V3 => ("v3/admin/core/namespace", "namespaceId"),
        };
        Question::post(path, [(id, self.0), ("namespaceName", self.0), ("namespaceDesc", "gray-chain")])
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        accepted(dialect, answer)
    }
}

/// Where a document is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DocumentPlace<'a> {
    /// Namespace ID; empty for the built-in one.
    pub namespace: &'a str,
    /// Its group.
    pub group: &'a str,
    /// Its data ID.
    pub name: &'a str,
}

impl<'a> DocumentPlace<'a> {
    /// A document of this namespace and group.
    pub fn new(namespace: &'a str, group: &'a str, name: &'a str) -> Self {
        Self { namespace, group, name }
    }

    pub(super) fn path(dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::V1 => "v1/cs/configs",
            Dialect::V3 => "v3/admin/cs/config",
        }
    }

    /// v3 takes no notice of `tenant`, and would answer for the built-in namespace.
    pub(super) fn fields(&self, dialect: Dialect) -> [(&'static str, &'a str); 3] {
        let Self { namespace, group, name } = *self;
        match dialect {
            Dialect::V1 => [("tenant", namespace), ("group", group), ("dataId", name)],
            Dialect::V3 => [("namespaceId", named(namespace)), ("groupName", group), ("dataId", name)],
        }
    }
}

/// The text of a document.
#[derive(Clone, Copy, Debug)]
pub struct ReadDocument<'a>(pub DocumentPlace<'a>);

impl Ask for ReadDocument<'_> {
    type Said = String;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        Question::get(DocumentPlace::path(dialect), self.0.fields(dialect))
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<String> {
        match dialect {
            Dialect::V1 => answer.plain(),
            Dialect::V3 => answer.enveloped().then(answer, |data| data["content"].as_str().map(str::to_owned)),
        }
    }
}

/// Writes a document; `false`: the server did not.
#[derive(Clone, Copy, Debug)]
pub struct WriteDocument<'a>(pub DocumentPlace<'a>, pub &'a str);

impl Ask for WriteDocument<'_> {
    type Said = bool;

    fn question(&self, dialect: Dialect) -> Question<'_> {
        let mut question = Question::post(DocumentPlace::path(dialect), self.0.fields(dialect));
        question.fields.extend([("content", self.1.into()), ("type", format_of(self.0.name).into())]);
        question
    }

    fn read(&self, dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
        accepted(dialect, answer)
    }
}

/// How the console shows a document.
pub(super) fn format_of(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "properties")) => "properties",
        Some((_, "json")) => "json",
        _ => "yaml",
    }
}

pub(super) fn accepted(dialect: Dialect, answer: Answer<'_>) -> Reading<bool> {
    match dialect {
        Dialect::V1 => answer.plain().then(answer, |text| Some(text == "true")),
        Dialect::V3 => answer.enveloped().then(answer, |data| data.as_bool()),
    }
}
