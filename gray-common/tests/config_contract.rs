//! Every configuration source passes the same suite. Nacos takes part when `GRAY_TEST_NACOS=host:port` names a server.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use gray_common::{
    config_source::{
        ConfigSource, DocumentText, FileConfigSource, NacosConfigSource,
        contract::{self, Operator},
    },
    registry::NacosOptions,
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

/// The Nacos console's own API.
struct Console {
    http: reqwest::Client,
    documents: String,
}

impl Console {
    async fn send(request: reqwest::RequestBuilder) {
        let answer = request.send().await.expect("sent").error_for_status().expect("accepted").text().await;
        assert_eq!(answer.expect("an answer"), "true");
    }
}

#[async_trait]
impl Operator for Console {
    async fn publish(&self, name: &str, text: &str) {
        let query = [("dataId", name), ("group", "DEFAULT_GROUP"), ("type", "yaml"), ("content", text)];
        Self::send(self.http.post(&self.documents).query(&query)).await;
    }

    async fn remove(&self, name: &str) {
        let query = [("dataId", name), ("group", "DEFAULT_GROUP")];
        Self::send(self.http.delete(&self.documents).query(&query)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nacos() {
    let Ok(server) = std::env::var("GRAY_TEST_NACOS") else {
        eprintln!("skipped: set GRAY_TEST_NACOS=host:port to run this against a real Nacos");
        return;
    };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let console = Console { http, documents: format!("http://{server}/nacos/v1/cs/configs") };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let source: Arc<dyn ConfigSource> = NacosConfigSource::connect(NacosOptions::new(server));
    contract::run(source, &console, &format!("contract-{now}")).await;
}
