//! Documents that documents import.

use std::time::Duration;

use gray_document::Profiles;
use gray_registry::MemoryConfigSource;
use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn read(documents: &Documents) -> Vec<String> {
    let root = documents.root();
    ["x", "y"]
        .iter()
        .map(|key| root.string(key).unwrap_or_default())
        .chain([root.items("routes").len().to_string()])
        .collect()
}

struct Case {
    source: Arc<MemoryConfigSource>,
    state: watch::Receiver<SettingsState<Vec<String>>>,
}

impl Case {
    fn follow(profiles: &str, documents: &[(&str, &str)]) -> Self {
        let source = MemoryConfigSource::with(documents);
        let followed = Followed {
            names: vec!["app.yaml".into(), "last.yaml".into()],
            reading: profiles.parse::<Profiles>().expect("profiles").into(),
            lasting: vec![Lasting::list(&["routes"])],
        };
        let state = LiveSettings::follow_documents(Arc::clone(&source) as _, followed, read).subscribe();
        Self { source, state }
    }

    async fn until(&mut self, what: &str, is: impl Fn(&SettingsState<Vec<String>>) -> bool) -> Vec<String> {
        let found = timeout(LIMIT, self.state.wait_for(|state| is(state))).await;
        let found = found.map(|state| state.expect("it runs").clone());
        let found = found.unwrap_or_else(|_| panic!("{what}: {:?}", self.state.borrow()));
        found.documents.iter().map(|(name, _)| name.to_string()).collect()
    }

    async fn good(&mut self, expect: [&str; 3]) -> Vec<String> {
        let is = |state: &SettingsState<Vec<String>>| {
            state.refused.is_none() && state.current.as_ref().is_some_and(|now| **now == expect)
        };
        self.until(&format!("{expect:?}"), is).await
    }

    async fn refused(&mut self, says: &str) {
        self.until(says, |state| state.refused.as_ref().is_some_and(|refused| refused.contains(says))).await;
    }
}

const IMPORTING: &str = "spring.config.import: [nacos:one.yaml, 'optional:nacos:two.yaml?group=G']\nx: app\ny: app";

#[tokio::test]
async fn what_is_imported_counts_more_than_what_imports_it() {
    let one = "x: one\ny: one\nspring.config.import: nacos:three.yaml";
    let documents = [("app.yaml", IMPORTING), ("one.yaml", one), ("three.yaml", "x: three"), ("last.yaml", "y: last")];
    let mut case = Case::follow("", &documents);
    assert_eq!(case.good(["one", "last", "0"]).await, ["app.yaml", "one.yaml", "last.yaml"], "one level deep");
    case.source.set("two.yaml@G", "x: two\nroutes: [a]");
    assert_eq!(case.good(["two", "last", "1"]).await, ["app.yaml", "one.yaml", "two.yaml@G", "last.yaml"]);
    case.source.set("one.yaml", "x: [");
    case.refused("one.yaml").await;
    case.source.set("one.yaml", "x: one");
    case.good(["two", "last", "1"]).await;
}

#[tokio::test]
async fn what_is_not_imported_any_more_takes_nothing_along() {
    let documents = [("app.yaml", IMPORTING), ("one.yaml", "x: one"), ("two.yaml@G", "y: two\nroutes: [a]")];
    let mut case = Case::follow("", &documents);
    case.good(["one", "two", "1"]).await;
    case.source.set("app.yaml", "spring.config.import: nacos:one.yaml\nx: app\ny: app");
    case.refused("two.yaml@G: routes: missing").await;
    case.source.set("app.yaml", "spring.config.import: nacos:one.yaml\nx: app\ny: app\nroutes: [b, c]");
    assert_eq!(case.good(["one", "app", "2"]).await, ["app.yaml", "one.yaml"]);
    case.source.set("app.yaml", IMPORTING);
    case.good(["one", "two", "1"]).await;
}

#[tokio::test]
async fn the_imports_of_a_text_that_stays_stay() {
    let documents = [("app.yaml", IMPORTING), ("one.yaml", "x: one"), ("two.yaml@G", "y: two")];
    for (bad, says) in
        [("x: [1]\ny: app", "app.yaml:1: x: expected a text"), ("", "app.yaml: the document is empty now")]
    {
        let mut case = Case::follow("", &documents);
        case.good(["one", "two", "0"]).await;
        case.source.set("app.yaml", bad);
        case.refused(says).await;
        case.source.set("last.yaml", "routes: [a]");
        let is =
            |state: &SettingsState<Vec<String>>| state.current.as_ref().is_some_and(|now| **now == ["one", "two", "1"]);
        let names = case.until("as it was, with the news", is).await;
        assert_eq!(names, ["app.yaml", "one.yaml", "two.yaml@G", "last.yaml"], "{says}");
    }
}

#[tokio::test]
async fn cycles_and_masses_end() {
    let own = "spring.config.import: nacos:app.yaml, nacos:last.yaml\nx: app";
    let mut case = Case::follow("", &[("app.yaml", own), ("last.yaml", "spring.config.import: nacos:app.yaml")]);
    assert_eq!(case.good(["app", "", "0"]).await, ["app.yaml", "last.yaml"]);
    for round in 0..4 {
        let imports: Vec<_> = (0..30).map(|number| format!("nacos:i{}.yaml", round * 30 + number)).collect();
        case.source.set("app.yaml", &format!("spring.config.import: '{}'\nx: r{round}", imports.join(",")));
        case.good([&format!("r{round}"), "", "0"]).await;
    }
    // Of 120 documents that were imported, 32 are known: the 33rd is not read.
    case.source.set("i40.yaml", "x: too many");
    case.source.set("last.yaml", "y: seen");
    case.good(["r3", "seen", "0"]).await;
}

#[tokio::test]
async fn parts_for_profiles_import_and_count_as_they_are_active() {
    let app =
        "x: all\n---\nspring.profiles: dev\nspring.config.import: nacos:dev.yaml\n---\nspring.profiles: prod\nx: prod";
    let documents = [("app.yaml", app), ("dev.yaml", "y: dev")];
    assert_eq!(Case::follow("dev", &documents).good(["all", "dev", "0"]).await, ["app.yaml", "dev.yaml"]);
    assert_eq!(Case::follow("prod", &documents).good(["prod", "", "0"]).await, ["app.yaml"]);
}
