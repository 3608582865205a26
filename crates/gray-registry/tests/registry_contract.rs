//! Every registry that needs no server passes the same suite.

use std::sync::Arc;

use gray_registry::{CombinedRegistry, FileRegistry, MemoryRegistry, Registry, Space, contract};

#[tokio::test]
async fn memory() {
    let registry = MemoryRegistry::new();
    contract::run(|| Arc::<MemoryRegistry>::clone(&registry), &spaces(), |space| registry.space(space), "contract")
        .await;
}

#[tokio::test]
async fn file() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |name: &str| FileRegistry::open(directory.path().join(name)).expect("opened");
    contract::run(|| open(""), &spaces(), |space| open(&space.to_string()), "contract").await;
}

#[tokio::test]
async fn combined() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = MemoryRegistry::new();
    let combine = |name: &str, memory: Arc<MemoryRegistry>| -> Arc<dyn Registry> {
        let file = FileRegistry::open(directory.path().join(name)).expect("opened");
        CombinedRegistry::new(("directory", file as _), [("memory".to_owned(), memory as _)])
    };
    let inside = |space: &Space| combine(&space.to_string(), memory.space(space));
    contract::run(|| combine("", Arc::clone(&memory)), &spaces(), inside, "contract").await;
}

#[tokio::test]
async fn spread() {
    let (one, two) = (MemoryRegistry::new(), MemoryRegistry::new());
    let combine = |one: Arc<MemoryRegistry>, two: Arc<MemoryRegistry>| -> Arc<dyn Registry> {
        CombinedRegistry::spread([("one".to_owned(), one as _), ("two".to_owned(), two as _)], [])
    };
    let inside = |space: &Space| combine(one.space(space), two.space(space));
    contract::run(|| combine(Arc::clone(&one), Arc::clone(&two)), &spaces(), inside, "contract").await;
}

/// Another namespace, another group, and both.
fn spaces() -> [Space; 3] {
    ["lane-a", "lane-a@blue", "@blue"].map(|text| text.parse().expect("a space"))
}
