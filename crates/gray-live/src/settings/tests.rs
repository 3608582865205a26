//! A source in memory; every state is awaited with a deadline.

use gray_document::check;
use gray_registry::MemoryConfigSource;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
type Numbers = Vec<u64>;

/// One number per document: `a: 1` and `b: 2`.
fn read(documents: &Documents) -> Numbers {
    let root = documents.root();
    let numbers = vec![root.u64("a").unwrap_or(0), root.u64("b").unwrap_or(0)];
    root.reject_unknown();
    numbers
}

struct Case {
    source: Arc<MemoryConfigSource>,
    state: watch::Receiver<SettingsState<Numbers>>,
}

impl Case {
    fn follow(documents: &[(&str, &str)]) -> Self {
        let source = MemoryConfigSource::with(documents);
        Self { state: LiveSettings::follow(Arc::clone(&source) as _, &["a.yaml", "b.yaml"], read).subscribe(), source }
    }

    async fn until(&mut self, what: impl Fn(&SettingsState<Numbers>) -> bool) -> SettingsState<Numbers> {
        let found = tokio::time::timeout(LIMIT, self.state.wait_for(|state| what(state))).await;
        let found = found.map(|state| state.expect("the follower runs").clone());
        found.unwrap_or_else(|_| panic!("still {:?} after {LIMIT:?}", self.state.borrow()))
    }

    /// Waits for a value in effect, with nothing refused.
    async fn good(&mut self, a: u64, b: u64) -> u64 {
        let good = |state: &SettingsState<Numbers>| {
            state.refused.is_none() && state.current.as_ref().is_some_and(|numbers| **numbers == [a, b])
        };
        self.until(good).await.revision
    }

    /// Waits for a refusal that says this; answers with what is in effect.
    async fn refused(&mut self, says: &str) -> (Option<Numbers>, u64) {
        let state = self.until(|state| state.refused.as_ref().is_some_and(|refused| refused.contains(says))).await;
        (state.current.map(|numbers| numbers.to_vec()), state.revision)
    }
}

#[tokio::test]
async fn waits_for_every_document_and_then_follows() {
    let source = MemoryConfigSource::with(&[("a.yaml", "a: 1")]);
    source.forget("b.yaml");
    let live = LiveSettings::follow(Arc::clone(&source) as _, &["a.yaml", "b.yaml"], read);
    assert!(live.ready(Duration::from_millis(50)).await.is_none(), "one document has not been heard of");
    source.set("b.yaml", "b: 2");
    assert_eq!(live.ready(LIMIT).await.as_deref(), Some(&vec![1, 2]));
    let mut case = Case { source, state: live.subscribe() };
    drop(live);
    assert_eq!(case.good(1, 2).await, 1);
    case.source.set("a.yaml", "a: 7");
    assert_eq!(case.good(7, 2).await, 2);
    case.source.forget("b.yaml");
    case.source.set("a.yaml", "a: 8");
    assert_eq!(case.good(8, 2).await, 3, "silence changes nothing");
}

#[tokio::test]
async fn later_documents_win() {
    let mut case = Case::follow(&[("a.yaml", "a: 1\nb: 1"), ("b.yaml", "b: 2")]);
    case.good(1, 2).await;
}

#[tokio::test]
async fn an_absent_document_is_empty_until_it_comes() {
    let mut case = Case::follow(&[("a.yaml", "a: 1")]);
    assert_eq!(case.good(1, 0).await, 1);
    case.source.set("b.yaml", "b: 2");
    assert_eq!(case.good(1, 2).await, 2);
}

#[tokio::test]
async fn a_bad_document_is_refused_and_the_last_good_one_stays() {
    let mut case = Case::follow(&[("a.yaml", "a: 1"), ("b.yaml", "b: 2")]);
    case.good(1, 2).await;
    for (text, says) in [
        ("a: [", "not valid YAML"),
        ("\na: x", "a.yaml:2: a: expected a whole number, 0 or more, found `x`"),
        ("a: 2\nq: 1", "a.yaml:2: q: unknown key"),
    ] {
        case.source.set("a.yaml", text);
        assert_eq!(case.refused(says).await, (Some(vec![1, 2]), 1), "{text}");
    }
    // The other document is good and takes effect; the bad one is still refused.
    case.source.set("b.yaml", "b: 3");
    let state = case.until(|state| state.revision == 2).await;
    assert_eq!(state.current.as_deref(), Some(&vec![1, 3]));
    assert!(state.refused.is_some_and(|refused| refused.contains("q: unknown key")));
    // Back to the text that is in effect: no longer refused, no new revision.
    case.source.set("a.yaml", "a: 1");
    assert_eq!(case.good(1, 3).await, 2);
    case.source.set("a.yaml", "a: 4");
    assert_eq!(case.good(4, 3).await, 3);
}

#[tokio::test]
async fn a_deleted_document_keeps_its_last_text() {
    let mut case = Case::follow(&[("a.yaml", "a: 1"), ("b.yaml", "b: 2")]);
    case.good(1, 2).await;
    case.source.remove("a.yaml");
    assert_eq!(case.refused("a.yaml: the document was deleted").await, (Some(vec![1, 2]), 1));
    case.source.set("b.yaml", "b: 3");
    let state = case.until(|state| state.revision == 2).await;
    assert_eq!(state.current.as_deref(), Some(&vec![1, 3]));
    assert!(state.refused.is_some());
    case.source.set("a.yaml", "a: 1");
    assert_eq!(case.good(1, 3).await, 2);
}

#[tokio::test]
async fn a_bad_start_recovers() {
    let mut case = Case::follow(&[("a.yaml", "a: x"), ("b.yaml", "b: 2")]);
    assert_eq!(case.refused("found `x`").await, (None, 0));
    case.source.set("a.yaml", "a: 1");
    assert_eq!(case.good(1, 2).await, 1);
}

#[tokio::test]
async fn an_unchanged_text_is_not_applied_again() {
    let mut case = Case::follow(&[("a.yaml", "a: 1"), ("b.yaml", "b: 2")]);
    case.good(1, 2).await;
    case.source.set("a.yaml", "a: 1");
    case.source.set("b.yaml", "b: 2");
    case.source.set("a.yaml", "a: 5");
    assert_eq!(case.good(5, 2).await, 2, "one change, one revision");
}

#[tokio::test]
async fn thousands_of_changes_end_at_the_last_good_one() {
    let mut case = Case::follow(&[("a.yaml", "a: 0"), ("b.yaml", "b: 2")]);
    case.good(0, 2).await;
    for n in 1..=1_000 {
        case.source.set("a.yaml", &format!("a: {n}"));
        case.source.set("a.yaml", "a: [");
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (current, revision) = case.refused("not valid YAML").await;
    assert!(current.is_some_and(|numbers| numbers[1] == 2) && revision <= 1_001);
    case.source.set("a.yaml", "a: 1000");
    case.good(1_000, 2).await;
}

#[tokio::test]
async fn without_documents_the_defaults_hold() {
    let live = LiveSettings::follow(MemoryConfigSource::new(), &[], read);
    assert_eq!(live.ready(LIMIT).await.as_deref(), Some(&vec![0, 0]));
    assert_eq!(live.current().as_deref(), Some(&vec![0, 0]));
}

#[tokio::test]
async fn the_follower_ends_with_its_receivers() {
    let source = MemoryConfigSource::new();
    let weak = Arc::downgrade(&source);
    let live = LiveSettings::follow(source, &["a.yaml"], read);
    live.ready(LIMIT).await.expect("ready");
    drop(live);
    let gone = async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the task lets go of the source");
}

#[test]
fn check_is_offline_and_separates_warnings() {
    let read = |documents: &Documents| {
        let root = documents.root();
        root.warn_unknown("not used");
        root.u64("a")
    };
    let (value, warnings) = check(&[("a.yaml", "a: 1\nz: 2")], read).expect("good");
    assert_eq!(value, Some(1));
    assert!(warnings.to_string().contains("z: not used") && !warnings.has_errors());
    assert!(check(&[("a.yaml", "a: x")], read).expect_err("bad").has_errors());
}
