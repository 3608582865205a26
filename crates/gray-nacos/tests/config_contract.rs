//! The suite that every source of documents passes, on Nacos, when `GRAY_TEST_NACOS=host:port` names a server.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use gray_nacos::{NacosConfigSource, NacosOptions};
use gray_registry::{
    ConfigSource,
    config_source::contract::{self, Operator},
};

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
