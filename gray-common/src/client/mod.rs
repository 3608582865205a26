//! The gray-aware HTTP client: select the instances that may answer, pick one, inject the tag, send.
//!
//! A failed connect is tried again on another instance of the same kind, whatever the method: nothing was sent. When a
//! connection breaks after that, an idempotent request with a small body goes once more elsewhere, as long as the
//! [budget](gray_core::balance::RetryBudget) lasts. An instance that cannot be reached, or keeps failing, is ejected for a while
//! ([`OutlierPolicy`](gray_core::balance::OutlierPolicy)). Redirects are not followed (they could leave the chain), proxies of the
//! environment are not used (instances are dialled directly). An instance with the metadata `secure=true` is called over TLS; its
//! certificate must be for the host that is registered ([`GrayClientBuilder::upstream_ca`]).
//!
//! ```no_run
//! use gray_common::{Instance, client::{GrayClient, ServiceView, Strategy, VersionPolicy}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // A service gets its views from `GrayService::client`; this one is fixed.
//! let instances = [Instance::new("127.0.0.1", 7201).with_version("V1")];
//! let view = ServiceView::fixed("user-app", &instances, VersionPolicy::default(), Strategy::RoundRobin);
//! let client = GrayClient::builder(view).own_version("V1").build()?;
//! let answer = client.get("/user/U0001").send().await?;
//! println!("{} from {}", answer.status(), answer.endpoint().authority());
//! # Ok(()) }
//! ```

mod connect;
mod error;
mod request;
mod send;

pub use error::ClientError;
pub use gray_core::balance::{Strategy, VersionPolicy};
pub use gray_live::{ServiceView, ViewSnapshot};
pub use request::{RequestBuilder, Response};

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gray_core::balance::RetryBudget;
use gray_live::clock::uptime_ms;
use gray_tls::Trust;
use http::{HeaderValue, Method};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use self::connect::Connector;

/// How often a call is tried in all, when connects fail.
const MAX_ATTEMPTS: usize = 3;

/// A client of one service. Cheap to clone; clones share connections, turn and counters.
#[derive(Clone, Debug)]
pub struct GrayClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    view: ServiceView,
    own_version: Option<Box<str>>,
    /// What `gray-caller` says.
    caller: Option<HeaderValue>,
    http: Client<Connector, Full<Bytes>>,
    timeout: Duration,
    max_body: usize,
    turn: AtomicUsize,
    calls: AtomicU64,
    /// Asked only when something has failed.
    budget: Mutex<RetryBudget>,
    fallback_log: FallbackLog,
}

/// Lets a fallback into the log at most once per [`FallbackLog::PERIOD`]; all are counted.
#[derive(Debug)]
struct FallbackLog {
    started: Instant,
    /// Milliseconds after `started` before which nothing is logged.
    quiet_until: AtomicU64,
}

impl GrayClient {
    /// A client with the default limits.
    pub fn new(view: ServiceView, own_version: Option<&str>) -> Result<Self, ClientError> {
        let mut builder = Self::builder(view);
        builder.own_version = own_version.map(Into::into);
        builder.build()
    }

    /// A client with limits of your own.
    pub fn builder(view: ServiceView) -> GrayClientBuilder {
        GrayClientBuilder {
            view,
            own_version: None,
            caller: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            max_body: 2 * 1024 * 1024,
            ca: None,
            trust: None,
        }
    }

    /// Name of the service it calls.
    pub fn service(&self) -> &str {
        self.inner.view.service()
    }

    /// Begins a GET; `path` starts with `/`, is percent-encoded, and may have a query.
    pub fn get(&self, path: impl Into<String>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Begins a request; `path` starts with `/`, is percent-encoded, and may have a query.
    pub fn request(&self, method: Method, path: impl Into<String>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path.into())
    }
}

/// Builds a [`GrayClient`].
#[derive(Clone, Debug)]
#[must_use]
pub struct GrayClientBuilder {
    view: ServiceView,
    own_version: Option<Box<str>>,
    caller: Option<Box<str>>,
    connect_timeout: Duration,
    timeout: Duration,
    max_body: usize,
    ca: Option<PathBuf>,
    /// Shared by the clients of a process.
    trust: Option<Arc<Trust>>,
}

impl GrayClientBuilder {
    /// The caller's own version: where a request without a tag stays.
    pub fn own_version(mut self, version: impl Into<Box<str>>) -> Self {
        self.own_version = Some(version.into());
        self
    }

    /// Name of the calling service, which the called one counts its requests by.
    pub fn caller(mut self, service: impl Into<Box<str>>) -> Self {
        self.caller = Some(service.into());
        self
    }

    /// Limit of one connect; default 1 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limit of a call as a whole, repeated connects and the body of the answer included; default 3 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Largest answer that [`Response::bytes`] and [`Response::json`] take; default 2 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// A PEM file with more CAs to trust, beside Mozilla's, when an instance is called over TLS: one with the metadata
    /// `secure=true`. Its certificate must be for the host that is registered. The file is read by [`build`](Self::build), once,
    /// and counts instead of a service's `--upstream-ca`, which is followed.
    pub fn upstream_ca(mut self, file: impl AsRef<Path>) -> Self {
        self.ca = Some(file.as_ref().to_owned());
        self
    }

    /// Instead of reading a file.
    #[cfg(feature = "service")]
    pub(crate) fn trust(mut self, trust: Arc<Trust>) -> Self {
        self.trust = Some(trust);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the file of [`upstream_ca`](Self::upstream_ca) cannot be used.
    pub fn build(self) -> Result<GrayClient, ClientError> {
        let trust = match (self.trust, self.ca) {
            (Some(trust), None) => trust,
            (_, ca) => Trust::new("--upstream-ca", ca.as_deref())
                .map(Arc::new)
                .map_err(|error| ClientError::Build { source: error })?,
        };
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            // Shorter than the keep-alive of common servers, so that we are the ones to close an idle connection.
            .pool_idle_timeout(Duration::from_secs(20))
            .build(Connector::new(trust, self.connect_timeout));
        Ok(GrayClient {
            inner: Arc::new(Inner {
                view: self.view,
                caller: caller(self.caller.as_deref(), self.own_version.as_deref()),
                own_version: self.own_version,
                http,
                timeout: self.timeout,
                max_body: self.max_body,
                turn: AtomicUsize::new(0),
                calls: AtomicU64::new(0),
                budget: Mutex::new(RetryBudget::new(1.0, 0, uptime_ms())),
                fallback_log: FallbackLog::new(),
            }),
        })
    }
}

/// `order-app@V1`; `None` when the service has no name, or one that no header can carry.
fn caller(service: Option<&str>, version: Option<&str>) -> Option<HeaderValue> {
    let version = version.map(|version| format!("@{version}")).unwrap_or_default();
    HeaderValue::try_from(format!("{}{version}", service?)).ok()
}

#[cfg(test)]
pub(crate) mod tests;
