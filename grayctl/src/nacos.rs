//! The few calls of Nacos' HTTP API (v1) that publishing takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
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
    http: Client,
    address: String,
    token: Option<String>,
}

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
    pub(crate) fn new(address: &str) -> Result<Self> {
        let http = Client::builder().no_proxy().timeout(CALL).connect_timeout(Duration::from_secs(3)).build()?;
        Ok(Self { http, address: address.to_owned(), token: None })
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn wait_ready(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let last = match self.request(Method::GET, "/nacos/v1/console/health/readiness").send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) => format!("{:#}", anyhow::Error::new(error)),
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
        let answer = self.request(Method::POST, "/nacos/v1/auth/login").form(&form).send().await?;
        ensure!(
            answer.status().is_success(),
            "Nacos at {} refused the login of user {user}: {}",
            self.address,
            answer.status()
        );
        let login: Login = answer.json().await.context("Nacos answered the login with something else than a token")?;
        self.token = Some(login.access_token);
        Ok(())
    }

    /// Creates a namespace whose id and name are `namespace`; `false` when it was there.
    pub(crate) async fn ensure_namespace(&self, namespace: &str) -> Result<bool> {
        if self.has_namespace(namespace).await? {
            return Ok(false);
        }
        let form = [("customNamespaceId", namespace), ("namespaceName", namespace), ("namespaceDesc", "gray-chain")];
        let answer = self.request(Method::POST, "/nacos/v1/console/namespaces").form(&form).send().await?;
        let text = self.text(answer, "creating the namespace").await?;
        // Somebody else may have been quicker; what counts is that it is there.
        ensure!(
            text == "true" || self.has_namespace(namespace).await?,
            "Nacos at {} did not create the namespace {namespace}: {text}",
            self.address
        );
        Ok(true)
    }

    async fn has_namespace(&self, namespace: &str) -> Result<bool> {
        let answer = self.request(Method::GET, "/nacos/v1/console/namespaces").send().await?;
        let text = self.text(answer, "listing the namespaces").await?;
        let list: Namespaces = serde_json::from_str(&text).context("cannot read Nacos' list of namespaces")?;
        Ok(list.data.iter().any(|entry| entry.namespace == namespace))
    }

    /// The text of a document; `None` when there is none.
    pub(crate) async fn document(&self, place: Place<'_>) -> Result<Option<String>> {
        let answer = self.request(Method::GET, "/nacos/v1/cs/configs").query(&place.query()).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.text(answer, "reading a document").await.map(Some)
    }

    /// Writes a document, and waits until the server hands it out.
    pub(crate) async fn publish(&self, place: Place<'_>, text: &str) -> Result<()> {
        let form = [("content", text), ("type", "yaml")];
        let fields = [&place.query()[..], &form[..]].concat();
        let start = Instant::now();
        // The embedded database of a single Nacos refuses one of two writes at the same time, with 500.
        let said = loop {
            let answer = self.request(Method::POST, "/nacos/v1/cs/configs").form(&fields).send().await?;
            if !answer.status().is_server_error() || start.elapsed() >= CALL {
                break self.text(answer, "publishing a document").await?;
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
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.query(&[("accessToken", token)]),
            None => request,
        }
    }

    async fn text(&self, answer: Response, what: &str) -> Result<String> {
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("{what} at {} broke off", self.address))?;
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
