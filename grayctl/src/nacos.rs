//! The few questions to Nacos' HTTP API that publishing takes, in whichever version the server has.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use gray_common::service::UsageError;
use gray_nacos::{
    NacosOptions,
    dialect::{
        self, Answer, Ask, Beta, CreateNamespace, DocumentPlace, LoginReading, Namespaces, Probed, ReadBeta,
        ReadDocument, Reading, Ready, StopBeta, WriteBeta, WriteDocument,
    },
    http::{self, Server},
};

/// Time limit of one call.
const CALL: Duration = Duration::from_secs(10);
/// Pause between two tries while waiting.
const PAUSE: Duration = Duration::from_millis(300);

/// A document's place in Nacos.
pub(crate) type Place<'a> = DocumentPlace<'a>;

/// One Nacos server.
#[derive(Debug)]
pub(crate) struct Nacos {
    options: NacosOptions,
    server: Server,
    token: Option<String>,
}

impl fmt::Display for Nacos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = &self.server;
        write!(f, "Nacos at {host}:{port}")
    }
}

/// Whether a namespace is there.
pub(crate) enum Ensured {
    Present,
    Created,
    /// The user is not told; how that is said.
    Unknown(String),
}

impl Nacos {
    /// The first server of `options`.
    pub(crate) fn new(options: NacosOptions) -> Result<Self> {
        let servers =
            options.servers().map_err(|reason| UsageError(format!("--nacos {}: {reason}", options.server)))?;
        let server = servers.into_iter().next().context("there is a server")?;
        Ok(Self { options, server, token: None })
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn wait_ready(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let last = match self.is_ready().await {
                Ok(None) => return Ok(()),
                Ok(Some(trouble)) => format!("it answers {trouble}"),
                Err(error) => error.root_cause().to_string(),
            };
            if start.elapsed() >= limit {
                bail!("{self} was not ready within {limit:?}: {last}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Why it is not, if it is not. Nacos 3 answers 200 either way.
    async fn is_ready(&self) -> Result<Option<String>> {
        let probe = http::put(&self.options, &self.server, &dialect::probe(), None, CALL).await?;
        let (status, body) = match dialect::probed(Answer::new(probe.0, &probe.1)) {
            Probed::V3(trouble) => return Ok(trouble),
            _ => {
                let question = Ready.question(dialect::Dialect::V1);
                http::put(&self.options, &self.server, &question, None, CALL).await?
            }
        };
        Ok(match Ready.read(dialect::Dialect::V1, Answer::new(status, &body)) {
            Reading::Is(()) => None,
            Reading::NoPath(said) => Some(format!(
                "{said}; is the context path another one (--nacos-context, now `{}`)?",
                self.options.context
            )),
            _ => Some(Answer::new(status, &body).said()),
        })
    }

    /// Logs in; the calls that follow carry the token.
    pub(crate) async fn log_in(&mut self, user: &str, password: &str) -> Result<()> {
        let dialect = http::dialect(&self.options, &self.server, CALL).await.with_context(|| self.no_answer())?;
        let mut failure = String::new();
        for path in dialect.login_paths() {
            let question = dialect::login(path, user, password);
            let answer = http::put(&self.options, &self.server, &question, None, CALL).await;
            let (status, body) = answer.with_context(|| self.no_answer())?;
            let check = "check --username and --password (GRAY_NACOS_USERNAME, GRAY_NACOS_PASSWORD)";
            match dialect::read_login(dialect, Answer::new(status, &body)) {
                LoginReading::In(token) => {
                    self.token = Some(token.text);
                    return Ok(());
                }
                LoginReading::Refused(how) => bail!("{self} refused the login of user {user} ({how}): {check}"),
                LoginReading::Doubtful(how) => bail!(
                    "{self} refused the login of user {user}, or failed: it answers {how} to either; {check}, then its log"
                ),
                LoginReading::NoPath(how) | LoginReading::Failed(how) => failure = how,
                _ => {}
            }
        }
        bail!("{self} did not answer the login of user {user} with a token: {failure}")
    }

    /// Creates a namespace whose id and name are `namespace`, unless it is there.
    pub(crate) async fn ensure_namespace(&self, namespace: &str) -> Result<Ensured> {
        match self.has_namespace(namespace).await? {
            Reading::Is(true) => return Ok(Ensured::Present),
            Reading::Denied(said) if self.token.is_some() => return Ok(Ensured::Unknown(said)),
            Reading::Is(false) => {}
            other => drop(self.said(other, "listing the namespaces")?),
        }
        let created = self.ask(&CreateNamespace(namespace)).await?;
        // Another client may have been quicker; what counts is that it is there.
        if created == Reading::Is(true) || self.has_namespace(namespace).await? == Reading::Is(true) {
            return Ok(Ensured::Created);
        }
        if let Reading::Denied(said) = &created
            && self.token.is_some()
        {
            return Ok(Ensured::Unknown(said.clone()));
        }
        ensure!(
            self.said(created, "creating the namespace")? == Some(true),
            "{self} did not create the namespace {namespace}"
        );
        Ok(Ensured::Created)
    }

    async fn has_namespace(&self, namespace: &str) -> Result<Reading<bool>> {
        Ok(match self.ask(&Namespaces).await? {
            Reading::Is(list) => Reading::Is(list.iter().any(|id| id == namespace)),
            Reading::Denied(said) => Reading::Denied(said),
            Reading::NoPath(said) | Reading::Fault(said) | Reading::Failed(said) => Reading::Failed(said),
            _ => Reading::Is(false),
        })
    }

    /// The text of a document; `None` when there is none.
    pub(crate) async fn document(&self, place: Place<'_>) -> Result<Option<String>> {
        let reading = self.ask(&ReadDocument(place)).await?;
        self.said(reading, "reading a document")
    }

    /// Writes a document, and waits until the server hands it out.
    pub(crate) async fn publish(&self, place: Place<'_>, text: &str) -> Result<()> {
        self.write(&WriteDocument(place, text), place.name).await?;
        // Nacos serves reads from a cache that it fills a moment after the write.
        let start = Instant::now();
        while self.document(place).await?.as_deref() != Some(text) {
            handed_out(start, self, place.name).await?;
        }
        Ok(())
    }

    /// What some addresses get instead of a document's text; `None` if all get the same.
    pub(crate) async fn beta(&self, place: Place<'_>) -> Result<Option<Beta>> {
        let reading = self.ask(&ReadBeta(place)).await?;
        self.said(reading, "reading a gray publish")
    }

    /// As [`publish`](Self::publish), for these addresses alone.
    pub(crate) async fn publish_beta(&self, place: Place<'_>, text: &str, addresses: &[IpAddr]) -> Result<()> {
        self.write(&WriteBeta { place, text, addresses }, place.name).await?;
        let start = Instant::now();
        while self.beta(place).await?.is_none_or(|beta| beta.text != text) {
            handed_out(start, self, place.name).await?;
        }
        Ok(())
    }

    /// Ends what [`publish_beta`](Self::publish_beta) began.
    pub(crate) async fn stop_beta(&self, place: Place<'_>) -> Result<()> {
        self.write(&StopBeta(place), place.name).await
    }

    /// The embedded database of a single Nacos refuses one of two writes at the same time, with 500.
    async fn write<A: Ask<Said = bool> + Sync>(&self, ask: &A, name: &str) -> Result<()> {
        let start = Instant::now();
        let said = loop {
            match self.ask(ask).await? {
                Reading::Fault(_) if start.elapsed() < CALL => tokio::time::sleep(PAUSE).await,
                reading => break self.said(reading, "publishing a document")?,
            }
        };
        ensure!(said == Some(true), "{self} did not accept {name}");
        Ok(())
    }

    async fn ask<A: Ask + Sync>(&self, ask: &A) -> Result<Reading<A::Said>> {
        let asked = http::ask(&self.options, &self.server, ask, self.token.as_deref(), CALL).await;
        asked.with_context(|| self.no_answer())
    }

    fn no_answer(&self) -> String {
        format!("no answer from {self}")
    }

    /// What was asked for; `None` when there is no such thing.
    fn said<T>(&self, reading: Reading<T>, what: &str) -> Result<Option<T>> {
        match reading {
            Reading::Is(said) => Ok(Some(said)),
            Reading::Absent => Ok(None),
            Reading::Denied(said) if self.token.is_some() => {
                bail!("{what} at {self} is refused: this user has no right to it ({said})")
            }
            Reading::Denied(_) => bail!(
                "{self} wants a login for {what}: give --username and --password (GRAY_NACOS_USERNAME, GRAY_NACOS_PASSWORD)"
            ),
            Reading::NoPath(said) => bail!(
                "{what} at {self} failed: {said}; is the context path another one (--nacos-context, now `{}`)?",
                self.options.context
            ),
            Reading::Fault(said) | Reading::Failed(said) => bail!("{what} at {self} failed: {said}"),
            _ => bail!("{what} at {self} failed"),
        }
    }
}

/// A moment, in which the server may come to hand out what it accepted.
async fn handed_out(start: Instant, nacos: &Nacos, name: &str) -> Result<()> {
    ensure!(start.elapsed() < CALL, "{nacos} accepted {name} but does not hand it out as written");
    tokio::time::sleep(PAUSE / 3).await;
    Ok(())
}
