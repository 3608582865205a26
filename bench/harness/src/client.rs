//! Single requests, and whether their answers are right.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::workload::{Ask, Expect};

/// The longest an answer may take, on a loaded machine too.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two samples during a load.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// One connection.
#[derive(Debug)]
struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        // How it ends is seen by whoever waits for an answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Response<Bytes>> {
    let request = Request::get(path).header("host", address.to_string()).body(Full::default())?;
    let answer = async { Client::connect(address).await?.send(request).await };
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
        let mut request = Request::builder().method(self.ask.method).uri(self.ask.path);
        request = request.header("host", self.address.to_string()).header("userNo", "U0001");
        if let Some((kind, _)) = self.ask.body {
            request = request.header("content-type", kind);
        }
        if self.ask.close {
            request = request.header("connection", "close");
        }
        let request = request.body(Full::new(self.body.clone()))?;
        let mut client = match self.client.take().filter(|client| client.sender.is_ready()) {
            Some(client) => client,
            None => Client::connect(self.address).await?,
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
