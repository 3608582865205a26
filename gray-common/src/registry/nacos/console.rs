//! The one question that the SDK cannot answer: is an instance that is no longer listed gone, or switched off?
//!
//! Nacos leaves an instance that an operator disabled out of lists and pushes (seen on 2.3.2), as if it had never been
//! there. Asked for by address over HTTP, it still is. Without that answer we would hold on to a disabled instance as
//! to one that went missing, and announce our own again and again.

use std::time::Duration;

use serde::Deserialize;

use super::NacosOptions;
use crate::instance::Instance;

/// Limit for one request. The answer is a refinement; nobody should wait for it.
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "accessToken")]
    access_token: String,
}

/// Whether the server knows this address, listed or not. `false` as well when it cannot tell (no HTTP, no permission,
/// another cluster than ours): what is only missing is held, and that is the safer mistake.
pub(super) async fn is_registered(options: &NacosOptions, service: &str, instance: &Instance) -> bool {
    let Ok(http) = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() else { return false };
    let port = instance.port.to_string();
    let query = [
        ("serviceName", service),
        ("groupName", &options.group),
        ("namespaceId", options.namespace_id()),
        ("cluster", &options.cluster),
        ("clusterName", &options.cluster),
        ("ip", &instance.host),
        ("port", &port),
    ];
    for (host, port) in options.servers().unwrap_or_default() {
        let server = format!("http://{host}:{port}/nacos/v1");
        let mut request = http.get(format!("{server}/ns/instance")).query(&query);
        if let Some(token) = token(&http, &server, options).await {
            request = request.bearer_auth(token);
        }
        // Any answer is the cluster's answer; only a server that gives none is passed over.
        if let Ok(answer) = request.send().await {
            return answer.status().is_success();
        }
    }
    false
}

async fn token(http: &reqwest::Client, server: &str, options: &NacosOptions) -> Option<String> {
    let form = [("username", options.username.as_deref()?), ("password", options.password.as_deref()?)];
    let answer = http.post(format!("{server}/auth/login")).form(&form).send().await.ok()?;
    Some(answer.json::<Login>().await.ok()?.access_token)
}
