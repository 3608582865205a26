//! Requests to the HTTP side of Nacos: few, each on a connection of its own, over TLS when that is wanted.
//!
//! reqwest builds them and does not send them: its TLS would come with a verifier for every platform.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{
    NacosOptions,
    dialect::{self, Answer, Ask, Dialect, Probed, Question, Reading},
    wire,
};

/// Longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
/// The other place where a token is looked for.
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("accesstoken");

/// There was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No server there, or none that answers in time; why.
    #[error("{0}")]
    Unreachable(String),
    /// Something that is not HTTP.
    #[error("the answer is not HTTP")]
    Nonsense,
}

/// Host and HTTP port of a server.
pub type Server = (String, u16);

/// Which dialect each server speaks, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Dialects(Mutex<HashMap<Server, Dialect>>);

impl Dialects {
    /// A connection was lost: behind the next one there may be another version.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Server, Dialect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of `path` at a server, to build a request for [`send`].
pub fn url(options: &NacosOptions, (host, port): &Server, path: &str) -> String {
    let (scheme, context) = (if options.tls.is_some() { "https" } else { "http" }, &options.context);
    format!("{scheme}://{host}:{port}{context}/{path}")
}

/// The dialect that this server speaks; found out once, and again when a connection of ours was lost. While it is not certain,
/// it is the older one.
///
/// # Errors
/// When there is no answer.
pub async fn dialect(options: &NacosOptions, server: &Server, limit: Duration) -> Result<Dialect, HttpError> {
    let known = options.dialects.lock().get(server).copied();
    if let Some(known) = known {
        return Ok(known);
    }
    let (status, body) = put(options, server, &dialect::probe(), None, limit).await?;
    let dialect = match dialect::probed(Answer::new(status, &body)) {
        Probed::V1 => Dialect::V1,
        Probed::V3(_) => Dialect::V3,
        Probed::Unclear(said) => {
            tracing::debug!(host = %server.0, port = server.1, %said, "the version of Nacos is not certain; asking as 2.x");
            return Ok(Dialect::V1);
        }
    };
    options.dialects.lock().insert(server.clone(), dialect);
    Ok(dialect)
}

/// Asks a server in the dialect that it speaks. One that has no such path is asked once more which one that is.
///
/// # Errors
/// When there is no answer to a request within `limit`.
pub async fn ask<A: Ask + Sync>(
    options: &NacosOptions,
    server: &Server,
    ask: &A,
    token: Option<&str>,
    limit: Duration,
) -> Result<Reading<A::Said>, HttpError> {
    let first = dialect(options, server, limit).await?;
    let (status, body) = put(options, server, &ask.question(first), token, limit).await?;
    let reading = ask.read(first, Answer::new(status, &body));
    if !matches!(reading, Reading::NoPath(_)) {
        return Ok(reading);
    }
    options.dialects.lock().remove(server);
    let second = dialect(options, server, limit).await?;
    if second == first {
        return Ok(reading);
    }
    let (status, body) = put(options, server, &ask.question(second), token, limit).await?;
    Ok(ask.read(second, Answer::new(status, &body)))
}

/// Sends one request, with this token.
///
/// # Errors
/// As [`send`].
pub async fn put(
    options: &NacosOptions,
    server: &Server,
    question: &Question<'_>,
    token: Option<&str>,
    limit: Duration,
) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let request = requests()?.request(question.method.clone(), url(options, server, question.path));
    // A document is too long for an address, and a password would be in logs there.
    let request = match question.method {
        Method::POST => request.form(&question.fields),
        _ => request.query(&question.fields),
    };
    let request = match &question.header {
        Some((name, value)) => request.header(*name, value.as_ref()),
        None => request,
    };
    let request = match token {
        Some(token) => request.bearer_auth(token).header(ACCESS_TOKEN, token),
        None => request,
    };
    send(options, request, limit).await
}

/// Builds requests for [`send`].
///
/// # Errors
/// When this machine has no entropy, say.
pub fn requests() -> Result<reqwest::Client, HttpError> {
    let client = reqwest::Client::builder().no_proxy().build();
    client.map_err(|error| HttpError::Unreachable(error.without_url().to_string()))
}

/// Sends a request to the server that its URL names, on a connection of its own, as [`NacosOptions::tls`] wants, and reads
/// the whole answer. Dropping the future ends the connection.
///
/// # Errors
/// When there is no answer within `limit`, or one that is not HTTP. Any status is an answer.
pub async fn send(
    options: &NacosOptions,
    request: reqwest::RequestBuilder,
    limit: Duration,
) -> Result<(StatusCode, Vec<u8>), HttpError> {
    timeout(limit, exchange(options, request))
        .await
        .unwrap_or_else(|_| Err(HttpError::Unreachable(format!("no answer within {limit:?}"))))
}

async fn exchange(
    options: &NacosOptions,
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let nonsense = |_| HttpError::Nonsense;
    let request = request.build().map_err(nonsense)?;
    let mut request = http::Request::<reqwest::Body>::try_from(request).map_err(nonsense)?;
    let authority = request.uri().authority().cloned().ok_or(HttpError::Nonsense)?;
    let socket = wire::http(options, authority.host(), port(request.uri())).await;
    let socket = socket.map_err(|error| HttpError::Unreachable(error.to_string()))?;

    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| HttpError::Nonsense)?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = request.uri().path_and_query().cloned().map_or_else(Uri::default, Into::into);
    let failed = |error: hyper::Error| match error.is_parse() {
        true => HttpError::Nonsense,
        false => HttpError::Unreachable(error.to_string()),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(failed)?;
    let asked = async {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| HttpError::Nonsense)?;
        Ok((head.status, body.to_bytes().to_vec()))
    };
    // The connection is driven beside it, and goes with it.
    tokio::pin!(asked, connection);
    tokio::select! {
        answer = &mut asked => answer,
        _ = &mut connection => asked.await,
    }
}

/// A URL does not keep the usual port of its scheme.
fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 })
}

#[cfg(test)]
mod tests;
