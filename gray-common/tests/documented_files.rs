//! The format of instance files is what docs/config.md says, its example and every key of its table.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use gray_core::Instance;
use gray_registry::{FileRegistry, Registry};

fn section() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    let page = fs::read_to_string(page).expect("readable");
    let section = page.split("\n## Files of instances\n").nth(1).expect("the section");
    section.split("\n## ").next().expect("text").to_owned()
}

/// What a directory with this file lists of a service, once it lists something.
async fn listed(name: &str, text: &str, service: &str) -> Vec<Instance> {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(name), text).expect("written");
    let registry = FileRegistry::open(directory.path()).expect("opens");
    let mut listed = registry.watch(service);
    let some = listed.wait_for(|state| state.as_deref().is_some_and(|list| !list.is_empty()));
    let list = tokio::time::timeout(Duration::from_secs(10), some)
        .await
        .unwrap_or_else(|_| panic!("{name} is refused:\n{text}"));
    list.expect("alive").as_deref().expect("a list").to_vec()
}

#[tokio::test]
async fn the_example_is_read() {
    let section = section();
    let example = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let list = listed("users.yaml", example, "user-app").await;
    let seen: Vec<_> = list.iter().map(|one| (one.authority(), one.version().unwrap_or("-"), one.weight)).collect();
    assert_eq!(seen, [("10.0.0.7:7201".to_owned(), "V1", 1.0), ("10.0.0.8:7202".to_owned(), "V2", 2.0)]);
}

#[tokio::test]
async fn every_key_of_the_table_is_read_and_no_other() {
    let section = section();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let keys: BTreeSet<_> = rows.map(|(key, _)| key.to_owned()).collect();
    let of_instance = ["host", "port", "secure", "uri", "weight", "healthy", "enabled", "metadata"];
    let known = ["service", "instances"].map(str::to_owned).into_iter();
    let known: BTreeSet<_> = known.chain(of_instance.map(|key| format!("instances[].{key}"))).collect();
    assert_eq!(keys, known, "the table");

    let yaml = "service: a\ninstances:\n- { host: h, port: 1, weight: 2, healthy: true, enabled: true, metadata: { version: V2 } }\n";
    let json = r#"{"service":"a","instances":[{"host":"h","port":1,"weight":2,"healthy":true,"enabled":true,"metadata":{"version":"V2"}}]}"#;
    let (one, other) = (listed("a.yaml", yaml, "a").await, listed("a.json", json, "a").await);
    assert_eq!(one, other);
    assert_eq!((one[0].authority().as_str(), one[0].version(), one[0].weight), ("h:1", Some("V2"), 2.0));

    let secure = listed("a.yaml", "service: a\ninstances: [{ host: h, port: 1, secure: true }]", "a").await;
    assert_eq!(secure, listed("a.yaml", "service: a\ninstances: [{ uri: 'https://h:1' }]", "a").await);
    assert!(secure[0].is_secure());

    let directory = tempfile::tempdir().expect("a directory");
    let unknown = json.replace("\"weight\":2", "\"weight\":2,\"zone\":\"a\"");
    fs::write(directory.path().join("a.json"), unknown).expect("written");
    let registry = FileRegistry::open(directory.path()).expect("opens");
    assert!(registry.watch("a").borrow().as_deref().is_none_or(<[Instance]>::is_empty), "an unknown key is an error");
}
