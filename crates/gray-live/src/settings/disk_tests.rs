//! A start on which a document is bad, with what was good last on disk.

use std::{sync::Arc, time::Duration};

use gray_document::Documents;
use gray_registry::{
    ConfigSource, MemoryConfigSource,
    disk::{DiskStore, KeptConfigSource},
};
use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_bad_document_at_the_start_gives_way_to_the_last_good_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |inner: Arc<MemoryConfigSource>| {
        let store = DiskStore::open(directory.path(), "gateway-app");
        (KeptConfigSource::new(inner, Arc::clone(&store), "n:8848"), store)
    };
    let (source, store) = open(MemoryConfigSource::with(&[("a.yaml", "n: 1"), ("b.yaml", "m: 1")]));
    source.in_effect(&[("a.yaml".into(), "n: 1".into()), ("b.yaml".into(), "m: 1".into())]);
    store.flush();
    drop((source, store));

    let inner = MemoryConfigSource::with(&[("a.yaml", "n: x"), ("b.yaml", "m: 2")]);
    let read = |documents: &Documents| {
        let number = |key| documents.root().parsed::<u32>(key).unwrap_or(0);
        [number("n"), number("m")]
    };
    let (source, _store) = open(Arc::clone(&inner));
    let settings = LiveSettings::follow(source as _, &["a.yaml", "b.yaml"], read);
    let value = settings.ready(LIMIT).await.expect("settings");
    assert_eq!(*value, [1, 2], "the bad one as it was, the good one as it is");
    let state = settings.subscribe().borrow().clone();
    assert!(state.refused.is_some_and(|refused| refused.contains("a.yaml:1")));
    inner.set("a.yaml", "n: 3");
    let mut states = settings.subscribe();
    let good = states.wait_for(|state| state.refused.is_none());
    assert_eq!(timeout(LIMIT, good).await.expect("in time").expect("alive").current.as_deref(), Some(&[3, 2]));
}
