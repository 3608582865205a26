//! A real Eureka server, Spring Cloud Netflix's, as a process of this machine, and its REST interface as an operator uses it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::process::Command;

use crate::{App, Http, documents::repository, ports};

const START: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Eureka {
    app: App,
    port: u16,
    more: Vec<String>,
}

/// Where scripts/ensure-eureka.sh has put it.
fn files() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let files = target.unwrap_or_else(|| repository().join("target")).join("eureka");
    ensure!(files.join("built").exists(), "there is no Eureka server in {}: scripts/ensure-eureka.sh", files.display());
    Ok(files)
}

fn spawn(port: u16, more: &[String]) -> Result<App> {
    let files = files()?;
    let mut command = Command::new("java");
    command
        // Ready in half the time: most of its code runs once.
        .args(["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        // Its own: that is where it runs.
        .args(["-Djava.io.tmpdir=.", "-cp"])
        .arg(format!("{0}/classes:{0}/lib/*", files.display()))
        .args(["gray.EurekaServer", &format!("--server.port={port}"), "--server.address=127.0.0.1"])
        .args(["--eureka.client.register-with-eureka=false", "--eureka.client.fetch-registry=false"])
        .args(more);
    App::spawn("Eureka's java, which scripts/ensure-eureka.sh installs where it may", command)
}

impl Eureka {
    /// Starts one that answers from no cache, unless `more` (settings as `--key=value`) says otherwise.
    pub async fn start(more: &[&str]) -> Result<Self> {
        let more = match more {
            [] => vec!["--eureka.server.use-read-only-response-cache=false".to_owned()],
            more => more.iter().map(|setting| (*setting).to_owned()).collect(),
        };
        let [port] = ports::free()?;
        let mut eureka = Self { app: spawn(port, &more)?, port, more };
        eureka.wait_ready().await?;
        Ok(eureka)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        self.app.wait_answer(self.port, "/eureka/apps", START).await
    }

    /// What `--eureka` takes.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/eureka/", self.port)
    }

    /// SIGKILL, then its end.
    pub async fn kill(&mut self) -> Result<()> {
        self.app.kill().await
    }

    /// Starts another in its place after [`kill`](Self::kill), which knows nothing.
    pub async fn replace(&mut self) -> Result<()> {
        self.app = spawn(self.port, &self.more)?;
        self.wait_ready().await
    }

    /// The instances of an application, as they are listed.
    pub async fn instances(&self, app: &str) -> Result<Vec<Value>> {
        let url = format!("{}apps/{app}", self.url());
        let answer = Http::new()?.get(&url, &[("accept", "application/json")]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let json = answer.expect(200)?.json()?;
        Ok(json.pointer("/application/instance").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// What an operator does with an instance: `PUT` and a status, or `DELETE` to give its own back.
    pub async fn status(&self, method: Method, app: &str, id: &str, status: &str) -> Result<()> {
        let url = format!("{}apps/{app}/{id}/status?value={status}", self.url());
        Http::new()?.send(method, &url, &[]).await?.expect(200).map(drop)
    }
}
