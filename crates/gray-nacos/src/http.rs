//! Requests to the HTTP side of Nacos: few, each on a connection of its own, over TLS when that is wanted.
//!
//! reqwest builds them and does not send them: its TLS would come with a verifier for every platform.

use std::time::Duration;

use http::{HeaderValue, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{NacosOptions, wire};

/// Longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

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

/// The address of `path` at a server, to build a request for [`send`].
pub fn url(options: &NacosOptions, (host, port): &(String, u16), path: &str) -> String {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{host}:{port}/nacos/v1/{path}")
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
mod tests {
    use super::*;
    use crate::NacosTls;

    #[test]
    fn the_port_that_was_given_is_asked() {
        let tls = NacosTls::new(None).expect("roots");
        for wanted in [80, 443, 8848] {
            for tls in [None, Some(tls.clone())] {
                let options = NacosOptions { tls, ..NacosOptions::new(format!("nacos:{wanted}")) };
                let server = options.servers().expect("a server").swap_remove(0);
                let request = requests().expect("a client").get(url(&options, &server, "ns/instance"));
                let request = http::Request::try_from(request.build().expect("a request")).expect("the same");
                assert_eq!(port(request.uri()), wanted, "{:?}", request.uri());
            }
        }
    }
}
