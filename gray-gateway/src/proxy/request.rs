//! A request's way, top to bottom: [`Client::serve`] is begin, handle, error, and [`After`] cleans up at the end of
//! the response, whatever happened before.

use std::{cell::OnceCell, net::IpAddr, path::Path, rc::Rc, sync::Arc};

use bytes::Bytes;
use gray_common::{
    Endpoint, Subset,
    balance::{InFlight, Selection, select},
    rule::{Decision, find_cookie},
    tag::PATH_HEADER,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    body::{ProxyBody, UploadBody},
    check,
    clock::ticks,
    connection::{GaveUp, State},
    error::Failure,
    files,
    forwarded::Forwarded,
    headers,
    held::Held,
    path,
    pool::Lease,
    stats::Pick,
    target, upgrade,
    upstream::{self, Dial, Patience, SendError},
    worker::{Open, Worker},
};
use crate::{
    client_address::client_address,
    dye::{self, ClientFacts},
    route::{RequestHead, Route, Upstream},
    scheme::Scheme,
    snapshot::{ServiceSnapshot, Snapshot},
};

/// One client connection's requests.
pub(super) struct Client {
    worker: Rc<Worker>,
    state: Arc<State>,
    forwarded: Forwarded,
}

/// The after step. It lives as long as the response and is dropped with it, so a request that was cancelled, or whose
/// client went away, is counted and cleaned up like any other.
pub(super) struct After {
    worker: Rc<Worker>,
    state: Arc<State>,
    in_flight: Option<InFlight>,
}

impl Drop for After {
    fn drop(&mut self) {
        self.worker.stats().ended.add();
        self.state.responded();
    }
}

/// A request that is ready to be sent.
struct Outgoing<'s> {
    request: Request<UploadBody>,
    client: IpAddr,
    decision: Decision<'s>,
    /// The lane that the browser believes to be on.
    told: Option<Box<str>>,
    upgrade: Option<OnUpgrade>,
    /// The target as the client wrote it, when it was rewritten.
    original: Option<Uri>,
}

/// How a request goes on.
#[derive(Clone, Copy)]
struct Hop<'s> {
    route: &'s Route,
    scheme: Scheme,
    client: IpAddr,
}

impl Client {
    pub(super) fn new(worker: Rc<Worker>, state: Arc<State>, forwarded: Forwarded) -> Self {
        Self { worker, state, forwarded }
    }

    /// Answers one request.
    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<ProxyBody> {
        let mut after = self.begin();
        let snapshot = self.worker.snapshot();
        let response = match self.handle(&snapshot, request, &mut after).await {
            Ok(response) => response,
            Err(failure) => self.error(&failure),
        };
        self.worker.stats().responded(response.status());
        response.map(|body| body.with(after))
    }

    /// From here on the request is counted.
    fn begin(&self) -> After {
        self.state.busy();
        self.worker.stats().began.add();
        After { worker: Rc::clone(&self.worker), state: Arc::clone(&self.state), in_flight: None }
    }

    /// The error step: an answer of our own.
    fn error(&self, failure: &Failure<'_>) -> Response<ProxyBody> {
        match failure {
            Failure::NoRoute => self.worker.stats().no_route.add(),
            Failure::NoInstance { .. } => self.worker.stats().no_instance.add(),
            _ => {}
        }
        tracing::debug!(?failure, "answered by the gateway");
        failure.response()
    }

    async fn handle<'s>(
        &self,
        snapshot: &'s Held,
        request: Request<Incoming>,
        after: &mut After,
    ) -> Result<Response<ProxyBody>, Failure<'s>> {
        let (route, outgoing) = self.prepare(snapshot, request)?;
        let Outgoing { request, client, decision, told, upgrade, original } = outgoing;
        let target = route.target(decision.lane.name());
        let hop = Hop { route, scheme: target.scheme, client };
        let mut response = match &target.upstream {
            Upstream::Service(service) => {
                let (response, lease) = self.balance(snapshot, hop, service, &decision, request, after).await?;
                self.finish(route, service, response, lease, upgrade, after)?
            }
            Upstream::Fixed { authority, host, port } => {
                let dial = Dial { address: None, host, port: *port };
                let (response, lease) = match self.attempt(hop, authority, dial, &mut Some(request)).await {
                    Ok(answered) => answered,
                    Err(error) => return Err(self.give_up(authority, authority, &error)),
                };
                self.finish(route, authority, response, lease, upgrade, after)?
            }
            Upstream::Directory(root) => self.files(route, root, request, original).await?,
        };
        if !decision.traced {
            response.headers_mut().remove(PATH_HEADER);
        }
        dye::tell(response.headers_mut(), &snapshot.rules, &decision, told.as_deref());
        Ok(response)
    }

    /// Everything that happens to a request before somebody to send it to is looked for.
    fn prepare<'s>(
        &self,
        snapshot: &'s Held,
        request: Request<Incoming>,
    ) -> Result<(&'s Route, Outgoing<'s>), Failure<'s>> {
        let (mut head, body) = request.into_parts();
        check::head(&head).map_err(Failure::BadRequest)?;
        path::check(head.uri.path()).map_err(Failure::BadRequest)?;
        let asked = self.forwarded.asked(&head.headers).map_err(Failure::BadRequest)?;
        let upgrade = upgrade::wanted(&mut head, &body).map_err(Failure::BadRequest)?;

        let peer = self.forwarded.peer().ip();
        let route = snapshot.routes.find(&RequestHead {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &head.headers,
            host: asked.name(),
            remote: peer,
            random: fastrand::u64(..),
        });
        let no_route = if snapshot.is_empty() { Failure::NotReady } else { Failure::NoRoute };
        let route: &Route = route.ok_or(no_route)?;

        let client_ip = client_address(peer, &head.headers, &snapshot.trusted_hops);
        let facts = ClientFacts {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            host: asked.name(),
            headers: &head.headers,
            client_ip,
            random: fastrand::u64(..),
            data: snapshot.city.as_deref(),
            city: OnceCell::new(),
        };
        let decision = snapshot.rules.decide(&facts);
        self.worker.sample(snapshot, &facts);
        self.worker.decided(snapshot, &decision);
        tracing::debug!(route = &*route.id, lane = decision.lane.name(), rule = decision.rule, %client_ip, "decided");
        let told = snapshot.rules.cookie().and_then(|name| {
            let lines = head.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
            find_cookie(lines, name).and_then(|value| std::str::from_utf8(value).ok()).map(Box::from)
        });

        let trusted = snapshot.trusted_hops.contains(peer);
        headers::strip_request(&mut head.headers, trusted);
        route.filters.on_request(&mut head.headers);
        let prefix = route.filters.stripped_prefix(head.uri.path());
        self.forwarded.set(&mut head.headers, &asked, prefix, trusted);
        let original = target::rewritten(&head.uri, route)?.map(|uri| std::mem::replace(&mut head.uri, uri));
        if upgrade.is_some() {
            upgrade::ask(&mut head.headers);
        }
        head.version = Version::HTTP_11;
        // Last, so that no filter and no header of the client's can have the final word.
        dye::dye(&mut head.headers, &decision, snapshot.mark(&decision));
        let request = Request::from_parts(head, UploadBody::new(body, Arc::clone(&self.state)));
        Ok((route, Outgoing { request, client: client_ip, decision, told, upgrade, original }))
    }

    /// Picks an instance and sends; a failed connect goes on to another instance of the same subset.
    async fn balance<'s>(
        &self,
        snapshot: &'s Snapshot,
        hop: Hop<'s>,
        service: &'s str,
        decision: &Decision<'_>,
        request: Request<UploadBody>,
        after: &mut After,
    ) -> Result<(Response<Incoming>, Lease), Failure<'s>> {
        let nobody = || Failure::NoInstance { service, hidden: hop.route.use404 };
        let Some(known) = snapshot.services.get(service) else { return Err(nobody()) };
        let Some(subset) = self.subset(known, decision, service) else { return Err(nobody()) };
        let strategy = known.strategy;
        let mut slot = Some(request);
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut endpoint = strategy.pick(subset, self.worker.draw(strategy, subset, hop.client)).ok_or_else(nobody)?;
        loop {
            let load = endpoint.load().begin();
            let instance = endpoint.instance();
            let dial = Dial { address: endpoint.address(), host: &instance.host, port: instance.port };
            match self.attempt(hop, endpoint.authority(), dial, &mut slot).await {
                Ok((mut response, lease)) => {
                    load.responded();
                    after.in_flight = Some(load);
                    if decision.traced {
                        trace(response.headers_mut(), service, endpoint);
                    }
                    return Ok((response, lease));
                }
                Err(error) => {
                    let failure = self.give_up(service, endpoint.authority(), &error);
                    tried.push(Arc::clone(endpoint));
                    let may_retry =
                        matches!(error, SendError::Unsent(_)) && tried.len() < self.worker.limits.connect_attempts;
                    if !may_retry {
                        return Err(failure);
                    }
                    endpoint = strategy
                        .pick_untried(subset, self.worker.draw(strategy, subset, hop.client), &tried)
                        .ok_or(failure)?;
                    self.worker.stats().retries.add();
                }
            }
        }
    }

    fn subset<'s>(&self, known: &'s ServiceSnapshot, decision: &Decision<'_>, service: &str) -> Option<&'s Subset> {
        let selection = select(&known.set, decision.lane.choice(service).iter());
        let pick = match selection {
            Selection::Hit(_) => Pick::Hit,
            Selection::Fallback(_) => {
                self.worker.stats().fallbacks.add();
                if self.worker.may_warn(service) {
                    let lane = decision.lane.name();
                    tracing::warn!(
                        service,
                        lane,
                        "no instance of the kind that is wanted: the lane's fallback answers"
                    );
                }
                Pick::Fallback
            }
            Selection::None => Pick::None,
        };
        self.worker.picked(known, pick);
        selection.subset()
    }

    /// One attempt at one authority.
    async fn attempt(
        &self,
        Hop { route, scheme, .. }: Hop<'_>,
        authority: &str,
        dial: Dial<'_>,
        slot: &mut Option<Request<UploadBody>>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let Some(bucket) = self.worker.pool.bucket(scheme, authority) else {
            return Err(SendError::Unsent(std::io::Error::other("its address cannot be written into a Host header")));
        };
        if let Some(request) = slot
            && !(route.filters.preserve_host && request.headers().contains_key(header::HOST))
        {
            request.headers_mut().insert(header::HOST, bucket.host().clone());
        }
        let limits = &self.worker.limits;
        let patience = Patience {
            connect: route.connect_timeout.unwrap_or(limits.connect_timeout),
            response_ticks: ticks(route.response_timeout.unwrap_or(limits.response_timeout)),
        };
        upstream::send(&self.state, &bucket, dial, patience, slot).await
    }

    /// Counts and logs a failed attempt, and says what the client would be told.
    fn give_up<'s>(&self, service: &'s str, authority: &str, error: &SendError) -> Failure<'s> {
        match error {
            SendError::Unsent(error) => {
                self.worker.stats().connect_failures.add();
                if self.worker.may_warn(authority) {
                    tracing::warn!(service, instance = authority, %error, "cannot connect");
                }
                Failure::BadGateway { service }
            }
            SendError::Broken(error) => {
                if self.worker.may_warn(authority) {
                    tracing::warn!(service, instance = authority, %error, "broken off before the response");
                }
                Failure::BadGateway { service }
            }
            SendError::GaveUp(GaveUp::Response) => Failure::ResponseTimeout { service },
            SendError::GaveUp(GaveUp::Upload) => Failure::UploadTimeout,
        }
    }

    /// Answers with a file of this directory.
    async fn files<'s>(
        &self,
        route: &'s Route,
        root: &Arc<Path>,
        request: Request<UploadBody>,
        original: Option<Uri>,
    ) -> Result<Response<ProxyBody>, Failure<'s>> {
        let (head, _body) = request.into_parts();
        match files::serve(root, &route.files, head, original).await {
            Ok(mut response) => {
                route.filters.on_response(response.headers_mut());
                Ok(response)
            }
            Err(error) => {
                if self.worker.may_warn(&route.id) {
                    tracing::warn!(route = &*route.id, directory = %root.display(), %error, "cannot serve files");
                }
                Err(Failure::Internal { route: &route.id })
            }
        }
    }

    /// What happens to a response on its way back.
    fn finish<'s>(
        &self,
        route: &Route,
        service: &'s str,
        mut response: Response<Incoming>,
        lease: Lease,
        wanted: Option<OnUpgrade>,
        after: &mut After,
    ) -> Result<Response<ProxyBody>, Failure<'s>> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if !headers::strip_response(response.headers_mut()) || (switched && wanted.is_none()) {
            tracing::warn!(service, status = response.status().as_u16(), "response that cannot be passed on");
            return Err(Failure::BadGateway { service });
        }
        route.filters.on_response(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        match wanted {
            Some(client) if switched => {
                upgrade::ask(response.headers_mut());
                let upstream = hyper::upgrade::on(&mut response);
                upgrade::join(client, upstream, Open::new(Rc::clone(&self.worker)), after.in_flight.take());
                Ok(response.map(|_| ProxyBody::fixed(Bytes::new())))
            }
            _ => Ok(response.map(|incoming| ProxyBody::upstream(incoming, lease))),
        }
    }
}

/// What is known of the way of a request whose instance says nothing about it.
fn trace(headers: &mut HeaderMap, service: &str, endpoint: &Endpoint) {
    if !headers.contains_key(PATH_HEADER)
        && let Ok(path) = HeaderValue::try_from(format!("{service}@{}", endpoint.version().unwrap_or("-")))
    {
        headers.insert(PATH_HEADER, path);
    }
}
