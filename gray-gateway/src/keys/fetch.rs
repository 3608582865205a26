//! One question to a server: the keys that it publishes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use gray_rules::{InvalidKeySet, InvalidUrl, KeyServer, KeySet, KeyUrl};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::address::{ListedServer, may_be_asked};
use crate::{scheme::Protocol, tls::UpstreamTls};

/// Longest time until the keys are there, an issuer's description of itself included.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// Fetches keys from servers that may be asked.
#[derive(Debug, Default)]
pub struct Fetcher {
    tls: Arc<UpstreamTls>,
    listed: Box<[ListedServer]>,
}

/// Keys, and for how long the server says that they are good.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) set: KeySet,
    pub(super) max_age: Option<Duration>,
}

/// There are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Keys that come by `http://` can be replaced on their way.
    #[error("{0} is http://, which is only for servers that --key-server names; use https://")]
    Unencrypted(Box<str>),
    /// The address is not public.
    #[error("{host} has the address {address}, which is not public; name the server with --key-server if it is yours")]
    Address {
        /// The server.
        host: Box<str>,
        /// Its address.
        address: std::net::IpAddr,
    },
    /// The name has no address.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The server.
        host: Box<str>,
        /// Why.
        source: io::Error,
    },
    /// There is no connection.
    #[error("{address} cannot be reached: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no connection that can be trusted.
    #[error("{host}: {source}")]
    Tls {
        /// The server.
        host: Box<str>,
        /// Why, in words.
        source: io::Error,
    },
    /// It takes too long.
    #[error("there is no answer within {} s", LIMIT.as_secs())]
    Timeout,
    /// The answer is not HTTP, or breaks off.
    #[error("the answer cannot be read: {0}")]
    Http(hyper::Error),
    /// The server sends us elsewhere.
    #[error("the answer is a redirection ({0}), which is not followed: name the URL that it leads to")]
    Redirected(u16),
    /// The server does not answer with keys.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The answer is compressed, though that was not asked for.
    #[error("the answer is compressed, though that was not asked for")]
    Compressed,
    /// The answer is too long, or breaks off.
    #[error("the answer has more than {} bytes, or breaks off", KeySet::MAX_BYTES)]
    Body,
    /// The answer is not a key set.
    #[error("the key set cannot be used: {0}")]
    KeySet(#[from] InvalidKeySet),
    /// The description of the issuer is not one.
    #[error("the issuer's description of itself is not JSON with `issuer` and `jwks_uri`")]
    Description,
    /// The description is of another issuer.
    #[error(
        "the description is of the issuer `{0}`: write `issuer-uri` exactly like that, if it is the one that is meant"
    )]
    Issuer(String),
    /// The issuer names no URL of keys that can be used.
    #[error("the jwks_uri of the issuer cannot be used: {0}")]
    KeyUrl(InvalidUrl),
}

impl Fetcher {
    /// Judges certificates like those of instances; `listed` are the servers that may be asked by `http://` and at any address
    /// but link-local ones.
    pub fn new(tls: Arc<UpstreamTls>, listed: &[ListedServer]) -> Self {
        Self { tls, listed: listed.into() }
    }

    /// Why a server is not asked whatever it would answer, if that is known already.
    pub fn objection(&self, server: &KeyServer) -> Option<FetchError> {
        self.may_ask(&server.first()).err()
    }

    /// Whether the server is listed.
    fn may_ask(&self, url: &KeyUrl) -> Result<bool, FetchError> {
        let is_listed = self.listed.iter().any(|listed| listed.is(url));
        if url.is_https() || is_listed { Ok(is_listed) } else { Err(FetchError::Unencrypted(url.as_str().into())) }
    }

    /// The keys of a server.
    pub(super) async fn fetch(&self, server: &KeyServer) -> Result<Fetched, FetchError> {
        timeout(LIMIT, self.ask(server)).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn ask(&self, server: &KeyServer) -> Result<Fetched, FetchError> {
        let (mut head, mut body) = self.get(&server.first()).await?;
        if let Some(issuer) = server.issuer() {
            let url = key_url(&body, issuer)?;
            (head, body) = self.get(&url).await?;
        }
        Ok(Fetched { set: KeySet::read(&body)?, max_age: max_age(&head) })
    }

    async fn get(&self, url: &KeyUrl) -> Result<(HeaderMap, Bytes), FetchError> {
        let is_listed = self.may_ask(url)?;
        let socket = connect(url, is_listed).await?;
        if !url.is_https() {
            return exchange(url, socket).await;
        }
        let secured = self.tls.connect(url.host(), Protocol::Http1, socket).await;
        let socket = secured.map_err(|source| FetchError::Tls { host: url.host().into(), source })?;
        exchange(url, socket).await
    }
}

/// Connects to an address of the server that may be asked: the one that was judged, so that the name cannot have another by then.
async fn connect(url: &KeyUrl, is_listed: bool) -> Result<TcpStream, FetchError> {
    let host = url.host();
    let resolve = |source| FetchError::Resolve { host: host.into(), source };
    let mut last = resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for address in tokio::net::lookup_host((host, url.port())).await.map_err(resolve)? {
        if !may_be_asked(address.ip(), is_listed) {
            last = FetchError::Address { host: host.into(), address: address.ip() };
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(source) => last = FetchError::Connect { address, source },
        }
    }
    Err(last)
}

/// Asks on a connection of its own, and reads the whole answer.
async fn exchange(
    url: &KeyUrl,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(HeaderMap, Bytes), FetchError> {
    let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
    let host = if url.is_usual_port() { host } else { format!("{host}:{}", url.port()) };
    let request = Request::get(url.path())
        .header(header::HOST, host)
        .header(header::USER_AGENT, "gray-gateway")
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        // A path that was a URL's is one of a request.
        .map_err(|_| FetchError::Description)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await.map_err(FetchError::Http)?;
    let asked = async {
        let (head, body) = sender.send_request(request).await.map_err(FetchError::Http)?.into_parts();
        match head.status {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirected(status.as_u16())),
            status => return Err(FetchError::Status(status.as_u16())),
        }
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(FetchError::Compressed);
        }
        let body = Limited::new(body, KeySet::MAX_BYTES).collect().await.map_err(|_| FetchError::Body)?;
        Ok((head.headers, body.to_bytes()))
    };
    // The connection is driven beside it, and goes with it.
    tokio::pin!(asked, connection);
    tokio::select! {
        answer = &mut asked => answer,
        _ = &mut connection => asked.await,
    }
}

/// Where the keys of an issuer are, by its description of itself.
fn key_url(description: &[u8], issuer: &str) -> Result<KeyUrl, FetchError> {
    let json: serde_json::Value = serde_json::from_slice(description).map_err(|_| FetchError::Description)?;
    let text = |name: &str| json.get(name).and_then(serde_json::Value::as_str).ok_or(FetchError::Description);
    let found = text("issuer")?;
    if found != issuer {
        return Err(FetchError::Issuer(found.chars().filter(|c| !c.is_control()).take(100).collect()));
    }
    text("jwks_uri")?.parse().map_err(FetchError::KeyUrl)
}

/// For how long an answer may be kept (RFC 9111, 5.2.2.1), if it says so.
fn max_age(head: &HeaderMap) -> Option<Duration> {
    let lines = head.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut directives = lines.flat_map(|line| line.split(',')).map(str::trim);
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse().ok())?
    });
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_keys_are_good() {
        for (lines, expect) in [
            (vec![], None),
            (vec!["no-cache"], None),
            (vec!["max-age=60"], Some(60)),
            (vec!["public, Max-Age=\"60\""], Some(60)),
            (vec!["no-store", "s-maxage=5, max-age=7"], Some(7)),
            (vec!["max-age=-1"], None),
            (vec!["max-age=soon"], None),
            (vec!["max-age"], None),
        ] {
            let mut head = HeaderMap::new();
            for line in &lines {
                head.append(header::CACHE_CONTROL, line.parse().expect("a header value"));
            }
            assert_eq!(max_age(&head).map(|age| age.as_secs()), expect, "{lines:?}");
        }
    }

    #[test]
    fn an_issuer_is_who_it_says() {
        let read = |text: &str| key_url(text.as_bytes(), "https://a").map(|url| url.as_str().to_owned());
        let good = r#"{"issuer":"https://a","jwks_uri":"https://b/keys"}"#;
        assert_eq!(read(good).expect("a description"), "https://b/keys");
        for (text, expect) in [
            ("<html>", "not JSON"),
            ("{}", "not JSON with `issuer`"),
            (r#"{"issuer":"https://a/","jwks_uri":"https://b/keys"}"#, "of the issuer `https://a/`"),
            (r#"{"issuer":"https://a"}"#, "`jwks_uri`"),
            (r#"{"issuer":"https://a","jwks_uri":"file:///etc/passwd"}"#, "jwks_uri of the issuer cannot be used"),
            (r#"{"issuer":"https://a","jwks_uri":7}"#, "`jwks_uri`"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
