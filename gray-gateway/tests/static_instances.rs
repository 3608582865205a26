//! A gateway without any registry: its routes lead to instances that stand in its settings.

mod support;

use std::{path::Path, time::Duration};

use axum::{Router, routing::get};
use gray_gateway::app::Application;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use support::args;

const LIMIT: Duration = Duration::from_secs(20);

/// A service that answers with its version.
async fn backend(version: &'static str, tasks: &mut JoinSet<()>) -> u16 {
    let app = Router::new().route("/who", get(async move || version));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tasks.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    port
}

fn publish(directory: &Path, instances: &[(u16, &str)]) {
    let mut text = "\
kerwin.tool.gray: {load: true, version: {prodVersion: V1, grayVersion: V2}}
spring.cloud:
  gateway.routes: [{id: users, uri: 'lb://user-app', predicates: ['Path=/user-api/**'], filters: ['StripPrefix=1']}]
  discovery.client.simple.instances:
    user-app:
"
    .to_owned();
    for (port, version) in instances {
        text.push_str(&format!("    - {{uri: 'http://127.0.0.1:{port}', metadata: {{version: {version}}}}}\n"));
    }
    // Whole or not at all, as an editor does it.
    let hidden = directory.join(".gateway-app.tmp");
    std::fs::write(&hidden, text).expect("written");
    std::fs::rename(hidden, directory.join("gateway-app.yaml")).expect("in place");
}

/// Asks until the answer is this one.
async fn until(url: &str, expect: &str) {
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let mut last = String::new();
    let asking = timeout(LIMIT, async {
        while last != expect {
            tokio::time::sleep(Duration::from_millis(10)).await;
            last = match http.get(url).send().await {
                Ok(answer) => answer.text().await.expect("reads"),
                Err(error) => error.to_string(),
            };
        }
    });
    assert!(asking.await.is_ok(), "{url}: `{last}`, not `{expect}`");
}

#[tokio::test]
async fn static_instances_need_no_registry_and_are_live() {
    let mut tasks = JoinSet::new();
    let (one, two) = (backend("V1", &mut tasks).await, backend("V2", &mut tasks).await);
    let directory = tempfile::tempdir().expect("a directory");
    publish(directory.path(), &[(one, "V1")]);
    let gateway = Application::build(&args(directory.path(), &[])).await.expect("starts");

    let ready = r#"{"degraded":[],"phase":"serving","ready":true,"reasons":[]}"#;
    until(&format!("http://{}/readyz", gateway.admin_address()), ready).await;
    let who = format!("http://{}/user-api/who", gateway.address());
    until(&who, "V1").await;
    publish(directory.path(), &[(two, "V1")]);
    until(&who, "V2").await;
}
