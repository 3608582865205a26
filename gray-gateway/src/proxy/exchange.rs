//! A request on its way to an instance, and the response on its way back.
//!
//! [`Connection::request`] is begin, exchange, error; [`After`] cleans up at the end of the response, whatever
//! happened before.

use std::{path::Path, rc::Rc, sync::Arc};

use gray_common::tag::PATH_HEADER;
use http::{Request as HttpRequest, Response, Version, header, request::Parts};

use super::{
    after::After,
    downstream::{
        connection::{Connection, End},
        socket::Socket,
    },
    files,
    http1::{Decoder, ParseError, ResponseHead, Skipped, read_request, read_response, room, status_line},
    request::steps::{Envelope, Reader, Reading, Request},
    response::{
        content::Content,
        error::Failure,
        head::Framing,
        refusal::Refusal,
        transfer::{Broken, Transfer},
    },
    upstream::{
        dial::{Dial, Upstream},
        send_error::SendError,
    },
    worker::{clock::ticks, held::Held},
};
use crate::{name::Name, route};

/// Interim responses before one that counts.
const MAX_INTERIMS: usize = 32;

/// What a response's bytes are.
enum ResponsePart {
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
            Reading::Foreign => {
                worker.stats().refused(Refusal::BadRequest);
                worker.buffers.take_back_out(out);
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
        let failure = match request {
            Ok(request) => match self.exchange(&snapshot, &mut envelope, request, out, &mut after).await {
                Ok(end) => return end,
                Err(failure) => failure,
            },
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
        self.state.may_pause(ticks(request.route.metadata.pause_timeout.unwrap_or(self.worker.limits.pause_timeout)));
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

    /// Waits for the whole head of the response, and writes what the client gets of it.
    pub(super) async fn answer<'s>(
        &mut self,
        snapshot: &Held,
        (envelope, request): (&Envelope, &Request<'s>),
        upstream: &mut Upstream,
        upload: &mut Transfer,
        instance: (&'s str, Option<&str>),
    ) -> Result<(u16, Framing, Transfer), SendError> {
        let mut out = self.worker.buffers.lend_out();
        let mut interims = 0;
        loop {
            match self.read_answer(snapshot, (envelope, request), upstream, instance, &mut out)? {
                ResponsePart::Partial => self.await_bytes(upstream, upload).await?,
                ResponsePart::Interim(length, shown) => {
                    interims += 1;
                    if interims > MAX_INTERIMS {
                        return Err(SendError::Unusable("there are too many interim responses"));
                    }
                    upstream.received.consume(length);
                    if let Some(shown) = shown {
                        self.write(&shown).await.map_err(|_| SendError::ClientGone)?;
                    }
                    if upstream.received.is_empty() {
                        self.await_bytes(upstream, upload).await?;
                    }
                }
                ResponsePart::Final(length, status, framing) => {
                    self.state.busy();
                    upstream.received.consume(length);
                    let mut download = Transfer::new(out, framing.body, framing.in_chunks);
                    if !framing.switched {
                        let gathered = download.gather(&mut upstream.received);
                        gathered.map_err(|error| match error {
                            Broken::Framing(error) => SendError::Unusable(error.0),
                            _ => SendError::Unusable("its body cannot be read"),
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
    ) -> Result<ResponsePart, SendError> {
        let mut room = room();
        let response = match read_response(upstream.received.bytes(), &mut room) {
            Ok(response) => response,
            Err(ParseError::Partial) => return Ok(ResponsePart::Partial),
            Err(ParseError::TooMany) => return Err(SendError::Unusable("it has too many header lines")),
            Err(ParseError::Version) => return Err(SendError::Unusable("it is not HTTP/1")),
            Err(ParseError::Malformed(reason)) => return Err(SendError::Unusable(reason)),
        };
        let length = response.head.bytes.len();
        match response.status {
            // Said already, to whom it may concern.
            100 => Ok(ResponsePart::Interim(length, None)),
            102..=199 => Ok(ResponsePart::Interim(length, envelope.is_11.then(|| interim(&response)))),
            _ => {
                let framing = self.respond(snapshot, (envelope, request), &response, instance, out);
                let framing = framing.map_err(SendError::Unusable)?;
                Ok(ResponsePart::Final(length, response.status, framing))
            }
        }
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
        let mut response = files::serve(root, &route.metadata.files, head, original).await.map_err(|error| {
            if self.worker.may_warn(&route.id) {
                tracing::warn!(route = &*route.id, directory = %root.display(), %error, "cannot serve files");
            }
            internal()
        })?;
        let headers = response.headers_mut();
        request.extras(|name, value| {
            headers.append(name, value.clone());
        });
        if let Some(cookie) = request.cookie(snapshot) {
            headers.append(header::SET_COOKIE, cookie);
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
    response.head.skip_named(&mut skipped);
    status_line(&mut out, response.status, response.reason);
    response.head.copy_lines(skipped, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}
