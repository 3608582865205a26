//! A request on its way to an instance, and the response on its way back.
//!
//! [`Connection::request`] is begin, exchange, error; [`After`] cleans up at the end of the response, whatever
//! happened before.

use std::{path::Path, rc::Rc, sync::Arc, time::Duration};

use gray_common::{
    Endpoint,
    balance::{Chosen, InFlight, Outcome},
    tag::PATH_HEADER,
};
use http::{Request as HttpRequest, Response, StatusCode, Version, header, request::Parts};

use super::{
    after::After,
    attempt::{Patience, Reuse, SendError, Upstream},
    choose,
    clock::ticks,
    connection::{Connection, End},
    error::Failure,
    files,
    held::Held,
    http1::{Decoder, Name, ParseError, ResponseHead, Skipped, read_request, read_response, room},
    reply::Content,
    request::{Envelope, Reader, Reading, Request},
    response::{Framing, status_line},
    socket::Socket,
    state::GaveUp,
    transfer::{Broken, Transfer},
    upstream::Dial,
};
use crate::{dye, route};

/// What a response's bytes are.
enum Answer {
    Partial,
    /// 1xx, of this length, and what the client gets to see of it.
    Interim(usize, Option<Vec<u8>>),
    /// The response itself, its head of this length; its status.
    Final(usize, u16, Framing),
}

impl Connection {
    /// Serves the next request.
    pub(super) async fn request(&mut self) -> End {
        let worker = Rc::clone(&self.worker);
        let snapshot = worker.snapshot();
        let mut out = worker.buffers.lend_out();
        let reader = Reader { worker: &worker, forwarded: &self.forwarded };
        let mut log = None;
        let (mut envelope, request) = match reader.read(self.received.bytes(), &snapshot, &mut out, &mut log) {
            Reading::Partial => {
                worker.buffers.take_back_out(out);
                return End::Partial;
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
        let failure = match request {
            Ok(request) => match self.exchange(&snapshot, &mut envelope, request, out, &mut after).await {
                Ok(end) => return end,
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::NoRoute => worker.stats().no_route.add(),
            Failure::NoInstance { .. } => worker.stats().no_instance.add(),
            Failure::Overloaded { .. } => worker.stats().shed.add(),
            _ => {}
        }
        if let Some(why) = failure.refusal() {
            worker.stats().refused(why);
        }
        tracing::debug!(?failure, "answered by the gateway");
        self.state.busy();
        self.reply(&envelope, failure.response(), &mut after).await
    }

    async fn exchange<'s>(
        &mut self,
        snapshot: &'s Held,
        envelope: &mut Envelope,
        request: Request<'s>,
        out: Vec<u8>,
        after: &mut After<'s>,
    ) -> Result<End, Failure<'s>> {
        let Some(permits) = snapshot.limits.acquire(request.route.place) else {
            self.worker.buffers.take_back_out(out);
            return Err(Failure::Overloaded { route: &request.route.id });
        };
        after.permits = permits;
        let (service, fixed) = match &request.target.upstream {
            route::Upstream::Service(service) => (&**service, None),
            route::Upstream::Fixed { authority, host, port } => {
                (&**authority, Some(Dial { address: None, host, port: *port }))
            }
            route::Upstream::Directory(root) => {
                let answered = self.files(snapshot, root, &request, &out).await;
                self.worker.buffers.take_back_out(out);
                return Ok(self.reply(envelope, answered?, after).await);
            }
        };
        let in_chunks = matches!(envelope.body, Decoder::Chunked(_));
        let mut upload = Transfer::new(out, envelope.body, in_chunks)
            .kept(request.method.is_idempotent())
            .limited(request.route.filters.max_body);
        let ended = match upload.gather(&mut self.received) {
            Ok(()) => self.call(snapshot, envelope, request, (service, fixed), &mut upload, after).await,
            Err(error) => Err(Failure::of_body(error)),
        };
        // What was taken of the body is not there any more, whoever answers.
        envelope.body = upload.rest();
        ended
    }

    /// Sends the request to one instance after the other until there is a response, and passes that on.
    async fn call<'s>(
        &mut self,
        snapshot: &'s Held,
        envelope: &Envelope,
        mut request: Request<'s>,
        (service, fixed): (&'s str, Option<Dial<'s>>),
        upload: &mut Transfer,
        after: &mut After<'s>,
    ) -> Result<End, Failure<'s>> {
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut reuse = Reuse::default();
        let limit = || if request.route.is_stream() { Duration::MAX } else { self.worker.limits.stream_idle_timeout };
        let idle_ticks = ticks(request.route.idle_timeout.unwrap_or_else(limit));
        loop {
            let chosen = request.chosen;
            let endpoint = chosen.map(|chosen| chosen.endpoint);
            let load = endpoint.map(|endpoint| endpoint.load().begin());
            let authority = endpoint.map_or(service, |endpoint| endpoint.authority());
            let dial = fixed.or(endpoint.map(|endpoint| {
                let instance = endpoint.instance();
                Dial { address: endpoint.address(), host: &instance.host, port: instance.port }
            }));
            let Some(dial) = dial else { return Err(Failure::Internal { route: &request.route.id }) };
            after.note(|log| log.called(authority));
            let bucket = self.worker.pool.bucket(request.target.scheme, request.route.protocol, authority);
            let patience = self.patience(&request, envelope);
            let error = match self.attempt(&bucket, dial, patience, &mut reuse, upload).await {
                Ok(mut upstream) => {
                    let instance = (service, endpoint.and_then(|endpoint| endpoint.version()));
                    match self.answer(snapshot, (envelope, &request), &mut upstream, upload, instance).await {
                        Ok((status, framing, download)) => {
                            self.report_answer(snapshot, service, chosen, load.as_ref(), status);
                            if let Some(next) = self.elsewhere(snapshot, service, &request, status, upload, &mut tried)
                            {
                                upstream.received.release(&self.worker.buffers);
                                self.worker.buffers.take_back_out(download.out);
                                request.chosen = Some(next);
                                upload.restart(request.host_at.as_mut().zip(Some(next.endpoint.authority())));
                                continue;
                            }
                            if let Ok(status) = StatusCode::from_u16(status) {
                                self.worker.stats().responded(status);
                            }
                            after.note(|log| log.answered(status));
                            after.in_flight = load;
                            return Ok(self
                                .relay(upstream, upload, download, (framing, idle_ticks), &bucket, after)
                                .await);
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if let (Some(chosen), Some(outcome)) = (chosen, choose::outcome(&error)) {
                self.worker.report(snapshot, service, (chosen.endpoint, chosen.is_trial), outcome);
            }
            let (is_unsent, is_broken) = (matches!(error, SendError::Unsent(_)), matches!(error, SendError::Broken(_)));
            let failure = self.give_up(service, authority, error);
            let may_go_on = is_unsent || (is_broken && request.method.is_idempotent() && upload.is_whole());
            if !may_go_on || tried.len() + 1 >= self.worker.limits.connect_attempts {
                return failure;
            }
            tried.extend(endpoint.map(Arc::clone));
            let next = self.worker.choose(snapshot, service, &request.decision, request.client, &tried);
            // The only one there is may have closed a connection for want of work, before it saw the request.
            let once_more = is_broken && reuse.was_pooled;
            if (next.is_none() && !once_more) || (is_broken && !self.worker.may_repeat(snapshot, service)) {
                return failure;
            }
            reuse.wants_new = next.is_none();
            if let Some(next) = next {
                if is_unsent {
                    self.worker.stats().retries.add();
                }
                request.chosen = Some(next);
            }
            let name = request.chosen.map(|chosen| chosen.endpoint.authority());
            upload.restart(request.host_at.as_mut().zip(name));
        }
    }

    /// Who is asked once more after this answer, by the route's `Retry` filter.
    fn elsewhere<'s>(
        &self,
        snapshot: &'s Held,
        service: &str,
        request: &Request<'s>,
        status: u16,
        upload: &Transfer,
        tried: &mut Vec<Arc<Endpoint>>,
    ) -> Option<Chosen<'s>> {
        let retry = request.route.filters.retry.as_ref()?;
        let chosen = request.chosen?;
        if tried.len() >= retry.retries || !upload.is_whole() || !retry.covers(&request.method, status) {
            return None;
        }
        tried.push(Arc::clone(chosen.endpoint));
        let next = self.worker.choose(snapshot, service, &request.decision, request.client, tried)?;
        // Another kind of instance is for when there is none of this one, not for when it fails.
        (next.is_fallback == chosen.is_fallback && self.worker.may_repeat(snapshot, service)).then_some(next)
    }

    /// Takes in how an instance has answered.
    fn report_answer(
        &self,
        snapshot: &Held,
        service: &str,
        chosen: Option<Chosen<'_>>,
        load: Option<&InFlight>,
        status: u16,
    ) {
        let (Some(chosen), Some(load)) = (chosen, load) else { return };
        let took = load.responded();
        let slow_ms = snapshot.outliers.slow_ms;
        let is_slow = slow_ms > 0 && took.as_millis() > u128::from(slow_ms);
        let outcome = if status >= 500 || is_slow { Outcome::Failed } else { Outcome::Good };
        self.worker.report(snapshot, service, (chosen.endpoint, chosen.is_trial), outcome);
    }

    fn patience(&self, request: &Request<'_>, envelope: &Envelope) -> Patience {
        let limits = &self.worker.limits;
        Patience {
            connect: request.route.connect_timeout.unwrap_or(limits.connect_timeout),
            response_ticks: ticks(request.route.response_timeout.unwrap_or(limits.response_timeout)),
            is_stream: request.route.is_stream(),
            expects_continue: envelope.expects_continue,
        }
    }

    /// Waits for the whole head of the response, and writes what the client gets of it.
    async fn answer<'s>(
        &mut self,
        snapshot: &Held,
        (envelope, request): (&Envelope, &Request<'s>),
        upstream: &mut Upstream,
        upload: &mut Transfer,
        instance: (&'s str, Option<&str>),
    ) -> Result<(u16, Framing, Transfer), SendError> {
        let mut out = self.worker.buffers.lend_out();
        loop {
            match self.read_answer(snapshot, (envelope, request), upstream, instance, &mut out)? {
                Answer::Partial => self.await_bytes(upstream, upload).await?,
                Answer::Interim(length, shown) => {
                    upstream.received.consume(length);
                    if let Some(shown) = shown {
                        self.write(&shown).await.map_err(|_| SendError::ClientGone)?;
                    }
                    if upstream.received.is_empty() {
                        self.await_bytes(upstream, upload).await?;
                    }
                }
                Answer::Final(length, status, framing) => {
                    self.state.busy();
                    upstream.received.consume(length);
                    let mut download = Transfer::new(out, framing.body, framing.in_chunks);
                    if !framing.switched {
                        let gathered = download.gather(&mut upstream.received);
                        gathered.map_err(|error| match error {
                            Broken::Framing(error) => SendError::Malformed(error.0),
                            _ => SendError::Malformed("a body that cannot be passed on"),
                        })?;
                    }
                    return Ok((status, framing, download));
                }
            }
        }
    }

    fn read_answer<'s>(
        &self,
        snapshot: &Held,
        (envelope, request): (&Envelope, &Request<'s>),
        upstream: &Upstream,
        instance: (&'s str, Option<&str>),
        out: &mut Vec<u8>,
    ) -> Result<Answer, SendError> {
        let mut room = room();
        let response = match read_response(upstream.received.bytes(), &mut room) {
            Ok(response) => response,
            Err(ParseError::Partial) => return Ok(Answer::Partial),
            Err(ParseError::TooMany) => return Err(SendError::Malformed("too many header lines")),
            Err(ParseError::Malformed(reason)) => return Err(SendError::Malformed(reason)),
        };
        let length = response.head.bytes.len();
        match response.status {
            // Said already, to whom it may concern.
            100 => Ok(Answer::Interim(length, None)),
            102..=199 => Ok(Answer::Interim(length, envelope.is_11.then(|| interim(&response)))),
            _ => {
                let framing = self.respond(snapshot, (envelope, request), &response, instance, out);
                let framing = framing.map_err(|_| SendError::Unusable)?;
                Ok(Answer::Final(length, response.status, framing))
            }
        }
    }

    /// Counts and logs a failed attempt, and says what the client is told, if there is one.
    fn give_up<'s>(&self, service: &'s str, authority: &str, error: SendError) -> Result<End, Failure<'s>> {
        let failure = match error {
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
            SendError::Malformed(reason) => {
                if self.worker.may_warn(authority) {
                    tracing::warn!(service, instance = authority, reason, "not a response that can be passed on");
                }
                Failure::BadGateway { service }
            }
            SendError::Unusable => Failure::BadGateway { service },
            SendError::GaveUp(GaveUp::Response) => Failure::ResponseTimeout { service },
            SendError::GaveUp(GaveUp::Upload) => Failure::UploadTimeout,
            SendError::Client(error @ (Broken::Framing(_) | Broken::TooLong)) => Failure::of_body(error),
            SendError::Client(_) | SendError::ClientGone => return Ok(End::Gone),
        };
        Err(failure)
    }

    /// Answers with a file of this directory.
    async fn files<'s>(
        &self,
        snapshot: &Held,
        root: &Arc<Path>,
        request: &Request<'s>,
        written: &[u8],
    ) -> Result<Response<Content>, Failure<'s>> {
        let route = request.route;
        let internal = || Failure::Internal { route: &route.id };
        let head = parts(written).ok_or_else(internal)?;
        let original = request.original.as_deref().and_then(|target| target.parse().ok());
        let mut response = files::serve(root, &route.files, head, original).await.map_err(|error| {
            if self.worker.may_warn(&route.id) {
                tracing::warn!(route = &*route.id, directory = %root.display(), %error, "cannot serve files");
            }
            internal()
        })?;
        for (name, value) in route.filters.added_to_response() {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(cookie) = dye::tell(&snapshot.rules, &request.decision, request.told.as_deref()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
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

/// What the client gets of an interim response.
fn interim(response: &ResponseHead<'_, '_>) -> Vec<u8> {
    let (mut out, mut skipped) = (Vec::new(), Skipped::default());
    for (place, field) in response.head.fields.iter().enumerate() {
        if Name::of(field.name) != Name::Other || field.name.eq_ignore_ascii_case(PATH_HEADER.as_str()) {
            skipped.add(place);
        }
    }
    response.head.skip_named(&mut skipped, Name::is_essential);
    status_line(&mut out, response.status, response.reason);
    response.head.copy_lines(skipped, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}
