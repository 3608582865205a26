//! Connections to instances: plain, or over TLS where the registry says so.

use std::{
    error::Error,
    future::{Future, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use gray_tls::Trust;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

/// Silence after which the system asks whether the peer is still there, and between the questions.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Opens the connections of a client.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    trust: Arc<Trust>,
    /// Of TCP and TLS together.
    limit: Duration,
}

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Connector {
    pub(super) fn new(trust: Arc<Trust>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A peer that is gone without a word is noticed before a long call has reached its limit.
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(3));
        // Shared by the addresses of a name, so that one that does not answer leaves time for the next.
        tcp.set_connect_timeout(Some(limit));
        Self { tcp, trust, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let is_plain = to.scheme() != Some(&Scheme::HTTPS);
        let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        // Read for each connection: the file of the CAs may have changed.
        let config = match self.trust.config() {
            Ok(config) => config,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let connecting = HttpsConnector::from((self.tcp.clone(), config)).call(to);
        let (trust, limit) = (Arc::clone(&self.trust), self.limit);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) if is_plain => Err(io::Error::other(error)),
                Ok(Err(error)) => Err(explained(error, &trust, &host)),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"))),
            }
        })
    }
}

/// Why there was no handshake, unless there was not even a connection.
fn explained(error: Box<dyn Error + Send + Sync>, trust: &Trust, host: &str) -> io::Error {
    match error.downcast::<io::Error>() {
        // What the handshake said is wrapped once more.
        Ok(error) => match error.downcast::<io::Error>() {
            Ok(inner) => trust.explain(&inner, host),
            Err(error) => trust.explain(&error, host),
        },
        Err(error) => io::Error::other(error),
    }
}
