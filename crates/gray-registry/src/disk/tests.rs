use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use gray_core::instance::Instance;
use proptest::prelude::*;
use tokio::{sync::watch, time::timeout};

use super::{
    format::{MAX_BYTES, encode},
    *,
};
use crate::{
    FileRegistry, Health, MemoryRegistry, Registry, RegistryError, ServiceNames, ServiceState, Space,
    config_source::{self, ConfigSource, DocumentText, MemoryConfigSource},
};

const PLACE: &str = "n:8848 \"\" DEFAULT_GROUP";

fn instances() -> Vec<Instance> {
    vec![
        Instance { weight: 0.1, enabled: false, ..Instance::new("10.0.0.1", 80).with_version("V1") },
        Instance::new("fd00::1", 65_535).with_version("V2").with_metadata("note", "中文 \"\n"),
    ]
}

fn kept() -> Kept {
    let content = Content::Instances { service: "user-app".to_owned(), list: instances() };
    Kept { place: PLACE.to_owned(), saved: 1_796_054_400, content }
}

#[test]
fn what_was_written_is_read_and_nothing_else_is() {
    let bytes = encode(&kept()).expect("encoded");
    assert_eq!(decode_file(&bytes), Ok(kept()));
    for end in 0..bytes.len() {
        assert!(decode_file(&bytes[..end]).is_err(), "cut off after {end}");
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(decode_file(&damaged).is_err(), "damaged at {place}");
    }
    let text = String::from_utf8(bytes).expect("text");
    let newer = text.replacen("snapshot/1", "snapshot/2", 1);
    assert!(decode_file(newer.as_bytes()).expect_err("foreign").contains("snapshot/2"));
    let long = BTreeMap::from([("a.yaml".to_owned(), "x".repeat(MAX_BYTES))]);
    assert!(encode(&Kept { content: Content::Documents(long), ..kept() }).is_err());
    for (host, port) in [("", 1), ("a b", 1), ("a\r\nb", 1), ("a", 0)] {
        let list = vec![Instance::new(host, port)];
        let content = Content::Instances { service: "s".to_owned(), list };
        assert!(decode_file(&encode(&Kept { content, ..kept() }).expect("encoded")).is_err(), "{host}:{port}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_file(&bytes).is_err());
    }

    #[test]
    fn nor_does_what_has_a_good_checksum(body in "[\\[\\]{}\":,a-z0-9.-]{0,200}") {
        let sum = twox_hash::XxHash3_64::oneshot(body.as_bytes());
        drop(decode_file(format!("gray-chain-snapshot/1 {sum:016x}\n{body}").as_bytes()));
    }
}

fn ports(state: &watch::Receiver<ServiceState>) -> Option<Vec<u16>> {
    state.borrow().as_ref().map(|list| list.iter().map(|instance| instance.port).collect())
}

/// A registry that answers when it is told to, and remembers what it was told.
#[derive(Debug, Default)]
struct Silent {
    state: watch::Sender<ServiceState>,
    recalled: std::sync::Mutex<Vec<(String, usize)>>,
}

#[async_trait]
impl Registry for Silent {
    async fn register(&self, _: &str, _: &Instance) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn deregister(&self, _: &str, _: &Instance) -> Result<(), RegistryError> {
        Ok(())
    }

    fn watch(&self, _: &str) -> watch::Receiver<ServiceState> {
        self.state.subscribe()
    }

    fn watch_space(&self, _: &Space, _: &str) -> watch::Receiver<ServiceState> {
        self.state.subscribe()
    }

    fn recall(&self, space: Option<&Space>, service: &str, known: Arc<[Instance]>) {
        let name = space.map_or_else(|| service.to_owned(), |space| format!("{service}@{space}"));
        self.recalled.lock().expect("not poisoned").push((name, known.len()));
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        watch::Sender::new(None).subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        watch::Sender::new(Health::Up).subscribe()
    }
}

async fn comes_to(state: &mut watch::Receiver<ServiceState>, expect: &[u16]) {
    let is = |state: &ServiceState| {
        state.as_ref().is_some_and(|list| list.iter().map(|one| one.port).eq(expect.iter().copied()))
    };
    let found = timeout(GRACE * 2, state.wait_for(is)).await.map(|found| found.is_ok());
    assert_eq!(found, Ok(true), "{expect:?}, {state:?}");
}

#[tokio::test(start_paused = true)]
async fn instances_outlive_the_process_and_give_way_to_the_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = DiskStore::open(directory.path(), "gateway-app");
    let silent = Arc::new(Silent::default());
    let registry = KeptRegistry::new(Arc::clone(&silent) as _, Arc::clone(&store), PLACE);
    let mut users = registry.watch("user-app");
    silent.state.send_replace(Some(instances().into()));
    comes_to(&mut users, &[80, 65_535]).await;
    store.flush();
    assert_eq!(store.status(), DiskStatus::default(), "the registry has answered");
    drop((registry, store));

    let store = DiskStore::open(directory.path(), "gateway-app");
    let silent = Arc::new(Silent::default());
    let registry = KeptRegistry::new(Arc::clone(&silent) as _, Arc::clone(&store), PLACE);
    let mut users = registry.watch("user-app");
    assert_eq!(ports(&users), None, "the registry may still answer");
    comes_to(&mut users, &[80, 65_535]).await;
    assert_eq!(*users.borrow(), Some(instances().into()));
    assert_eq!(*silent.recalled.lock().expect("not poisoned"), [("user-app".to_owned(), 2)]);
    assert!(store.status().age_secs().is_some_and(|age| age < 60), "{:?}", store.status());
    silent.state.send_replace(Some(Arc::from([Instance::new("10.0.0.9", 9)])));
    comes_to(&mut users, &[9]).await;
    assert_eq!(store.status().age_secs(), None);

    // What is known of one place is not known of another, nor by another program, nor of another service.
    for (program, place, service) in
        [("gateway-app", "other", "user-app"), ("order-app", PLACE, "user-app"), ("gateway-app", PLACE, "other")]
    {
        let registry =
            KeptRegistry::new(Arc::new(Silent::default()), DiskStore::open(directory.path(), program), place);
        let mut state = registry.watch(service);
        assert!(
            timeout(GRACE * 2, state.wait_for(ServiceState::is_some)).await.is_err(),
            "{program} {place} {service}"
        );
    }
}

#[tokio::test]
async fn it_is_a_registry_like_any_other() {
    let (lists, snapshots) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let over = |inner: Arc<dyn Registry>| -> Arc<dyn Registry> {
        KeptRegistry::new(inner, DiskStore::open(snapshots.path(), "test"), PLACE)
    };
    let spaces = ["lane-a", "@blue"].map(|text| text.parse().expect("a space"));
    let factory = || over(FileRegistry::open(lists.path()).expect("opened"));
    let inside = |space: &Space| over(FileRegistry::open_space(lists.path(), space).expect("opened"));
    crate::contract::run(factory, &spaces, inside, "kept").await;
}

fn document(state: &watch::Receiver<DocumentText>) -> Option<String> {
    match &*state.borrow() {
        DocumentText::Present(text) => Some(text.to_string()),
        DocumentText::Absent => Some("(absent)".to_owned()),
        DocumentText::Unreadable(reason) => Some(format!("({reason})")),
        DocumentText::Unknown => None,
    }
}

async fn becomes(state: &mut watch::Receiver<DocumentText>, expect: &str) {
    let mut copy = state.clone();
    let is = |_: &DocumentText| document(state).as_deref() == Some(expect);
    let found = timeout(GRACE * 2, copy.wait_for(is)).await.map(|found| found.is_ok());
    assert_eq!(found, Ok(true), "{expect}, {:?}", document(state));
}

#[tokio::test(start_paused = true)]
async fn documents_that_were_good_outlive_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |inner: Arc<MemoryConfigSource>| {
        let store = DiskStore::open(directory.path(), "gateway-app");
        (KeptConfigSource::new(inner, Arc::clone(&store), PLACE), store)
    };
    let inner = MemoryConfigSource::with(&[("a.yaml", "a: 1")]);
    let (source, store) = open(inner);
    becomes(&mut source.watch("a.yaml"), "a: 1").await;
    source.in_effect(&[("a.yaml".into(), "a: 1".into())]);
    store.flush();

    let inner = MemoryConfigSource::new();
    ["a.yaml", "b.yaml"].iter().for_each(|name| inner.forget(name));
    let (source, store) = open(Arc::clone(&inner));
    let (mut a, mut b) = (source.watch("a.yaml"), source.watch("b.yaml"));
    assert_eq!(document(&a), None);
    becomes(&mut a, "a: 1").await;
    becomes(&mut b, "(absent)").await;
    assert_eq!(store.status().in_use.len(), 2);
    // In effect, but from disk: it gets no younger by that. Only when everything has answered is it written again.
    source.in_effect(&[("a.yaml".into(), "a: 2".into())]);
    store.flush();
    inner.set("a.yaml", "a: 2");
    becomes(&mut a, "a: 2").await;
    store.flush();
    let texts = || match store.read("documents", PLACE).expect("kept").content {
        Content::Documents(texts) => texts["a.yaml"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(texts(), "a: 1");
    inner.remove("b.yaml");
    let done = async {
        while !store.status().in_use.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(GRACE, done).await.expect("answered");
    store.flush();
    assert_eq!(texts(), "a: 2");
}

struct Memory(Arc<MemoryConfigSource>);

#[async_trait]
impl config_source::contract::Operator for Memory {
    async fn publish(&self, name: &str, text: &str) {
        self.0.set(name, text);
    }

    async fn remove(&self, name: &str) {
        self.0.remove(name);
    }
}

#[tokio::test]
async fn it_is_a_source_like_any_other() {
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let inner = MemoryConfigSource::new();
        let store = DiskStore::open(directory.path(), "test");
        let source = KeptConfigSource::new(Arc::clone(&inner) as _, Arc::clone(&store), PLACE);
        config_source::contract::run(Arc::clone(&source) as _, &Memory(inner), "kept").await;
        source.in_effect(&[("kept-early.yaml".into(), "x: 1".into())]);
        store.flush();
    }
}

fn only_file(directory: &Path) -> std::path::PathBuf {
    let files: Vec<_> = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_costs_nothing_but_the_snapshot() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "no directory").expect("written");
    let store = DiskStore::open(&file, "p");
    let memory = MemoryRegistry::new();
    let registry = KeptRegistry::new(Arc::clone(&memory) as _, Arc::clone(&store), PLACE);
    memory.register("user-app", &instances()[1]).await.expect("registered");
    comes_to(&mut registry.watch("user-app"), &[65_535]).await;
    store.flush();
    assert!(store.status().failures >= 2, "{:?}", store.status());

    // Damaged, cut off, or a newer one: as if it were not there.
    let store = DiskStore::open(directory.path(), "p");
    store.write("user-app", PLACE, kept().content);
    store.flush();
    let path = only_file(&directory.path().join("p"));
    let good = fs::read(&path).expect("there");
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    for bad in [&good[..good.len() - 1], b"", b"gray-chain-snapshot/9 0\n{}"] {
        fs::write(&path, bad).expect("written");
        let before = store.status().failures;
        assert_eq!(store.read("user-app", PLACE), None);
        assert_eq!(store.status().failures, before + 1);
    }
    let half = path.with_extension("tmp");
    fs::write(&half, "half").expect("written");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&half).and_then(|file| file.set_modified(long_ago)).expect("dated");
    let store = DiskStore::open(directory.path(), "p");
    only_file(&directory.path().join("p"));
    store.write("user-app", PLACE, kept().content);
    store.flush();
    assert_eq!(fs::read(&path).map(|bytes| bytes.len()).ok(), Some(good.len()), "it heals");
}
