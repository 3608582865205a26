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

#[tokio::test]
async fn a_file_that_cannot_be_read_keeps_its_last_text() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = FileConfigSource::open(directory.path()).expect("opened");
    let (renames, mut good, mut other) = (Renames(directory.path()), source.watch("a.yaml"), source.watch("b.yaml"));
    let becomes = |text: &str| DocumentText::Present(text.into());
    renames.publish("a.yaml", "a: 1").await;
    let limit = Duration::from_secs(5);
    drop(timeout(limit, good.wait_for(|now| *now == becomes("a: 1"))).await.expect("in time").expect("alive"));
    std::fs::write(directory.path().join("a.yaml"), [b'a', 0xff]).expect("written");
    // When the second document shows, the first has been looked at too.
    renames.publish("b.yaml", "b: 1").await;
    drop(timeout(limit, other.wait_for(|now| *now == becomes("b: 1"))).await.expect("in time").expect("alive"));
    assert_eq!(*good.borrow(), becomes("a: 1"));
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
