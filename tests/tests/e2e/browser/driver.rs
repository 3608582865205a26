//! A real browser: Chromium, told what to do by chromedriver in the words of WebDriver.
//!
//! A dozen lines of JSON over the HTTP client that is here anyway; the crates for it bring one of their own.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{App, eventually, ports};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// A browser with a profile of its own.
pub(super) struct Browser {
    http: Client,
    session: String,
    driver: App,
    _profile: TempDir,
}

impl Browser {
    pub(super) async fn start(driver: &Path, chromium: &Path) -> Result<Self> {
        let [port] = ports::free()?;
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}"));
        let mut driver = App::spawn("chromedriver", command)?;
        driver.wait_answer(port, "/status", Duration::from_secs(30)).await?;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let profile = tempfile::tempdir()?;
        let data = format!("--user-data-dir={}", profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            &data,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "pageLoadStrategy": "none",
            // A script that comes while the page changes may never be answered; it is asked again.
            "timeouts": { "script": 2000 },
            "goog:chromeOptions": { "binary": chromium, "args": args },
        } } });
        let sessions = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&sessions).json(&wanted).send().await?.json::<Value>().await?;
        let id = answer.pointer("/value/sessionId").and_then(Value::as_str);
        let session = format!("{sessions}/{}", id.with_context(|| format!("no session: {answer}\n{}", driver.log()))?);
        Ok(Self { http, session, driver, _profile: profile })
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.session));
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await?;
        let status = answer.status();
        let mut answer = answer.json::<Value>().await?;
        ensure!(status.is_success(), "the browser says {status} to {path}: {}", answer["value"]["message"]);
        Ok(answer["value"].take())
    }

    /// Goes to a page and waits until it is the one that is shown.
    pub(super) async fn open(&self, url: &str) -> Result<()> {
        self.command(Method::POST, "/url", Some(json!({ "url": url }))).await?;
        eventually("the page is shown", || async {
            let shown = self.run("return document.readyState === 'complete' ? location.href : ''").await?;
            ensure!(shown == url, "{shown}");
            Ok(())
        })
        .await
    }

    /// Runs a script in the page; what it returns.
    pub(super) async fn run(&self, script: &str) -> Result<Value> {
        self.command(Method::POST, "/execute/sync", Some(json!({ "script": script, "args": [] }))).await
    }

    /// Runs a script that may come while pages change.
    pub(super) async fn run_at_last(&self, script: &str) -> Result<Value> {
        eventually(script, || self.run(script)).await
    }

    /// The tab that is told what to do.
    pub(super) async fn tab(&self) -> Result<Value> {
        self.command(Method::GET, "/window", None).await
    }

    /// Opens another tab, and leaves it at that.
    pub(super) async fn new_tab(&self) -> Result<Value> {
        Ok(self.command(Method::POST, "/window/new", Some(json!({ "type": "tab" }))).await?["handle"].take())
    }

    /// Tells this tab what to do from now on.
    pub(super) async fn switch_to(&self, tab: &Value) -> Result<()> {
        self.command(Method::POST, "/window", Some(json!({ "handle": tab }))).await.map(drop)
    }

    /// Forgets what the browser keeps of answers; what a service worker keeps stays.
    pub(super) async fn forget(&self) -> Result<()> {
        let command = json!({ "cmd": "Network.clearBrowserCache", "params": {} });
        self.command(Method::POST, "/goog/cdp/execute", Some(command)).await.map(drop)
    }

    /// Ends it, and all its processes.
    pub(super) async fn quit(mut self) -> Result<()> {
        let ended = self.command(Method::DELETE, "", None).await;
        self.driver.stop().await?;
        ended.map(drop)
    }
}
