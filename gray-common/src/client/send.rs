//! The way of one call: choose, inject, send; again elsewhere when the connect fails, or the connection breaks and the
//! request may be sent twice.

use std::{
    borrow::Cow,
    error::Error,
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{
    HeaderValue, Request, Uri,
    header::ACCEPT,
    uri::{PathAndQuery, Scheme},
};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{ClientError, FallbackLog, GrayClient, MAX_ATTEMPTS, RequestBuilder, Response};
use gray_context::{HttpHeaders, HttpHeadersMut, Inject as _, ReleaseContext, told_path};
use gray_core::{
    balance::{Change, Chosen, Draw, Outcome, choose, choose_unversioned},
    instance::Endpoint,
    lane::Selector,
    tag::CALLER_HEADER,
};
use gray_live::clock::{uptime_ms, uptime_us};
use gray_registry::unix_seconds;
use gray_settings::Signing;

use crate::{causes::with_causes, telemetry};

pub(super) async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    let client = request.client.clone();
    if let Some(reason) = request.broken.clone() {
        return Err(client.unsendable(reason));
    }
    let path = sendable(&request.path).map_err(|reason| client.unsendable(reason))?;
    let current = ReleaseContext::current();
    let deadline = Instant::now() + request.timeout;
    // A guard must not be held across an await: it would pin the old snapshot for as long as the call takes.
    let snapshot = Arc::clone(&client.inner.view.load());
    let expiry = |signing: &Signing| unix_seconds().saturating_add(signing.ttl.as_secs());
    let signer = snapshot.signing.as_ref().map(|signing| (signing.keys.signer(), expiry(signing)));
    let context = current.told(client.service(), &snapshot.policy, signer);
    client.inner.calls.fetch_add(1, Relaxed);
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let (mut last, mut repeated) = (None, None);
    while tried.len() < MAX_ATTEMPTS && (tried.is_empty() || Instant::now() < deadline) {
        let Some(chosen) = client.choose(&snapshot, &context, &tried)? else { break };
        let endpoint = Arc::clone(chosen.endpoint);
        let attempt = client.attempt(&request, &path, &context, &endpoint, deadline).await;
        client.report(&snapshot, &endpoint, chosen.is_trial, &attempt);
        match attempt {
            Err(Attempt::Connect(error, _)) => {
                tracing::debug!(service = client.service(), instance = endpoint.authority(), %error, "connect failed");
                metrics::counter!(telemetry::CLIENT_CONNECT_FAILURES_TOTAL, telemetry::SERVICE => client.service().to_owned())
                    .increment(1);
                last = Some(error);
                tried.push(endpoint);
            }
            Err(Attempt::Broken(error)) if request.is_repeatable() && client.may_repeat() => {
                tracing::debug!(service = client.service(), instance = endpoint.authority(), %error, "sent again");
                metrics::counter!(telemetry::CLIENT_RETRIES_TOTAL, telemetry::SERVICE => client.service().to_owned())
                    .increment(1);
                tried.push(endpoint);
                repeated = Some(error);
            }
            Err(Attempt::Broken(error) | Attempt::Final(error)) => return Err(error),
            Ok(response) => {
                client.note_path(&context, &response);
                return Ok(response);
            }
        }
    }
    match (last, repeated) {
        (_, Some(error)) => Err(error),
        (Some(source), None) => Err(ClientError::Connect {
            service: client.service().to_owned(),
            tried: tried.iter().map(|endpoint| endpoint.authority()).collect::<Vec<_>>().join(", "),
            source,
        }),
        (None, None) => Err(client.no_instance(None)),
    }
}

enum Attempt {
    /// Nothing was sent: another instance may be tried. What it says of this one, if anything.
    Connect(io::Error, Option<Outcome>),
    /// The connection broke: the request may have been executed.
    Broken(ClientError),
    Final(ClientError),
}

impl Attempt {
    /// What happened, if something did.
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error, _) => Some(error),
            Self::Broken(error) | Self::Final(error) => error.source(),
        }
    }
}

impl GrayClient {
    /// The instance to ask next; `None` when all were tried.
    fn choose<'s>(
        &self,
        snapshot: &'s super::ViewSnapshot,
        context: &ReleaseContext,
        tried: &[Arc<Endpoint>],
    ) -> Result<Option<Chosen<'s>>, ClientError> {
        if !snapshot.known {
            return Err(ClientError::NotReady { service: self.service().to_owned() });
        }
        let choice = || context.choice(self.service(), &snapshot.policy, self.inner.own_version.as_deref());
        let draw = Draw {
            turn: self.inner.turn.fetch_add(1, Relaxed),
            random: fastrand::u64(..),
            now_ms: uptime_ms(),
            key: None,
        };
        let (set, strategy, outliers) = (&snapshot.instances, snapshot.strategy, &snapshot.outliers);
        let chosen = choose(set, choice(), strategy, draw, outliers, tried).or_else(|| {
            let is_named = context.lane().is_some_and(|lane| lane.names(self.service()));
            let chosen = (!is_named).then(|| choose_unversioned(set, choice(), strategy, draw, outliers, tried))?;
            if chosen.is_some() {
                let service = self.service().to_owned();
                metrics::counter!(telemetry::UNVERSIONED_TOTAL, telemetry::SERVICE => service).increment(1);
            }
            chosen
        });
        match chosen {
            Some(chosen) if chosen.is_fallback => self.count_fallback(choice()),
            None if tried.is_empty() => {
                return Err(self.no_instance(choice().next().filter(|selector| *selector != Selector::ANY)));
            }
            _ => {}
        }
        Ok(chosen)
    }

    /// Lets the endpoint's health know how it went.
    fn report(
        &self,
        snapshot: &super::ViewSnapshot,
        endpoint: &Endpoint,
        is_trial: bool,
        attempt: &Result<Response, Attempt>,
    ) {
        let policy = &snapshot.outliers;
        let outcome = match attempt {
            Ok(response) if response.status().is_server_error() => Outcome::Failed,
            Ok(response) if policy.slow_ms > 0 && response.took_ms() > policy.slow_ms => Outcome::Failed,
            Ok(_) => Outcome::Good,
            Err(Attempt::Connect(_, Some(outcome))) => *outcome,
            Err(Attempt::Broken(_) | Attempt::Final(ClientError::Timeout { .. } | ClientError::NotHttp { .. })) => {
                Outcome::Failed
            }
            Err(Attempt::Connect(_, None) | Attempt::Final(_)) => return,
        };
        let (service, instance) = (self.service(), endpoint.authority());
        match endpoint.load().report(outcome, is_trial, policy, uptime_ms()) {
            Some(Change::Ejected(reason)) => {
                metrics::counter!(telemetry::CLIENT_EJECTIONS_TOTAL, telemetry::SERVICE => service.to_owned(), "reason" => reason.as_str())
                    .increment(1);
                let error = attempt.as_ref().err().and_then(Attempt::cause).map(ToString::to_string);
                tracing::warn!(service, instance, error, "ejected: {reason}");
            }
            Some(Change::Readmitted) => tracing::info!(service, instance, "readmitted"),
            None => {}
        }
    }

    /// Whether there is room in the budget to send something twice.
    fn may_repeat(&self) -> bool {
        let mut budget = self.inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.withdraw(self.inner.calls.load(Relaxed), uptime_ms())
    }

    /// Keeps what the called service says of the way it took; of a service that says nothing, what we know ourselves.
    fn note_path(&self, context: &ReleaseContext, response: &Response) {
        let Some(log) = context.path() else { return };
        let known = || format!("{}@{}", self.service(), response.endpoint().version().unwrap_or("-"));
        log.push(told_path(&HttpHeaders(response.headers())).map_or_else(known, str::to_owned));
    }

    async fn attempt(
        &self,
        request: &RequestBuilder,
        path: &PathAndQuery,
        context: &ReleaseContext,
        endpoint: &Arc<Endpoint>,
        deadline: Instant,
    ) -> Result<Response, Attempt> {
        let scheme = if endpoint.is_secure() { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(endpoint.authority()).path_and_query(path.clone()).build();
        let Ok(uri) = uri else {
            let reason = format!("no URL can name {:?}", endpoint.authority());
            let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
            return Err(Attempt::Connect(error, Some(Outcome::Unreachable)));
        };
        let mut outgoing = Request::new(Full::new(request.body.clone().unwrap_or_default()));
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = uri;
        let headers = outgoing.headers_mut();
        headers.clone_from(&request.headers);
        headers.entry(ACCEPT).or_insert(const { HeaderValue::from_static("*/*") });
        let mut carrier = HttpHeadersMut(headers);
        context.inject(&mut carrier);
        if let Some(caller) = &self.inner.caller {
            carrier.set(&CALLER_HEADER, caller);
        }
        let in_flight = endpoint.load().begin(uptime_us());
        match timeout_at(deadline, self.inner.http.request(outgoing)).await {
            Ok(Ok(inner)) => {
                in_flight.responded(uptime_us());
                let (client, endpoint) = (self.clone(), Arc::clone(endpoint));
                Ok(Response { client, inner, endpoint, deadline, limit: request.timeout, in_flight })
            }
            Ok(Err(error)) if error.is_connect() => Err(Attempt::Connect(cause(&error), outcome_of_connect(&error))),
            Ok(Err(error)) => Err(match self.broken(endpoint, &error) {
                error @ ClientError::Transport { .. } => Attempt::Broken(error),
                error => Attempt::Final(error),
            }),
            Err(_) => Err(Attempt::Final(self.timed_out(endpoint, request.timeout))),
        }
    }

    pub(super) fn timed_out(&self, endpoint: &Endpoint, limit: Duration) -> ClientError {
        ClientError::Timeout { service: self.service().to_owned(), authority: endpoint.authority().to_owned(), limit }
    }

    /// Sorts an error that came after the connect.
    pub(super) fn broken(&self, endpoint: &Endpoint, error: &(dyn Error + 'static)) -> ClientError {
        let (service, authority, source) = (self.service().to_owned(), endpoint.authority().to_owned(), cause(error));
        if is_not_http(error) {
            ClientError::NotHttp { service, authority, source }
        } else {
            ClientError::Transport { service, authority, source }
        }
    }

    fn no_instance(&self, wanted: Option<Selector<&str>>) -> ClientError {
        metrics::counter!(telemetry::CLIENT_NO_INSTANCE_TOTAL, telemetry::SERVICE => self.service().to_owned())
            .increment(1);
        ClientError::NoInstance {
            service: self.service().to_owned(),
            wanted: wanted.map(|selector| selector.to_string()),
        }
    }

    fn unsendable(&self, reason: String) -> ClientError {
        ClientError::Request { service: self.service().to_owned(), reason }
    }

    fn count_fallback<'c>(&self, choice: impl Iterator<Item = Selector<&'c str>>) {
        let service = self.service();
        metrics::counter!(telemetry::FALLBACK_TOTAL, telemetry::SERVICE => service.to_owned()).increment(1);
        if self.inner.fallback_log.may_log() {
            let choice = choice.map(|selector| selector.to_string()).collect::<Vec<_>>().join("|");
            tracing::warn!(
                service,
                choice,
                "no instance of the first kind is alive: a fallback answers (logged at most every 10 s)"
            );
        }
    }
}

/// An error and its causes, from the outside in.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What happened, in one line: what the HTTP client wraps around it says nothing.
fn cause(error: &(dyn Error + 'static)) -> io::Error {
    let mut kinds = causes(error).filter_map(|error| error.downcast_ref().map(io::Error::kind));
    let kind = kinds.find(|kind| *kind != io::ErrorKind::Other).unwrap_or(io::ErrorKind::Other);
    let inner = if error.is::<hyper_util::client::legacy::Error>() { error.source().unwrap_or(error) } else { error };
    io::Error::new(kind, with_causes(inner))
}

/// What a connect that failed for this says of the instance, if anything.
pub(super) fn outcome_of_connect(error: &(dyn Error + 'static)) -> Option<Outcome> {
    let mut seen = causes(error).filter_map(|error| error.downcast_ref().map(Outcome::of_connect));
    seen.all(|outcome| outcome.is_some()).then_some(Outcome::Unreachable)
}

/// Whether something came, and could not be read.
fn is_not_http(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}

/// A path as it is sent. A browser's URL parser must find nothing in it to resolve: `/user/..` would be `/`, and so would
/// `/user/%2e%2E`, for whatever stands between here and the instance. Characters that no URL has are percent-encoded.
pub(super) fn sendable(path: &str) -> Result<PathAndQuery, String> {
    const ENCODED: &AsciiSet = &CONTROLS.add(b'"').add(b'{').add(b'}');
    if !path.starts_with('/') {
        return Err(format!("the path {path:?} does not start with `/`"));
    }
    if path.contains(['\\', '#']) {
        return Err(format!("{path:?} has a character that must be percent-encoded"));
    }
    let segments = path.split_once('?').map_or(path, |(path, _)| path).split('/').filter(|s| s.starts_with(['.', '%']));
    if let Some(dots) = segments.into_iter().find(|segment| is_dots(segment)) {
        return Err(format!("{path:?} has the segment `{dots}`, which stands for another path"));
    }
    let refused = |error| format!("{path:?} is not a percent-encoded path: {error}");
    // Refused as it stands, so that a line break is not encoded but told.
    let parsed = PathAndQuery::try_from(path).map_err(refused)?;
    match utf8_percent_encode(path, ENCODED).into() {
        Cow::Borrowed(_) => Ok(parsed),
        Cow::Owned(encoded) => PathAndQuery::try_from(encoded).map_err(refused),
    }
}

/// `.` or `..`, however written.
fn is_dots(segment: &str) -> bool {
    let rest = segment.replace("%2e", ".").replace("%2E", ".");
    rest == "." || rest == ".."
}

impl FallbackLog {
    const PERIOD: Duration = Duration::from_secs(10);

    pub(super) fn new() -> Self {
        Self { started: std::time::Instant::now(), quiet_until: AtomicU64::new(0) }
    }

    fn may_log(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let quiet_until = self.quiet_until.load(Relaxed);
        let next = now.saturating_add(Self::PERIOD.as_millis() as u64);
        // Of several callers at once one wins the exchange and logs.
        now >= quiet_until && self.quiet_until.compare_exchange(quiet_until, next, Relaxed, Relaxed).is_ok()
    }
}
