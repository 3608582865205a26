//! Asking the scheduler: the first of its addresses that answers, beginning with the one that did last.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;
use serde::Serialize;

use crate::{
    error::StartError,
    telemetry,
    wire::{Acknowledgement, LOWER_TOKEN_HEADER, read, shortened},
};

/// The scheduler (xxl-job-admin, or one that speaks its protocol), at one or several addresses.
#[derive(Debug)]
pub(crate) struct Scheduler {
    addresses: Vec<Url>,
    token: Option<HeaderValue>,
    client: reqwest::Client,
    /// Place of the address that answered last.
    last: AtomicUsize,
}

/// Why the scheduler did not take something.
#[derive(Debug)]
pub(crate) enum Untaken {
    /// No address answered, as far as is known.
    Unreached(String),
    /// It answered, and said no.
    Refused(String),
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreached(reason) | Self::Refused(reason)) = self;
        f.write_str(reason)
    }
}

impl Scheduler {
    /// Longest time for one address to answer, as in Java's executor.
    const LIMIT: Duration = Duration::from_secs(3);
    /// Largest answer.
    const MAX_ANSWER: usize = 64 << 10;

    pub(crate) fn new(addresses: &[String], token: Option<HeaderValue>) -> Result<Self, StartError> {
        if addresses.is_empty() {
            return Err(StartError::Admin {
                address: String::new(),
                reason: "Without a scheduler nothing starts a job",
            });
        }
        let addresses = addresses.iter().map(|address| parse(address)).collect::<Result<Vec<_>, _>>()?;
        let client = reqwest::Client::builder()
            .timeout(Self::LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            // Shorter than the keep-alive of common servers.
            .pool_idle_timeout(Duration::from_secs(10))
            .build()
            .map_err(|source| StartError::Client { source })?;
        Ok(Self { addresses, token, client, last: AtomicUsize::new(0) })
    }

    /// Posts until one address has acknowledged it.
    pub(crate) async fn post(&self, path: &str, body: &(impl Serialize + ?Sized + Sync)) -> Result<(), Untaken> {
        let body = serde_json::to_vec(body).map_err(|error| Untaken::Refused(error.to_string()))?;
        let first = self.last.load(Relaxed);
        let mut untaken = None;
        for step in 0..self.addresses.len() {
            let place = (first + step) % self.addresses.len();
            let address = &self.addresses[place];
            match self.ask(address, path, body.clone()).await {
                Ok(()) => {
                    self.last.store(place, Relaxed);
                    return Ok(());
                }
                Err(reason) => {
                    metrics::counter!(telemetry::SCHEDULER_FAILURES_TOTAL).increment(1);
                    tracing::debug!(scheduler = %address, path, %reason, "not acknowledged");
                    // What one says counts more than another's silence.
                    if !matches!((&untaken, &reason), (Some(Untaken::Refused(_)), Untaken::Unreached(_))) {
                        untaken = Some(reason);
                    }
                }
            }
        }
        Err(untaken.unwrap_or_else(|| Untaken::Unreached("no address".to_owned())))
    }

    async fn ask(&self, address: &Url, path: &str, body: Vec<u8>) -> Result<(), Untaken> {
        let unreached = |error: reqwest::Error| {
            let error: &dyn std::error::Error = &error.without_url();
            let causes = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
            Untaken::Unreached(format!("{address}: {}", causes.collect::<Vec<_>>().join(": ")))
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
        headers.extend(self.token.clone().map(|token| (HeaderName::from_static(LOWER_TOKEN_HEADER), token)));
        let Ok(url) = address.join(path) else { return Err(Untaken::Refused(format!("{address}{path} is not a URL"))) };
        let mut response = self.client.post(url).headers(headers).body(body).send().await.map_err(unreached)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreached)? {
            if text.len() + chunk.len() > Self::MAX_ANSWER {
                return Err(Untaken::Unreached(format!(
                    "{address}: an answer of more than {} bytes",
                    Self::MAX_ANSWER
                )));
            }
            text.extend_from_slice(&chunk);
        }
        let told = |text: &str| shortened(text, 200).escape_debug().to_string();
        if status != http::StatusCode::OK {
            let is_passing = status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS;
            let reason = format!("{address}: {status} {}", told(&String::from_utf8_lossy(&text)));
            return Err(if is_passing { Untaken::Unreached(reason) } else { Untaken::Refused(reason) });
        }
        match read::<Acknowledgement>(&text) {
            Ok(Acknowledgement { code: crate::wire::code::SUCCESS, .. }) => Ok(()),
            Ok(Acknowledgement { code, msg }) => {
                Err(Untaken::Refused(format!("{address}: {code} {}", told(&msg.unwrap_or_default()))))
            }
            Err(error) => Err(Untaken::Unreached(format!("{address}: {}", told(&error)))),
        }
    }
}

/// An address with a path that ends in `/`.
fn parse(text: &str) -> Result<Url, StartError> {
    let refused = |reason| StartError::Admin { address: text.to_owned(), reason };
    let mut url = Url::parse(text).map_err(|_| refused("It is not a URL"))?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(refused("TLS is not spoken here: put a proxy of this machine in between")),
        _ => return Err(refused("Only http is spoken")),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(refused("It has a user, a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn addresses() {
        for (text, expect) in [
            ("http://127.0.0.1:8080/xxl-job-admin", Some("http://127.0.0.1:8080/xxl-job-admin/api/registry")),
            ("http://127.0.0.1:8080/xxl-job-admin/", Some("http://127.0.0.1:8080/xxl-job-admin/api/registry")),
            ("http://scheduler", Some("http://scheduler/api/registry")),
            ("https://scheduler/", None),
            ("ftp://scheduler/", None),
            ("scheduler:8080", None),
            ("http://me:secret@scheduler/", None),
            ("http://scheduler/?x=1", None),
            ("", None),
        ] {
            let joined = parse(text).ok().and_then(|url| url.join("api/registry").ok());
            assert_eq!(joined.as_ref().map(Url::as_str), expect, "{text}");
        }
        assert!(Scheduler::new(&[], None).is_err());
    }

    /// What becomes of a request that is answered so.
    async fn answered(text: &str) -> Result<(), Untaken> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/", listener.local_addr().expect("bound"));
        let answering = async {
            let (mut stream, _) = listener.accept().await.expect("asked");
            let mut request = Vec::new();
            while !request.ends_with(b"\"body\"") {
                assert!(stream.read_buf(&mut request).await.expect("sent") > 0);
            }
            // It may hang up in the middle of it.
            drop(stream.write_all(text.as_bytes()).await);
        };
        let scheduler = Scheduler::new(&[address], None).expect("an address");
        tokio::join!(scheduler.post("api/callback", "body"), answering).0
    }

    #[tokio::test]
    async fn answers_that_acknowledge_and_others() {
        let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let with =
            |status: u16, body: &str| format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let large = format!("{{\"code\":200,\"msg\":\"{}\"}}", "x".repeat(Scheduler::MAX_ANSWER));
        let deep = format!("{{\"code\":200,\"content\":{}{}}}", "[".repeat(100), "]".repeat(100));
        for (answer, expect) in [
            (with(200, r#"{"code":200}"#), "taken"),
            (with(200, r#"{"code":200,"msg":null,"content":"success","new":[1]}"#), "taken"),
            (with(200, r#"{"code":500,"msg":"no \u001b[2J"}"#), "refused"),
            (with(200, r#"{"code":500}"#), "refused"),
            (with(404, "not here"), "refused"),
            (with(401, ""), "refused"),
            (elsewhere.to_owned(), "refused"),
            (with(429, ""), "unreached"),
            (with(503, "<html>"), "unreached"),
            (with(200, "<html>"), "unreached"),
            (with(200, ""), "unreached"),
            (with(200, "{}"), "unreached"),
            (with(200, r#"{"code":"200"}"#), "unreached"),
            (with(200, &deep), "unreached"),
            (with(200, &large), "unreached"),
            ("SSH-2.0-x\r\n".to_owned(), "unreached"),
            (String::new(), "unreached"),
        ] {
            let (got, told) = match answered(&answer).await {
                Ok(()) => ("taken", String::new()),
                Err(Untaken::Refused(told)) => ("refused", told),
                Err(Untaken::Unreached(told)) => ("unreached", told),
            };
            assert_eq!(got, expect, "{answer:.80}: {told}");
            assert!(told.len() < 400 && !told.contains(|c: char| c.is_control()), "{told:?}");
        }
    }
}
