//! The settings as people look at them: every key that is read, with its value and its place. Nothing secret.

use serde::Serialize;

use super::{
    Documents,
    problem::shown,
    trail::Trail,
    tree::{Map, Node, Value, relaxed},
};

/// Most settings that are listed.
const MOST: usize = 500;
/// Most values of a list that are shown one by one.
const MOST_VALUES: usize = 10;
/// What is shown of a secret.
const HIDDEN: &str = "(hidden)";

/// One key that is set, and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The path from the root, as written.
    pub key: String,
    /// As written, placeholders included; secrets are not shown, long lists are counted.
    pub value: String,
    /// Document and line.
    pub at: String,
}

impl Documents {
    /// The keys that have been read so far, in the order written; of more than 500 the first ones.
    ///
    /// What placeholders stand for is not shown, nor is any value under a name such as `password` or `key`.
    pub fn listed(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if let Value::Map(map) = &self.root_node().value {
            list(map, &Trail::default(), &mut settings);
        }
        settings
    }
}

fn list(map: &Map, path: &Trail, settings: &mut Vec<Setting>) {
    for (key, node) in map.entries().filter(|(key, _)| map.was_asked(key)) {
        if settings.len() >= MOST {
            return;
        }
        let path = path.key(key);
        let hidden = is_secret(key);
        let value = match &node.value {
            Value::Missing => continue,
            _ if hidden => HIDDEN.to_owned(),
            Value::Map(below) => {
                list(below, &path, settings);
                continue;
            }
            // Where it is used it may be a secret, whatever it is called here.
            Value::Scalar(scalar) if scalar.lent.get() => HIDDEN.to_owned(),
            Value::Scalar(scalar) => text(scalar.raw()),
            Value::List(items) => values(items),
        };
        settings.push(Setting { key: path.to_string(), value, at: node.origin.to_string() });
    }
}

fn values(items: &[Node]) -> String {
    let scalar = |item: &Node| match &item.value {
        Value::Scalar(scalar) => Some(text(scalar.raw())),
        _ => None,
    };
    let texts: Option<Vec<_>> = items.iter().take(MOST_VALUES + 1).map(scalar).collect();
    match texts.filter(|texts| texts.len() <= MOST_VALUES) {
        Some(texts) => format!("[{}]", texts.join(", ")),
        None => format!("({} entries)", items.len()),
    }
}

/// Short, on one line, without the password in an address.
fn text(raw: &str) -> String {
    let text = shown(raw);
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://{HIDDEN}@{rest}"),
        None => text,
    }
}

/// By its name: a value does not tell what it is.
fn is_secret(key: &str) -> bool {
    let name = relaxed(key);
    let parts = ["password", "passwd", "secret", "token", "credential", "private", "apikey"];
    matches!(name.as_str(), "key" | "keys" | "signing") || parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_listed_and_secrets_are_not() {
        let text = "\
a: { load: true, list: [1, 2], long: [1,2,3,4,5,6,7,8,9,10,11], maps: [{ b: 1 }], empty: '' , none: }
a.uri: 'http://user:pa@ss@host/x'
a.from: '${VARIABLE:some}'
a.signing: { key: s3cret-1, ttl: 5s }
a.jwt: { key: s3cret-2, token: header.Authorization }
a.db-password: s3cret-3
a.alias: '${vault.jwt}'
vault.jwt: s3cret-5
b: { unread: 1 }
";
        let documents = Documents::parse(&[("d.yaml", text)], &|_| Some("s3cret-4".into())).expect("good");
        let section = documents.root().section("a");
        for key in [
            "load",
            "list",
            "long",
            "maps",
            "empty",
            "none",
            "uri",
            "from",
            "signing.key",
            "jwt.key",
            "db-password",
            "alias",
        ] {
            section.has(key);
        }
        let listed: Vec<_> =
            documents.listed().iter().map(|one| format!("{}={} {}", one.key, one.value, one.at)).collect();
        assert_eq!(
            listed,
            [
                "a.load=true d.yaml:1",
                "a.list=[1, 2] d.yaml:1",
                "a.long=(11 entries) d.yaml:1",
                "a.maps=(1 entries) d.yaml:1",
                "a.empty= d.yaml:1",
                "a.uri=http://(hidden)@host/x d.yaml:2",
                "a.from=${VARIABLE:some} d.yaml:3",
                "a.signing=(hidden) d.yaml:4",
                "a.jwt.key=(hidden) d.yaml:5",
                "a.db-password=(hidden) d.yaml:6",
                "a.alias=${vault.jwt} d.yaml:7",
                "vault.jwt=(hidden) d.yaml:8",
            ]
        );
        let many: String = (0..600).map(|number| format!("k{number}: x\n")).collect();
        let documents = Documents::parse(&[("d.yaml", &many)], &|_| None).expect("good");
        documents.root().keys();
        assert_eq!(documents.listed().len(), MOST);
    }
}
