//! A request being built, and the answer.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::{ClientError, GrayClient};
use gray_core::{balance::InFlight, instance::Endpoint};
use gray_live::clock::uptime_us;

/// A request being built. What is wrong with it is reported by [`send`](Self::send).
#[derive(Debug)]
#[must_use = "nothing happens before `send`"]
pub struct RequestBuilder {
    pub(super) client: GrayClient,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<bytes::Bytes>,
    pub(super) timeout: Duration,
    pub(super) broken: Option<String>,
}

impl RequestBuilder {
    pub(super) fn new(client: GrayClient, method: Method, path: String) -> Self {
        let timeout = client.inner.timeout;
        Self { client, method, path, headers: HeaderMap::new(), body: None, timeout, broken: None }
    }

    /// Adds a header.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(_), _) => self.broken = Some("a header name has characters that HTTP does not allow".to_owned()),
            (Ok(name), Err(_)) => self.broken = Some(format!("the value of header {name} cannot be sent")),
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into().into());
        self
    }

    /// Sets the body as JSON, and the content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => {
                self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.body = Some(body.into());
            }
            Err(error) => self.broken = Some(format!("the body cannot be written as JSON: {error}")),
        }
        self
    }

    /// Limit of this call as a whole, instead of the client's.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Whether it may be sent twice (RFC 9110, 9.2.2), and is small enough to be worth it.
    pub(super) fn is_repeatable(&self) -> bool {
        const MAX_BODY: usize = 64 * 1024;
        self.method.is_idempotent() && self.body.as_ref().is_none_or(|body| body.len() <= MAX_BODY)
    }

    /// Sends it, and waits for the head of the answer.
    pub async fn send(self) -> Result<Response, ClientError> {
        super::send::send(self).await
    }
}

/// An answer. The instance counts it as in flight until it is dropped or read to its end.
#[derive(Debug)]
pub struct Response {
    pub(super) client: GrayClient,
    pub(super) inner: http::Response<hyper::body::Incoming>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
    pub(super) in_flight: InFlight,
}

impl Response {
    /// Since the request was sent.
    pub(super) fn took_ms(&self) -> u64 {
        u64::try_from(self.in_flight.took(uptime_us()).as_millis()).unwrap_or(u64::MAX)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Who answered.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The next piece of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + Send + use<>>, ClientError> {
        loop {
            // A timeout lets through what is there already, so an answer without an end would never be cut.
            if Instant::now() >= self.deadline {
                return Err(self.client.timed_out(&self.endpoint, self.limit));
            }
            let frame = match timeout_at(self.deadline, self.inner.body_mut().frame()).await {
                Err(_) => return Err(self.client.timed_out(&self.endpoint, self.limit)),
                Ok(Some(Err(error))) => return Err(self.client.broken(&self.endpoint, &error)),
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(None),
            };
            // Trailers are of no use to a caller.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The whole body, up to the client's limit.
    pub async fn bytes(mut self) -> Result<Vec<u8>, ClientError> {
        self.collect().await
    }

    /// The whole body as JSON, up to the client's limit.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let body = self.collect().await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Decode {
            service: self.client.service().to_owned(),
            authority: self.endpoint.authority().to_owned(),
            source,
        })
    }

    async fn collect(&mut self) -> Result<Vec<u8>, ClientError> {
        let limit = self.client.inner.max_body;
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let chunk = chunk.as_ref();
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLarge {
                    service: self.client.service().to_owned(),
                    authority: self.endpoint.authority().to_owned(),
                    limit,
                });
            }
            body.extend_from_slice(chunk);
        }
        Ok(body)
    }
}
