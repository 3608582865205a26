//! toxiproxy: a process with proxies in it that can be told, over HTTP, to misbehave.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{eventually, ports};

/// The process; ends when dropped.
#[derive(Debug)]
pub(super) struct Toxiproxy {
    _child: Child,
    url: String,
    http: Client,
}

/// Kinds of toxics with their settings, as toxiproxy names them.
pub(super) const TOXICS: [(&str, &str); 5] = [
    ("latency", r#"{"latency":150,"jitter":50}"#),
    ("bandwidth", r#"{"rate":20}"#),
    ("slow_close", r#"{"delay":1000}"#),
    ("reset_peer", r#"{"timeout":0}"#),
    // Accepts, and lets nothing through.
    ("timeout", r#"{"timeout":0}"#),
];

impl Toxiproxy {
    pub(super) async fn start(program: &PathBuf) -> Result<Self> {
        let [port] = ports::free()?;
        let child = Command::new(program)
            .args(["-host", "127.0.0.1", "-port", &port.to_string()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let http = Client::builder().no_proxy().timeout(std::time::Duration::from_secs(5)).build()?;
        let proxy = Self { _child: child, url: format!("http://127.0.0.1:{port}"), http };
        eventually("toxiproxy answers", || proxy.call(Method::GET, "version", &Value::Null)).await?;
        Ok(proxy)
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let request = self.http.request(method.clone(), format!("{}/{path}", self.url));
        let answer = if body.is_null() { request } else { request.json(body) }.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "toxiproxy answered {method} {path} with {status}: {}", answer.text().await?);
        Ok(())
    }

    /// A proxy from one port to another.
    pub(super) async fn between(&self, name: &str, from: u16, to: u16) -> Result<()> {
        let body = json!({
            "name": name, "listen": format!("127.0.0.1:{from}"), "upstream": format!("127.0.0.1:{to}"), "enabled": true,
        });
        self.call(Method::POST, "proxies", &body).await
    }

    /// Makes a proxy misbehave, in what comes back.
    pub(super) async fn add(&self, proxy: &str, kind: &str, attributes: &str) -> Result<()> {
        let attributes: Value = serde_json::from_str(attributes)?;
        let body =
            json!({ "name": kind, "type": kind, "stream": "downstream", "toxicity": 1.0, "attributes": attributes });
        self.call(Method::POST, &format!("proxies/{proxy}/toxics"), &body).await
    }

    /// Makes it well again.
    pub(super) async fn remove(&self, proxy: &str, kind: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("proxies/{proxy}/toxics/{kind}"), &Value::Null).await
    }
}
