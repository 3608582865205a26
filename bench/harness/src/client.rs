//! Single requests, and whether their answers are right.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, Version,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::workload::{Ask, Expect};

/// The longest an answer may take, on a loaded machine too.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two samples during a load.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// One connection.
#[derive(Debug)]
enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn connect(address: SocketAddr, http2: bool) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let socket = TokioIo::new(socket);
        // How a connection ends is seen by the task that waits for an answer.
        if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), socket).await?;
            tokio::spawn(async move { drop(connection.await) });
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(socket).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self::Http1(sender))
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let response = match self {
            Self::Http1(sender) => sender.send_request(request).await?,
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// A request without its headers; HTTP/2 wants the authority in the target, HTTP/1.1 in a header.
fn begin(method: &str, address: SocketAddr, path: &str, http2: bool) -> hyper::http::request::Builder {
    let builder = Request::builder().method(method);
    if http2 {
        builder.version(Version::HTTP_2).uri(format!("http://{address}{path}"))
    } else {
        builder.uri(path).header("host", address.to_string())
    }
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str, http2: bool) -> Result<Response<Bytes>> {
    let request = begin("GET", address, path, http2).body(Full::default())?;
    let answer = async { Client::connect(address, http2).await?.send(request).await };
    tokio::time::timeout(LIMIT, answer).await.context("no answer")?
}

/// Asks what the load asks, now and then, and looks at every answer.
#[derive(Debug)]
pub(crate) struct Sampler {
    address: SocketAddr,
    ask: Ask,
    body: Bytes,
    client: Option<Client>,
    asked: u64,
}

impl Sampler {
    pub(crate) fn new(address: SocketAddr, ask: Ask) -> Self {
        let body = Bytes::from(ask.sent());
        Self { address, ask, body, client: None, asked: 0 }
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Asks until it is dropped.
    ///
    /// # Errors
    /// The first answer that is not right.
    pub(crate) async fn run(&mut self) -> Result<()> {
        loop {
            self.ask_once().await?;
            tokio::time::sleep(SAMPLE_EVERY).await;
        }
    }

    /// Asks and checks once.
    pub(crate) async fn ask_once(&mut self) -> Result<()> {
        let path = self.ask.path;
        let answer = tokio::time::timeout(LIMIT, self.answer()).await;
        let answer = answer.with_context(|| format!("{path} was not answered within {LIMIT:?}"))??;
        self.asked += 1;
        check(&answer, &self.ask, &self.body).with_context(|| format!("a wrong answer to {path}"))
    }

    async fn answer(&mut self) -> Result<Response<Bytes>> {
        let http2 = self.ask.http2;
        let mut request = begin(self.ask.method, self.address, self.ask.path, http2).header("userNo", "U0001");
        if let Some((kind, _)) = self.ask.body {
            request = request.header("content-type", kind);
        }
        if self.ask.close {
            request = request.header("connection", "close");
        }
        let request = request.body(Full::new(self.body.clone()))?;
        let mut client = match self.client.take().filter(Client::is_ready) {
            Some(client) => client,
            None => Client::connect(self.address, http2).await?,
        };
        let response = client.send(request).await?;
        if !self.ask.close {
            self.client = Some(client);
        }
        Ok(response)
    }
}

fn check(answer: &Response<Bytes>, ask: &Ask, sent: &Bytes) -> Result<()> {
    let body = answer.body();
    let shown = || String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned();
    ensure!(answer.status().as_u16() == 200, "status {}: {}", answer.status(), shown());
    if ask.versioned {
        let version = answer.headers().get("x-version");
        ensure!(version.is_some_and(|version| version == "V1"), "x-version is {version:?}, not V1");
    }
    match ask.expect {
        Expect::Holds(text) => {
            let holds = body.windows(text.len()).any(|part| part == text.as_bytes());
            ensure!(holds, "the body does not hold {text}: {}", shown());
        }
        Expect::Bytes(count) => {
            ensure!(body.len() == count && body.iter().all(|byte| *byte == b'x'), "{} bytes, or others", body.len());
        }
        Expect::Sent => ensure!(body == sent, "the body is not the one that was sent: {}", shown()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    fn answer(status: u16, version: &str, body: &'static str) -> Response<Bytes> {
        let builder = Response::builder().status(status).header("x-version", version);
        builder.body(Bytes::from_static(body.as_bytes())).expect("valid")
    }

    #[test]
    fn only_right_answers_pass() {
        let ask = Workload::Small.ask();
        let good = r#"{"metaVersion":"V1"}"#;
        assert!(check(&answer(200, "V1", good), &ask, &Bytes::new()).is_ok());
        assert!(check(&answer(503, "V1", good), &ask, &Bytes::new()).is_err());
        assert!(check(&answer(200, "V2", good), &ask, &Bytes::new()).is_err());
        assert!(check(&answer(200, "V1", "{}"), &ask, &Bytes::new()).is_err());
        let echo = Workload::Post.ask();
        assert!(check(&answer(200, "V1", "a"), &echo, &Bytes::from_static(b"b")).is_err());
        let download = Workload::Download.ask();
        assert!(check(&answer(200, "V1", "xxx"), &download, &Bytes::new()).is_err());
    }
}
