//! A request on its way to an instance, and the response on its way back: the part that waits.
//!
//! ```text
//! Connection::request ── Reader::read: route ─ cross_origin ─ admit ─ decide ─ pick ─ write_head      request/steps.rs
//!   └ Exchange::run ──┬─ files                                                         files/
//!                     ├─ guarded   behind a circuit breaker: call, else the fallback    upstream/guarded.rs
//!                     └─ call ─┬─ attempt, hedge    again, while there is no answer    upstream/
//!                              ├─ read_head                                            response/read_head.rs
//!                              └─ relay                                                response/relay.rs
//! ```
//!
//! [`After`] cleans up at the end of the response, whatever happened before.

use std::{path::Path, rc::Rc, sync::Arc};

use http::{Request as HttpRequest, Response, Version, header, request::Parts};

use super::{
    after::After,
    downstream::{
        connection::{Connection, End},
        socket::Socket,
    },
    files::{self, Served},
    http1::{Decoder, read_request, room},
    request::{
        destined::Made,
        envelope::Envelope,
        steps::{Reader, Reading, Request},
    },
    response::{
        content::Content, cross_origin::CrossOrigin, error::Failure, grpc, refusal::Refusal, transfer::Transfer,
    },
    upstream::{dial::Dial, guarded::Guard},
    worker::{buffer::Lent, clock::ticks, held::Held, local::Worker},
};
use crate::{egress::Bounds, rates::Left, route};

/// One request that is sent on, to the end of its response: what its steps have in common.
pub(super) struct Exchange<'c, 's> {
    pub(super) client: &'c mut Connection,
    pub(super) worker: &'s Worker,
    pub(super) snapshot: &'s Held,
    pub(super) envelope: Envelope,
    /// What its answer says to pages of other origins.
    pub(super) cross_origin: &'c Option<CrossOrigin>,
    pub(super) request: Request<'s>,
    /// What is sent for it: the head, then the body as it arrives.
    pub(super) upload: Transfer<'s>,
    /// Of a call that a circuit breaker has admitted.
    pub(super) guard: Option<Box<Guard<'s>>>,
    pub(super) after: &'c mut After<'s>,
}

impl Connection {
    /// Serves the next request.
    pub(super) async fn request(&mut self) -> End {
        let worker = Rc::clone(&self.worker);
        let snapshot = worker.snapshot();
        let made = Made::new(matches!(self.socket, Socket::Pipe(_)));
        let mut out = worker.buffers.lend_out();
        let reader = Reader { worker: &worker, forwarded: &self.forwarded };
        let (mut log, mut cross_origin) = (None, None);
        let told = (&mut log, &mut cross_origin);
        let (mut envelope, request) = match reader.read(self.received.bytes(), (&snapshot, &made), &mut out, told) {
            Reading::Partial => return End::Partial,
            Reading::Foreign => {
                worker.stats().refused(Refusal::BadRequest);
                return End::Gone;
            }
            Reading::Unreadable(failure) => (Envelope::UNREADABLE, Err(failure)),
            Reading::Request(envelope, request) => (envelope, request),
        };
        if let Some(log) = &mut log
            && matches!(self.socket, Socket::Pipe(_))
        {
            log.version = Version::HTTP_2;
        }
        let mut after = After::new(&worker, &self.state, log);
        self.received.consume(envelope.head_len);
        let ended = match request {
            Ok(request) => {
                let mut exchange =
                    Exchange::new(self, &worker, &snapshot, (envelope, &cross_origin), request, out, &mut after);
                let ended = exchange.run().await;
                // What was taken of the body is gone, even if the gateway answers itself.
                envelope.body = exchange.upload.rest();
                ended
            }
            Err(failure) => Err(failure),
        };
        let failure = match ended {
            Ok(end) => return end,
            Err(failure) => failure,
        };
        after.note(|log| log.fault = failure.fault());
        match failure {
            Failure::NoRoute => worker.stats().no_route.add(),
            Failure::NoInstance { .. } => worker.stats().no_instance.add(),
            Failure::Overloaded { .. } | Failure::OutOfDescriptors => worker.stats().shed.add(),
            _ => {}
        }
        if let Some(why) = failure.refusal() {
            worker.stats().refused(why);
        }
        tracing::debug!(?failure, "answered by the gateway");
        self.state.busy();
        self.reply(&envelope, answer(&failure, envelope.is_grpc, cross_origin.as_ref()), &mut after).await
    }
}

impl<'c, 's> Exchange<'c, 's> {
    fn new(
        client: &'c mut Connection,
        worker: &'s Worker,
        snapshot: &'s Held,
        (envelope, cross_origin): (Envelope, &'c Option<CrossOrigin>),
        request: Request<'s>,
        out: Lent<'s>,
        after: &'c mut After<'s>,
    ) -> Self {
        let in_chunks = matches!(envelope.body, Decoder::Chunked(_));
        let upload = Transfer::new(out, envelope.body, in_chunks)
            .kept(request.method.is_idempotent() || request.fallback.is_some())
            .limited(request.route.filters.max_body);
        Self { client, worker, snapshot, envelope, cross_origin, request, upload, guard: None, after }
    }

    async fn run(&mut self) -> Result<End, Failure<'s>> {
        if matches!(self.request.left.as_deref(), Some(Left::Asked(_))) {
            // In a box: rare, and each connection would have room for it.
            self.request.left = Box::pin(self.rate()).await?;
        }
        let route = self.request.route;
        let Some(permits) = self.snapshot.limits.acquire(route.place) else {
            return Err(Failure::Overloaded { route: &route.id });
        };
        self.after.permits = permits;
        let pause = route.metadata.pause_timeout.unwrap_or(self.worker.limits.pause_timeout);
        self.client.state.may_pause(ticks(pause));
        if self.is_own() {
            let answer = self.answer().await?;
            return Ok(self.client.reply(&self.envelope, answer, self.after).await);
        }
        self.upload.gather(&mut self.client.received).map_err(Failure::of_body)?;
        if route.filters.breaker.is_some() {
            // In a box: most routes have none, and it would make room in every request.
            return Box::pin(self.guarded()).await;
        }
        self.call().await
    }

    /// Has Redis count the request. For as long as that takes it holds no place among those in flight.
    pub(super) async fn rate(&self) -> Result<Option<Box<Left>>, Failure<'s>> {
        let (worker, rates) = (self.worker, &self.snapshot.rates);
        let (Some(counting), Some(Left::Asked(asks))) = (&worker.shared_rates, self.request.left.as_deref()) else {
            return Ok(None);
        };
        let missed = |why| worker.stats().rates_missed[why as usize].add();
        let rated = counting.count(self.request.route, asks, rates, missed).await.map_err(Failure::TooMany)?;
        Ok(rated.map(|rated| Box::new(Left::Known(rated))))
    }

    /// Who is called, as it is counted and logged: the service, or the authority of the route.
    pub(super) fn service(&self) -> &'s str {
        match &self.request.target.upstream {
            route::Upstream::Service(service) => service.as_str(),
            route::Upstream::Fixed { authority, .. } => authority,
            route::Upstream::Directory(_) | route::Upstream::Forward(_) | route::Upstream::Nowhere => "",
        }
    }

    /// The same as callers know it: a service by its name, wherever it is.
    pub(super) fn service_name(&self) -> &'s str {
        match &self.request.target.upstream {
            route::Upstream::Service(service) => service.name(),
            _ => self.service(),
        }
    }

    /// Where that is, if the route says so itself.
    pub(super) fn fixed(&self) -> Option<Dial<'s>> {
        match &self.request.target.upstream {
            route::Upstream::Fixed { host, port, .. } => {
                Some(Dial { address: None, host, port: *port, bounds: self.bounds() })
            }
            _ => None,
        }
    }

    /// What may be connected to for it.
    pub(super) fn bounds(&self) -> Bounds<'s> {
        self.snapshot.egress.as_deref().map_or(Bounds::None, |egress| egress.bounds(self.request.route))
    }

    /// The answer that no instance gives: the route's own, or a file.
    pub(super) async fn answer(&self) -> Result<Response<Content>, Failure<'s>> {
        if let Some(answer) = self.own_answer() {
            return answer;
        }
        match &self.request.target.upstream {
            // In a box: each connection would have room for it.
            route::Upstream::Directory(root) => Box::pin(self.files(root)).await,
            _ => Err(Failure::Internal { route: &self.request.route.id }),
        }
    }

    /// Answers with a file of this directory.
    async fn files(&self, root: &Arc<Path>) -> Result<Response<Content>, Failure<'s>> {
        let (request, route) = (&self.request, self.request.route);
        let internal = || Failure::Internal { route: &route.id };
        let head = parts(&self.upload.out).ok_or_else(internal)?;
        let original = request.original.as_deref().and_then(|target| target.parse().ok());
        let by_lane = (!route.lanes.is_empty()).then(|| self.snapshot.rules.vary());
        let served = files::serve(root, &route.metadata.files, by_lane, head, original).await.map_err(|error| {
            if self.worker.may_warn(&route.id) {
                tracing::warn!(route = &*route.id, directory = %root.display(), %error, "cannot serve files");
            }
            internal()
        })?;
        let Served { mut response, is_shared } = served;
        let headers = response.headers_mut();
        request.edit(headers, self.cross_origin.as_ref()).map_err(|_| internal())?;
        if let Some(cookie) = request.cookie(self.snapshot).filter(|_| !is_shared) {
            headers.append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

/// An answer of our own, with what it says to pages of other origins.
fn answer(failure: &Failure<'_>, is_grpc: bool, cross_origin: Option<&CrossOrigin>) -> Response<Content> {
    let mut response = if is_grpc { grpc::response(failure) } else { failure.response() };
    if let Some(cross_origin) = cross_origin {
        cross_origin.each(|name, value| {
            response.headers_mut().append(name, value.clone());
        });
    }
    response
}

/// A head that we have written, for those who want it in parts.
fn parts(written: &[u8]) -> Option<Parts> {
    let mut room = room();
    let request = read_request(written, &mut room, usize::MAX).ok()?;
    let mut builder = HttpRequest::builder().method(request.method).uri(request.target);
    for field in request.head.fields.iter() {
        builder = builder.header(field.name, field.value);
    }
    Some(builder.body(()).ok()?.into_parts().0)
}

#[cfg(test)]
mod tests;
