//! One of the two gateways: connections to it, and requests as they are written.

use std::{fmt, path::Path, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use gray_common::service::UsageError;
use gray_tls::{Trust, server_name};
use http::{HeaderValue, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{compare::Answer, requests::Request};

/// Most bytes of an answer that are read.
const MAX_BODY: usize = 1 << 20;

/// What is sent with every request, and how long an answer may take.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    /// The `Host` of requests that say none; without it that of the gateway's address.
    pub(super) host: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
}

/// A gateway.
pub(super) struct Side {
    host: String,
    port: u16,
    /// As `Host` names it.
    authority: String,
    /// As `Location` may name it.
    pub(super) base: String,
    tls: Option<Trust>,
    sending: Sending,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Side {
    /// The gateway at an address.
    ///
    /// # Errors
    /// What is not an address, or a file of certificates that cannot be used.
    pub(super) fn new(flag: &str, url: &str, ca: Option<&Path>, sending: Sending) -> Result<Self> {
        let fail = |reason: &str| {
            UsageError(format!("{flag} {url}: {reason}; expected http://HOST:PORT or https://HOST:PORT"))
        };
        let parsed = Url::parse(url).map_err(|error| fail(&error.to_string()))?;
        let is_plain = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        if !is_plain || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(fail("there is more in it than host and port").into());
        }
        let tls = match parsed.scheme() {
            "http" => None,
            "https" => Some(Trust::new("--ca", ca)?),
            _ => return Err(fail("neither http nor https").into()),
        };
        let host = parsed.host_str().ok_or_else(|| fail("there is no host"))?;
        let port = parsed.port_or_known_default().ok_or_else(|| fail("there is no port"))?;
        let authority = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            base: format!("{}://{authority}", parsed.scheme()),
            authority,
            tls,
            sending,
            idle: Mutex::default(),
        })
    }

    /// Sends a request, and reads the answer up to the bound.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, String> {
        match timeout(self.sending.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no whole answer within {} s", self.sending.timeout.as_secs())),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, String> {
        let message = self.message(request)?;
        let kept = self.idle.lock().await.pop();
        // A connection that was kept may have been closed meanwhile; what is sent twice is sent for nothing but to look.
        if let Some(mut sender) = kept
            && ["GET", "HEAD"].contains(&&*request.method)
            && sender.ready().await.is_ok()
            && let Ok(answer) = self.send(sender, message.clone()).await
        {
            return Ok(answer);
        }
        let sender = self.connect().await?;
        self.send(sender, message).await
    }

    fn message(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, String> {
        // No part of a URL is looked at: what stands in the file is sent.
        let target = request.target.parse::<Uri>().map_err(|error| format!("the target cannot be sent: {error}"))?;
        let body = Full::new(Bytes::from(request.body.clone()));
        let mut message = http::Request::builder().method(&*request.method).uri(target);
        let is_new = |(name, _): &&(String, String)| !request.headers.iter().any(|(known, _)| known == name);
        let mut all: Vec<_> = request.headers.iter().chain(self.sending.headers.iter().filter(is_new)).collect();
        let (host, agent) = (
            ("host".to_owned(), self.sending.host.clone().unwrap_or_else(|| self.authority.clone())),
            ("user-agent".to_owned(), "grayctl-diff".to_owned()),
        );
        let accept = ("accept".to_owned(), "*/*".to_owned());
        for usual in [&host, &agent, &accept] {
            if !all.iter().any(|(name, _)| *name == usual.0) {
                all.push(usual);
            }
        }
        // `Host` comes first, as clients send it.
        all.sort_by_key(|(name, _)| name != header::HOST.as_str());
        for (name, value) in all {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| format!("header {name}: {error}"))?;
            message = message.header(name, value);
        }
        message.body(body).map_err(|error| format!("the request cannot be sent: {error}"))
    }

    async fn send(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        message: http::Request<Full<Bytes>>,
    ) -> Result<Answer, String> {
        let said = |error: hyper::Error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        };
        let response = sender.send_request(message).await.map_err(said)?;
        let (head, mut rest) = response.into_parts();
        let (status, headers, from) = (head.status.as_u16(), head.headers, self.base.clone());
        let mut answer = Answer { status, headers, body: Vec::new(), is_cut: false, from };
        while let Some(frame) = rest.frame().await {
            let Ok(data) = frame.map_err(said)?.into_data() else { continue };
            let room = MAX_BODY - answer.body.len();
            answer.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                answer.is_cut = true;
                // The rest is not worth waiting for: the connection goes with it.
                return Ok(answer);
            }
        }
        self.idle.lock().await.push(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let fail = |error: std::io::Error| format!("cannot connect: {error}");
        let socket = TcpStream::connect((&*self.host, self.port)).await.map_err(fail)?;
        socket.set_nodelay(true).map_err(fail)?;
        let Some(tls) = &self.tls else { return handshake(socket).await };
        let connector = TlsConnector::from(tls.config().map_err(fail)?);
        let shaken = connector.connect(server_name(&self.host).map_err(fail)?, socket).await;
        handshake(shaken.map_err(|error| fail(tls.explain(&error, &self.host)))?).await
    }
}

async fn handshake(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, connection) =
        Builder::new().handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    // Ends with the sender; what goes wrong is told to whatever waits for an answer.
    gray_common::spawn(async move { drop(connection.await) });
    Ok(sender)
}
