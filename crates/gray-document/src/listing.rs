//! The settings as people look at them: every key that is read, with its value and its place. Nothing secret.

use serde::Serialize;

use super::{
    Documents,
    masked::{MASK, is_secret_name},
    problem::shown,
    trail::Trail,
    tree::{Map, Node, Value, relaxed},
};

/// Most settings that are listed.
const MOST: usize = 500;
/// Most values of a list that are shown one by one.
const MOST_VALUES: usize = 10;

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
    /// What placeholders stand for is not shown, nor is any value under a name such as `password` or `key`; filters are counted.
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
        let value = match &node.value {
            Value::Missing => continue,
            value if is_hidden(key, value) => MASK.to_owned(),
            Value::List(items) if are_filters(key) => count(items),
            Value::Scalar(_) | Value::Map(_) if are_filters(key) => MASK.to_owned(),
            Value::Map(below) => {
                list(below, &path, settings);
                continue;
            }
            // Where it is used it may be a secret, whatever it is called here.
            Value::Scalar(scalar) if scalar.lent.get() => MASK.to_owned(),
            Value::Scalar(scalar) => shown(scalar.raw()),
            Value::List(items) => values(items),
        };
        settings.push(Setting { key: path.to_string(), value, at: node.origin.to_string() });
    }
}

fn values(items: &[Node]) -> String {
    let scalar = |item: &Node| match &item.value {
        Value::Scalar(scalar) => Some(shown(scalar.raw())),
        _ => None,
    };
    let texts: Option<Vec<_>> = items.iter().take(MOST_VALUES + 1).map(scalar).collect();
    match texts.filter(|texts| texts.len() <= MOST_VALUES) {
        Some(texts) => format!("[{}]", texts.join(", ")),
        None => count(items),
    }
}

fn count(items: &[Node]) -> String {
    format!("({} entries)", items.len())
}

/// Whether what is under this name stays unseen: whatever sounds like a secret, but `jwt` is the map around one.
fn is_hidden(key: &str, value: &Value) -> bool {
    is_secret_name(key) && !(relaxed(key) == "jwt" && matches!(value, Value::Map(_)))
}

/// Whether these are filters of routes: their arguments are keys and header values, which have no names to go by.
fn are_filters(key: &str) -> bool {
    matches!(&*relaxed(key), "filters" | "defaultfilters")
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
a.default-filters: ['JsonWebToken=s3cret-6', 'AddRequestHeader=Authorization, Bearer s3cret-7']
a.filters: 'AddRequestHeader=Authorization, Bearer s3cret-8'
a.private-key: s3cret-9
a.page: 'http://host/a@b'
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
            "default-filters",
            "filters",
            "private-key",
            "page",
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
                "a.uri=http://***@host/x d.yaml:2",
                "a.from=${VARIABLE:some} d.yaml:3",
                "a.signing=*** d.yaml:4",
                "a.jwt.key=*** d.yaml:5",
                "a.db-password=*** d.yaml:6",
                "a.alias=${vault.jwt} d.yaml:7",
                "a.default-filters=(2 entries) d.yaml:9",
                "a.filters=*** d.yaml:10",
                "a.private-key=*** d.yaml:11",
                "a.page=http://host/a@b d.yaml:12",
                "vault.jwt=*** d.yaml:8",
            ]
        );
        let many: String = (0..600).map(|number| format!("k{number}: x\n")).collect();
        let documents = Documents::parse(&[("d.yaml", &many)], &|_| None).expect("good");
        documents.root().keys();
        assert_eq!(documents.listed().len(), MOST);
    }
}
