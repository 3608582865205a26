//! Documents that say nothing: what stays, what is said of it, and how to say that there is nothing.

use std::time::Duration;

use gray_document::Documents;
use gray_registry::{ConfigSource, DocumentText, Health, MemoryConfigSource};
use tokio::{sync::watch, time::timeout};

use super::*;
use crate::{LiveSettings, SettingsState};

const LIMIT: Duration = Duration::from_secs(10);
const NAMES: [&str; 3] = ["common.yaml", "gateway.yaml", "rules.yaml"];
const GOOD: [(&str, &str); 3] = [
    ("common.yaml", "kerwin.gray.load: true\nlogging: x"),
    ("gateway.yaml", "kerwin.gray.gateway.enabled: true\nspring.routes: [a, b]"),
    ("rules.yaml", "gray:\n  rules: [r]"),
];

/// What is in effect, in words.
fn read(documents: &Documents) -> String {
    let root = documents.root();
    let texts = |key| root.items(key).iter().filter_map(|item| item.text()).collect::<Vec<_>>().join(",");
    let (load, on) = (root.bool("kerwin.gray.load"), root.bool("kerwin.gray.gateway.enabled"));
    format!("{load:?} {on:?} {} {}", texts("spring.routes"), texts("gray.rules"))
}

const ALL: &str = "Some(true) Some(true) a,b r";

fn lasting() -> Vec<Lasting> {
    vec![Lasting::list(&["spring.routes", "spring.new.routes"]), Lasting::map("gray"), Lasting::map("kerwin.gray")]
}

type States = watch::Receiver<SettingsState<String>>;

fn follow(source: &Arc<MemoryConfigSource>) -> States {
    LiveSettings::follow_lasting(Arc::clone(source) as _, &NAMES, lasting(), read).subscribe()
}

async fn until(states: &mut States, what: &str, is: impl Fn(&SettingsState<String>) -> bool) -> SettingsState<String> {
    let found = timeout(LIMIT, states.wait_for(|state| is(state))).await.map(|state| state.expect("it runs").clone());
    found.unwrap_or_else(|_| panic!("{what}: {:?}", states.borrow()))
}

fn is_good(expect: &str) -> impl Fn(&SettingsState<String>) -> bool {
    move |state| state.refused.is_none() && state.current.as_deref().is_some_and(|now| now == expect)
}

#[tokio::test]
async fn whatever_says_nothing_changes_nothing() {
    let source = MemoryConfigSource::with(&GOOD);
    let mut states = follow(&source);
    until(&mut states, "good", is_good(ALL)).await;
    let [(common, common_text), (gateway, gateway_text), (rules, rules_text)] = GOOD;
    for (name, text, says) in [
        (
            gateway,
            "",
            "gateway.yaml: the document is empty now; its last text stays in effect; publish it again; if it is to say \
                       nothing, write `spring.routes: []` and `kerwin.gray: {}`",
        ),
        (gateway, "# routes: [a]\n", "gateway.yaml: the document is empty now"),
        (gateway, "~", "gateway.yaml: the document is empty now"),
        (gateway, "kerwin:\nspring:\n", "gateway.yaml: the document is empty now"),
        (
            gateway,
            "kerwin.gray.gateway.enabled: true\nspring.route: [a]",
            "gateway.yaml: spring.routes: missing, and the text in \
                   effect has it; is another key misspelt? That text stays. If there is to be nothing, write `spring.routes: []`",
        ),
        (gateway, "kerwin.gray.gateway.enabled: true\nspring.routes:", "gateway.yaml: spring.routes: missing"),
        (gateway, "kerwin.gray.gateway.enabled: true\nspring.route[0]: a", "gateway.yaml: spring.routes: missing"),
        (gateway, "kerwin.gray.gateway.enabled: true", "gateway.yaml: spring.routes: missing"),
        (gateway, "spring.routes: [c]", "gateway.yaml: kerwin.gray: missing"),
        (gateway, "{}", "gateway.yaml: spring.routes: missing"),
        (gateway, "k\0e\0r\0w\0", "gateway.yaml:1: the text holds a NUL"),
        (gateway, "spring.routes: [\u{fffd}\u{fffd}]", "gateway.yaml:1: the text holds U+FFFD"),
        (rules, "gray:\n", "rules.yaml: the document is empty now"),
        (rules, "gray:\nlogging: x", "rules.yaml: gray: missing"),
        (rules, "grey: { rules: [s] }", "rules.yaml: gray: missing"),
        (common, "logging: x", "common.yaml: kerwin.gray: missing"),
    ] {
        source.set(name, text);
        let refused =
            |state: &SettingsState<String>| state.refused.as_ref().is_some_and(|refused| refused.contains(says));
        let state = until(&mut states, text, refused).await;
        assert_eq!((state.current.as_deref().map(String::as_str), state.revision), (Some(ALL), 1), "{text:?}");
        // Back to what is in effect.
        [(common, common_text), (gateway, gateway_text), (rules, rules_text)]
            .iter()
            .for_each(|(n, t)| source.set(n, t));
        until(&mut states, "good again", is_good(ALL)).await;
    }
    source.unreadable(rules, "it is a directory");
    let refused = "rules.yaml: the document cannot be read: it is a directory; its last text stays in effect";
    until(&mut states, refused, |state| state.refused.as_deref() == Some(refused)).await;
    // Good changes of others take effect meanwhile.
    source.set(gateway, "kerwin.gray.gateway.enabled: true\nspring.routes: [c]");
    let state = until(&mut states, "the others", |state| state.revision == 2).await;
    assert_eq!(state.current.as_deref().map(String::as_str), Some("Some(true) Some(true) c r"));
    assert!(state.refused.is_some());
}

#[tokio::test]
async fn an_explicit_nothing_counts_and_may_be_deleted() {
    let source = MemoryConfigSource::with(&GOOD);
    let mut states = follow(&source);
    until(&mut states, "good", is_good(ALL)).await;
    source.set("rules.yaml", "gray: {}");
    until(&mut states, "no rules", is_good("Some(true) Some(true) a,b ")).await;
    source.remove("rules.yaml");
    source.set("gateway.yaml", "kerwin.gray: {}\nspring.routes: []");
    until(&mut states, "nothing", is_good("Some(true) None  ")).await;
    source.remove("gateway.yaml");
    until(&mut states, "deleted", is_good("Some(true) None  ")).await;
}

#[tokio::test]
async fn a_list_may_move_to_another_document_or_key() {
    let source = MemoryConfigSource::with(&GOOD);
    let mut states = follow(&source);
    until(&mut states, "good", is_good(ALL)).await;
    source.set("common.yaml", "kerwin.gray.load: true\nspring.routes: [c]");
    source.set("gateway.yaml", "kerwin.gray.gateway.enabled: true");
    until(&mut states, "another document", is_good("Some(true) Some(true) c r")).await;
    source.set("common.yaml", "kerwin.gray.load: true\nspring.new.routes: [c]");
    until(&mut states, "another key", is_good("Some(true) Some(true)  r")).await;
}

#[tokio::test]
async fn the_first_documents_may_say_nothing_but_not_be_unreadable() {
    let source = MemoryConfigSource::with(&[("common.yaml", ""), ("gateway.yaml", "# soon")]);
    until(&mut follow(&source), "empty", is_good("None None  ")).await;
    source.unreadable("rules.yaml", "not UTF-8");
    let mut states = follow(&source);
    let state = until(&mut states, "unreadable", |state| state.refused.is_some()).await;
    assert!(state.current.is_none() && state.revision == 0);
    source.set("rules.yaml", GOOD[2].1);
    until(&mut states, "readable", is_good("None None  r")).await;
}

/// Remembers what was good when the program ran last.
#[derive(Debug)]
struct Remembers(Arc<MemoryConfigSource>);

impl ConfigSource for Remembers {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        self.0.watch(name)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health()
    }

    fn last_good(&self, name: &str) -> Option<Arc<str>> {
        GOOD.iter().find(|(good, _)| *good == name).map(|(_, text)| (*text).into())
    }
}

#[tokio::test]
async fn what_was_there_before_a_restart_was_there() {
    let source = MemoryConfigSource::with(&[GOOD[0], ("gateway.yaml", "spring.route: [a]")]);
    source.unreadable("rules.yaml", "not UTF-8");
    let settings = LiveSettings::follow_lasting(Arc::new(Remembers(Arc::clone(&source))), &NAMES, lasting(), read);
    let mut states = settings.subscribe();
    let state = until(&mut states, "last good", |state| state.current.is_some()).await;
    assert_eq!(state.current.as_deref().map(String::as_str), Some(ALL));
    let refused = state.refused.unwrap_or_default();
    for says in ["rules.yaml: the document cannot be read: not UTF-8", "gateway.yaml: spring.routes: missing"] {
        assert!(refused.contains(says), "{refused}");
    }
    // Deleted while not watched.
    let source = MemoryConfigSource::with(&[GOOD[0], GOOD[1]]);
    let settings = LiveSettings::follow_lasting(Arc::new(Remembers(source)), &NAMES, lasting(), read);
    let state = until(&mut settings.subscribe(), "last good", |state| state.current.is_some()).await;
    assert_eq!(state.current.as_deref().map(String::as_str), Some(ALL));
    assert!(state.refused.is_some_and(|refused| refused.contains("rules.yaml: the document was deleted")));
}
