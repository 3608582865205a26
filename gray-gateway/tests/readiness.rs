//! `/readyz` of a gateway that serves, while registry and settings are away.

mod support;

use std::{fs, time::Duration};

use gray_core::Instance;
use gray_gateway::app::Application;
use gray_registry::{FileRegistry, Registry as _};
use serde_json::Value;
use tokio::time::timeout;

use support::args;

const LIMIT: Duration = Duration::from_secs(20);
const SETTINGS: &str = "\
kerwin.tool.gray: {load: true, version: {prodVersion: V1, grayVersion: V2}}
spring.cloud.gateway.routes: [{id: users, uri: 'lb://user-app', predicates: ['Path=/**']}]
";

struct Asking {
    http: reqwest::Client,
    admin: String,
}

impl Asking {
    async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("http://{}{path}", self.admin)).send().await.expect("answers");
        (answer.status().as_u16(), answer.text().await.expect("reads"))
    }

    /// Asks until what is degraded begins with these; the status must be this one all the time.
    async fn until(&self, status: u16, about: &[&str]) {
        let mut last = String::new();
        let asking = timeout(LIMIT, async {
            loop {
                let (found, text) = self.text("/readyz").await;
                assert_eq!(found, status, "{text}");
                let body: Value = serde_json::from_str(&text).expect("JSON");
                last = text;
                let degraded: Vec<_> =
                    body["degraded"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
                let fits = |(line, about): (&&str, &&str)| line.starts_with(&format!("{about}: "));
                if degraded.len() == about.len() && degraded.iter().zip(about).all(fits) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(asking.await.is_ok(), "{last}, not {about:?}");
    }
}

#[tokio::test]
async fn an_outage_takes_no_serving_gateway_out_of_rotation() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (registry_at, config_at) = (at("registry"), at("config"));
    fs::create_dir(&config_at).and_then(|()| fs::write(config_at.join("gateway-app.yaml"), SETTINGS)).expect("written");
    let registry = FileRegistry::open(&registry_at).expect("opened");
    let instance = Instance::new("127.0.0.1", 9).with_version("V1");
    registry.register("user-app", &instance).await.expect("registered");
    let args = args(&config_at, &["--registry-dir", registry_at.to_str().expect("UTF-8")]);
    let gateway = Application::build(&args).await.expect("starts");
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let asking = Asking { http, admin: gateway.admin_address().to_string() };
    let ready = timeout(LIMIT, async {
        while asking.text("/readyz").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(ready.await.is_ok(), "{:?}", asking.text("/readyz").await);
    asking.until(200, &[]).await;

    // A bad document, no instance to send requests to, and no registry to ask for more.
    fs::write(config_at.join("gateway-app.yaml"), "spring: [").expect("written");
    asking.until(200, &["settings refused"]).await;
    registry.deregister("user-app", &instance).await.expect("deregistered");
    let gone = timeout(LIMIT, async {
        loop {
            let status: Value = serde_json::from_str(&asking.text("/status").await.1).expect("JSON");
            if status["services"]["user-app"]["instances"].as_array().is_some_and(Vec::is_empty) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(gone.await.is_ok(), "still known");
    fs::rename(&registry_at, at("elsewhere")).expect("moved");
    asking.until(200, &["instances", "registry", "settings refused"]).await;
    fs::rename(&config_at, at("away")).expect("moved");
    asking.until(200, &["instances", "registry", "settings", "settings refused"]).await;
    let metrics = asking.text("/metrics").await.1;
    assert!(metrics.contains("gray_gateway_ready 1"), "{metrics}");
    for of in ["registry", "settings"] {
        assert!(metrics.contains(&format!("gray_gateway_source_age_seconds{{of=\"{of}\"}}")), "{metrics}");
    }

    fs::rename(at("elsewhere"), &registry_at).expect("moved back");
    fs::rename(at("away"), &config_at).expect("moved back");
    fs::write(config_at.join("gateway-app.yaml"), SETTINGS).expect("written");
    asking.until(200, &[]).await;
}
