//! Every source of documents that needs no server passes the same suite.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use gray_registry::{
    ConfigSource, DocumentText, FileConfigSource,
    config_source::contract::{self, Operator},
};
use tokio::time::timeout;

/// Replaces files the way Kubernetes and careful editors do.
struct Renames<'a>(&'a Path);

#[async_trait]
impl Operator for Renames<'_> {
    async fn publish(&self, name: &str, text: &str) {
        let other = self.0.join(format!("{name}.new"));
        std::fs::write(&other, text).expect("written");
        std::fs::rename(other, self.0.join(name)).expect("renamed");
    }

    async fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("removed");
    }
}

/// Overwrites files the way careless editors do.
struct Overwrites<'a>(&'a Path);

#[async_trait]
impl Operator for Overwrites<'_> {
    async fn publish(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    async fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("removed");
    }
}

#[tokio::test]
async fn file_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = FileConfigSource::open(directory.path()).expect("opened");
    contract::run(source, &Renames(directory.path()), "contract").await;
}

#[tokio::test]
async fn file_written_in_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = FileConfigSource::open(directory.path()).expect("opened");
    contract::run(source, &Overwrites(directory.path()), "contract").await;
}

/// Whatever stands where a document should be and is none, it is not as if nothing were there.
#[tokio::test]
async fn what_cannot_be_read_is_unreadable_and_not_absent() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("gbk.yaml"), b"city: \xba\xbc\xd6\xdd").expect("written");
    std::fs::create_dir(path("directory.yaml")).expect("made");
    std::os::unix::fs::symlink("nowhere", path("link.yaml")).expect("linked");
    let source = FileConfigSource::open(directory.path()).expect("opened");
    for (name, says) in [
        ("gbk.yaml", "not UTF-8 (GBK, perhaps)"),
        ("directory.yaml", "it is a directory"),
        ("link.yaml", "a link that leads nowhere"),
    ] {
        let text = source.watch(name).borrow().clone();
        assert!(matches!(&text, DocumentText::Unreadable(reason) if reason.contains(says)), "{name}: {text:?}");
    }
    let mut text = source.watch("gbk.yaml");
    Renames(directory.path()).publish("gbk.yaml", "city: 杭州").await;
    let good = timeout(Duration::from_secs(5), text.wait_for(|now| *now == DocumentText::Present("city: 杭州".into())));
    drop(good.await.expect("in time").expect("alive"));
    // And back: written in place, as `cp` does.
    let utf16 = "\u{feff}city: x".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    std::fs::write(path("gbk.yaml"), utf16).expect("written");
    let bad = |now: &DocumentText| matches!(now, DocumentText::Unreadable(reason) if reason.contains("UTF-16"));
    drop(timeout(Duration::from_secs(5), text.wait_for(bad)).await.expect("in time").expect("alive"));
}

#[tokio::test]
async fn a_directory_of_settings_is_never_made() {
    let parent = tempfile::tempdir().expect("a directory");
    let missing = parent.path().join("typo");
    assert!(FileConfigSource::open(&missing).is_err() && !missing.exists());
    let file = parent.path().join("file");
    std::fs::write(&file, "a: 1").expect("written");
    assert!(FileConfigSource::open(&file).is_err());
}
