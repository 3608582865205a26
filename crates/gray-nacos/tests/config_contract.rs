//! The suite that every source of documents passes, on Nacos, when `GRAY_TEST_NACOS=host:port` names a server.

mod operator;

use std::sync::Arc;

use async_trait::async_trait;
use gray_nacos::{NacosConfigSource, dialect::Dialect};
use gray_registry::{
    ConfigSource,
    config_source::contract::{self, Operator},
};
use reqwest::Method;

struct Console(operator::Console);

impl Console {
    async fn send(&self, method: Method, name: &str, more: &[(&str, &str)]) {
        let group = if self.0.dialect == Dialect::V1 { "group" } else { "groupName" };
        let fields = [&[("dataId", name), (group, "DEFAULT_GROUP")], more].concat();
        assert_eq!(self.0.send(method, ["v1/cs/configs", "v3/admin/cs/config"], &fields).await, "true");
    }
}

#[async_trait]
impl Operator for Console {
    async fn publish(&self, name: &str, text: &str) {
        self.send(Method::POST, name, &[("type", "yaml"), ("content", text)]).await;
    }

    async fn remove(&self, name: &str) {
        self.send(Method::DELETE, name, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nacos() {
    let Some(options) = operator::nacos() else { return };
    let console = Console(operator::Console::of(&options).await);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let source: Arc<dyn ConfigSource> = NacosConfigSource::connect(options);
    contract::run(source, &console, &format!("contract-{now}")).await;
}
