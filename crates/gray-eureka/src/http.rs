//! Requests to the servers: each on a connection of its own, over TLS when its URL says so, to the next server when one fails.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use gray_registry::CallError;
use gray_tls::server_name;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{
    lock,
    options::{EurekaOptions, Server},
};

/// Longest answer that is read, as sent and as unpacked.
pub(crate) const MAX_ANSWER: usize = 32 << 20;
/// How long one server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// Below the server's own, without a slash in front.
    pub(crate) path: String,
    pub(crate) body: Option<String>,
    pub(crate) limit: Duration,
    /// Which answers count as one, besides those of success.
    pub(crate) taken: &'static [StatusCode],
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Body,
    /// Which one it was.
    pub(crate) server: usize,
}

/// A body as it was sent.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Bytes,
    is_packed: bool,
}

impl Body {
    /// The same for the same bytes, as good as never for others.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        hasher.finish()
    }

    /// Unpacked, within bounds.
    pub(crate) fn unpacked(self) -> Result<Bytes, String> {
        if !self.is_packed {
            return Ok(self.bytes);
        }
        let mut unpacked = Vec::new();
        let limit = MAX_ANSWER as u64 + 1;
        let read = MultiGzDecoder::new(&*self.bytes).take(limit).read_to_end(&mut unpacked);
        match read {
            Ok(length) if length > MAX_ANSWER => Err(format!("the answer is longer than {MAX_ANSWER} bytes")),
            Ok(_) => Ok(unpacked.into()),
            Err(error) => Err(format!("the answer is not gzip, as it says: {error}")),
        }
    }
}

/// The servers.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) options: EurekaOptions,
    /// The one that answered last.
    active: AtomicUsize,
    /// When those of the own zone were last tried in vain.
    away_since: Mutex<Option<Instant>>,
}

impl Client {
    pub(crate) fn new(options: EurekaOptions) -> Self {
        Self { options, active: AtomicUsize::new(0), away_since: Mutex::default() }
    }

    /// Which servers are asked, in this order: the one that answered last, and the others in theirs. When that one is in another
    /// zone, those of the own zone come before it from time to time.
    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let EurekaOptions { servers, near, return_after, .. } = &self.options;
        let (all, near, active) = (servers.len(), *near, self.active.load(Relaxed));
        let mut first = 0;
        if active >= near && near > 0 {
            let mut since = lock(&self.away_since);
            if since.get_or_insert_with(Instant::now).elapsed() >= *return_after {
                (*since, first) = (Some(Instant::now()), near);
            }
        }
        let others = (0..all).map(move |step| (active + step) % all);
        (0..first).chain(others.filter(move |index| *index >= first))
    }

    /// Asks the servers one after the other, until one answers.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, CallError> {
        let (servers, active) = (&self.options.servers, self.active.load(Relaxed));
        let (mut failures, mut is_refused) = (Vec::new(), false);
        for index in self.order() {
            let server = &servers[index];
            let attempt = timeout(question.limit, self.exchange(server, question)).await;
            let reason = match attempt.unwrap_or_else(|_| Err(format!("no answer within {:?}", question.limit))) {
                Ok((status, body)) if status.is_success() || question.taken.contains(&status) => {
                    if index != active {
                        tracing::info!(server = %server, "another Eureka server answers");
                        self.prefer(index);
                    }
                    return Ok(Answer { status, body, server: index });
                }
                Ok((status, _)) => {
                    is_refused |= matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                    explained(status)
                }
                Err(reason) => reason,
            };
            failures.push(format!("{server}: {reason}"));
        }
        let reasons = failures.join("; ");
        Err(if is_refused { CallError::Refused(reasons) } else { CallError::Failed(reasons) })
    }

    fn prefer(&self, server: usize) {
        self.active.store(server, Relaxed);
        *lock(&self.away_since) = (server >= self.options.near).then(Instant::now);
    }

    /// This one answers what cannot be used: the next one is asked first from here on.
    pub(crate) fn distrust(&self, server: usize) {
        let next = (server + 1) % self.options.servers.len();
        // Another may have taken its place meanwhile.
        if self.active.compare_exchange(server, next, Relaxed, Relaxed).is_ok() && next != server {
            tracing::debug!(server = %self.options.servers[next], "this Eureka server is asked next");
        }
    }

    async fn exchange(&self, server: &Server, question: &Question) -> Result<(StatusCode, Body), String> {
        let socket = timeout(CONNECT_TIMEOUT, self.dial(server)).await;
        let socket = socket.unwrap_or_else(|_| Err(format!("no connection within {CONNECT_TIMEOUT:?}")))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
        let request = request(server, question)?;
        let asked = async {
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let bytes = body.map_err(|error| format!("the answer was not read: {error}"))?.to_bytes();
            let encoding = head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
            let is_packed = match encoding {
                None | Some(b"identity") => false,
                Some(b"gzip" | b"x-gzip") => true,
                Some(_) => return Err("the answer is packed in a way that was not asked for".to_owned()),
            };
            Ok((head.status, Body { bytes, is_packed }))
        };
        // The connection is driven beside it, and goes with it.
        tokio::pin!(asked, connection);
        tokio::select! {
            answer = &mut asked => answer,
            _ = &mut connection => asked.await,
        }
    }

    async fn dial(&self, server: &Server) -> Result<Box<dyn Socket>, String> {
        let socket =
            TcpStream::connect((server.host.as_str(), server.port)).await.map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        if !server.is_tls {
            return Ok(Box::new(socket));
        }
        let said = |error: std::io::Error| error.to_string();
        let (trust, name) = (&self.options.tls.0, server_name(&server.host).map_err(said)?);
        let connector = TlsConnector::from(trust.config().map_err(said)?);
        let shaken = connector.with_alpn(vec![b"http/1.1".to_vec()]).connect(name, socket).await;
        let stream = shaken.map_err(|error| said(trust.explain(&error, &server.host)))?;
        Ok(Box::new(stream))
    }
}

/// A connection to a server.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

fn request(server: &Server, question: &Question) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(question.method.clone())
        .uri(format!("{}/{}", server.path, question.path))
        .header(header::HOST, &server.authority)
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::USER_AGENT, concat!("gray-chain/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if let Some(credentials) = &server.credentials {
        request = request.header(header::AUTHORIZATION, credentials);
    }
    if question.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = question.body.clone().map_or_else(Bytes::new, Bytes::from);
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

fn explained(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => "; a user and a password belong in the URL (USER:PASSWORD@HOST)",
        StatusCode::NOT_FOUND => "; is the path right? Spring's is /eureka",
        status if status.is_redirection() => "; redirects are not followed: give the URL that it leads to",
        _ => "",
    };
    format!("it answers {status}{hint}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Body {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("packed");
        Body { bytes: encoder.finish().expect("packed").into(), is_packed: true }
    }

    #[test]
    fn what_is_packed_is_unpacked_within_bounds() {
        assert_eq!(packed(b"{}").unpacked().as_deref(), Ok(&b"{}"[..]));
        assert_eq!(packed(&vec![0; MAX_ANSWER]).unpacked().map(|bytes| bytes.len()), Ok(MAX_ANSWER));
        let bomb = packed(&vec![0; MAX_ANSWER + 1]).unpacked().expect_err("a bomb");
        assert!(bomb.contains("longer than"), "{bomb}");
        let mut cut = packed(&[7; 4096]);
        cut.bytes.truncate(20);
        assert!(cut.unpacked().is_err(), "cut off");
        let plain = Body { bytes: Bytes::from_static(b"{}"), is_packed: true };
        assert!(plain.unpacked().expect_err("not packed").contains("not gzip"));
    }
}
