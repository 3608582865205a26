//! The few calls of Nacos' HTTP API (v1) that publishing takes.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use gray_common::service::UsageError;
use gray_nacos::{NacosOptions, http as nacos_http};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;

/// Time limit of one call.
const CALL: Duration = Duration::from_secs(10);
/// Pause between two tries while waiting.
const PAUSE: Duration = Duration::from_millis(300);

/// A document's place in Nacos.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Empty for the public namespace.
    pub(crate) namespace: &'a str,
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> Place<'a> {
    fn query(&self) -> [(&'static str, &'a str); 3] {
        [("tenant", self.namespace), ("group", self.group), ("dataId", self.name)]
    }
}

/// One Nacos server.
#[derive(Debug)]
pub(crate) struct Nacos {
    requests: Client,
    options: NacosOptions,
    server: (String, u16),
    address: String,
    token: Option<String>,
}

impl fmt::Display for Nacos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nacos at {}", self.address)
    }
}

type Answer = (StatusCode, String);

#[derive(Deserialize)]
struct Namespaces {
    data: Vec<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    namespace: String,
}

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "accessToken")]
    access_token: String,
}

impl Nacos {
    /// The first server of `options`.
    pub(crate) fn new(options: NacosOptions) -> Result<Self> {
        let servers =
            options.servers().map_err(|reason| UsageError(format!("--nacos {}: {reason}", options.server)))?;
        let server = servers.into_iter().next().context("there is a server")?;
        let address = format!("{}:{}", server.0, server.1);
        Ok(Self { requests: nacos_http::requests()?, options, server, address, token: None })
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn wait_ready(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let last = match self.send(self.request(Method::GET, "console/health/readiness")).await {
                Ok((status, _)) if status.is_success() => return Ok(()),
                Ok((status, _)) => format!("it answers {status}"),
                Err(error) => error.root_cause().to_string(),
            };
            if start.elapsed() >= limit {
                bail!("Nacos at {} was not ready within {limit:?}: {last}", self.address);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Logs in; the calls that follow carry the token.
    pub(crate) async fn log_in(&mut self, user: &str, password: &str) -> Result<()> {
        let form = [("username", user), ("password", password)];
        let (status, answer) = self.send(self.request(Method::POST, "auth/login").form(&form)).await?;
        ensure!(status.is_success(), "Nacos at {} refused the login of user {user}: {status}", self.address);
        let login: Login =
            serde_json::from_str(&answer).context("Nacos answered the login with something else than a token")?;
        self.token = Some(login.access_token);
        Ok(())
    }

    /// Creates a namespace whose id and name are `namespace`; `false` when it was there.
    pub(crate) async fn ensure_namespace(&self, namespace: &str) -> Result<bool> {
        if self.has_namespace(namespace).await? {
            return Ok(false);
        }
        let form = [("customNamespaceId", namespace), ("namespaceName", namespace), ("namespaceDesc", "gray-chain")];
        let answer = self.send(self.request(Method::POST, "console/namespaces").form(&form)).await?;
        let text = self.text(answer, "creating the namespace")?;
        // Another client may have been quicker; what counts is that it is there.
        ensure!(
            text == "true" || self.has_namespace(namespace).await?,
            "Nacos at {} did not create the namespace {namespace}: {text}",
            self.address
        );
        Ok(true)
    }

    async fn has_namespace(&self, namespace: &str) -> Result<bool> {
        let answer = self.send(self.request(Method::GET, "console/namespaces")).await?;
        let text = self.text(answer, "listing the namespaces")?;
        let list: Namespaces = serde_json::from_str(&text).context("cannot read Nacos' list of namespaces")?;
        Ok(list.data.iter().any(|entry| entry.namespace == namespace))
    }

    /// The text of a document; `None` when there is none.
    pub(crate) async fn document(&self, place: Place<'_>) -> Result<Option<String>> {
        let answer = self.send(self.request(Method::GET, "cs/configs").query(&place.query())).await?;
        if answer.0 == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.text(answer, "reading a document").map(Some)
    }

    /// Writes a document, and waits until the server hands it out.
    pub(crate) async fn publish(&self, place: Place<'_>, text: &str) -> Result<()> {
        let form = [("content", text), ("type", "yaml")];
        let fields = [&place.query()[..], &form[..]].concat();
        let start = Instant::now();
        // The embedded database of a single Nacos refuses one of two writes at the same time, with 500.
        let said = loop {
            let answer = self.send(self.request(Method::POST, "cs/configs").form(&fields)).await?;
            if !answer.0.is_server_error() || start.elapsed() >= CALL {
                break self.text(answer, "publishing a document")?;
            }
            tokio::time::sleep(PAUSE).await;
        };
        ensure!(said == "true", "Nacos at {} did not accept {}: {said}", self.address, place.name);
        // Nacos serves reads from a cache that it fills a moment after the write.
        let start = Instant::now();
        while self.document(place).await?.as_deref() != Some(text) {
            if start.elapsed() >= CALL {
                bail!("Nacos at {} accepted {} but does not hand it out as written", self.address, place.name);
            }
            tokio::time::sleep(PAUSE / 3).await;
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.requests.request(method, nacos_http::url(&self.options, &self.server, path));
        match &self.token {
            Some(token) => request.query(&[("accessToken", token)]),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let (status, body) = nacos_http::send(&self.options, request, CALL)
            .await
            .with_context(|| format!("no answer from Nacos at {}", self.address))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn text(&self, (status, text): Answer, what: &str) -> Result<String> {
        match status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => bail!(
                "Nacos at {} wants a login for {what}: give --username and --password (GRAY_NACOS_USERNAME, GRAY_NACOS_PASSWORD)",
                self.address
            ),
            status if status.is_success() => Ok(text),
            status => bail!("{what} at {} failed with {status}: {}", self.address, text.trim()),
        }
    }
}
