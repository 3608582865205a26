//! A request, from its bytes to the bytes that are sent on: read, checked, routed, decided, balanced, written anew.
//! No step waits for anything.

use std::{borrow::Cow, cell::OnceCell, net::IpAddr, ops::Range};

use gray_common::{
    balance::Chosen,
    rule::{Decision, find_cookie},
};
use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};

use super::{
    after::LogDraft,
    check,
    error::Failure,
    forwarded::{Asked, Forwarded},
    held::Held,
    http1::{Decoder, ParseError, RequestHead, is_meant_as_http, read_request, room},
    worker::Worker,
    writing::Writing,
};
use crate::{
    client_address::client_address,
    dye::{self, ClientFacts},
    header::View,
    rates::Rated,
    route::{self, Resolved, Route, Target, Upstream},
    snapshot::Snapshot,
};

/// What there is to know of a request before anybody looks at what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// Length of the head, with what came before it.
    pub(super) head_len: usize,
    /// How the body is framed.
    pub(super) body: Decoder,
    /// Whether the client speaks HTTP/1.1.
    pub(super) is_11: bool,
    /// Whether it means to go on after the response.
    pub(super) keep_alive: bool,
    /// Whether the response has no body whatever its head says.
    pub(super) is_head: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

impl Envelope {
    /// Of what cannot be read.
    pub(super) const UNREADABLE: Self = Self {
        head_len: 0,
        body: Decoder::UntilClose,
        is_11: true,
        keep_alive: false,
        is_head: false,
        expects_continue: false,
    };
}

/// A request that is ready to be sent; its bytes are in the buffer that was written to.
#[derive(Debug)]
pub(super) struct Request<'s> {
    pub(super) route: &'s Route,
    pub(super) target: &'s Target,
    pub(super) decision: Decision<'s>,
    pub(super) client: IpAddr,
    /// The lane that the browser believes to be on.
    pub(super) told: Option<Box<str>>,
    /// Whether the connection is to become a websocket.
    pub(super) upgrade: bool,
    /// Whether it may be sent twice depends on it (RFC 9110, 9.2.2).
    pub(super) method: Method,
    /// Where in the written bytes the value of `Host` is; `None` when it stays what the client sent.
    pub(super) host_at: Option<Range<usize>>,
    /// Who is asked first, if a service is to answer.
    pub(super) chosen: Option<Chosen<'s>>,
    /// The target as the client wrote it: for answers out of a directory.
    pub(super) original: Option<Box<str>>,
    /// What the client is told about its rate, if that is limited.
    pub(super) rated: Option<Rated>,
}

impl Request<'_> {
    /// What its answer gets besides, whoever gives it: what the route adds, and what the client is told about its rate.
    pub(super) fn extras(&self, mut add: impl FnMut(&HeaderName, &HeaderValue)) {
        for (name, value) in self.route.filters.added_to_response() {
            add(name, value);
        }
        if let Some(rated) = &self.rated {
            for (name, value) in rated.fields() {
                add(&name, &value.into());
            }
        }
    }

    /// The cookie that tells the browser its lane, if that is news.
    pub(super) fn cookie(&self, snapshot: &Snapshot) -> Option<HeaderValue> {
        dye::tell(&snapshot.rules, &self.decision, self.told.as_deref())
    }
}

/// What the bytes are.
#[expect(clippy::large_enum_variant, reason = "nearly always the large one, on the stack")]
pub(super) enum Reading<'s> {
    /// The beginning of a request.
    Partial,
    /// Another protocol.
    Foreign,
    /// Nothing that can be answered on the same connection again.
    Unreadable(Failure<'static>),
    /// A request; or why it is not sent on.
    Request(Envelope, Result<Request<'s>, Failure<'s>>),
}

const VERSION: &str = "the version is not HTTP/1.0 or HTTP/1.1";

/// What requests of one connection are read with.
#[derive(Clone, Copy)]
pub(super) struct Reader<'c> {
    pub(super) worker: &'c Worker,
    pub(super) forwarded: &'c Forwarded,
}

impl Reader<'_> {
    /// Reads the request at the beginning of the bytes and writes what is to be sent for it to `out`.
    pub(super) fn read<'s>(
        self,
        bytes: &[u8],
        snapshot: &'s Held,
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Reading<'s> {
        let limits = &self.worker.limits;
        let mut room = room();
        let request = read_request(bytes, &mut room, limits.max_headers);
        if matches!(request, Err(ParseError::Partial)) && bytes.len() < limits.max_head_bytes {
            return Reading::Partial;
        }
        if self.worker.access_log.is_some() {
            *log = Some(LogDraft::new(self.forwarded.peer(), self.worker.buffers.lend_out()));
        }
        let request = match request {
            Ok(request) => request,
            Err(ParseError::Partial) if memchr::memchr(b'\n', bytes).is_none() => {
                return Reading::Unreadable(Failure::UriTooLong);
            }
            Err(ParseError::Partial | ParseError::TooMany) => return Reading::Unreadable(Failure::HeadTooLarge),
            // Who speaks something else would not understand an answer.
            Err(ParseError::Version) if !is_meant_as_http(bytes) => return Reading::Foreign,
            Err(ParseError::Version) => return Reading::Unreadable(Failure::BadRequest(VERSION)),
            Err(ParseError::Malformed(reason)) => return Reading::Unreadable(Failure::BadRequest(reason)),
        };
        if let Some(log) = log {
            log.read(&request);
            log.hide(snapshot.secret_queries());
        }
        let (checked, asked) = match check::admitted(&request, limits, self.forwarded) {
            Ok(admitted) => admitted,
            Err(failure) => return Reading::Unreadable(failure),
        };
        let envelope = Envelope {
            head_len: request.end,
            body: checked.body,
            is_11: request.head.is_11,
            keep_alive: checked.keep_alive,
            is_head: request.method == Method::HEAD,
            expects_continue: checked.expects_continue,
        };
        if let Some(answer) = check::answer(&request, &checked) {
            return Reading::Request(envelope, Err(answer));
        }
        Reading::Request(envelope, self.prepare(snapshot, &request, &checked, &asked, out, log))
    }

    fn prepare<'s>(
        &self,
        snapshot: &'s Held,
        request: &RequestHead<'_, '_>,
        checked: &check::Checked<'_>,
        asked: &Asked,
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Result<Request<'s>, Failure<'s>> {
        let RequestHead { head, method, target, .. } = request;
        let check::Checked { path, query, .. } = *checked;
        let (peer, fields) = (self.forwarded.peer(), &View(head.fields));
        let asking = route::RequestHead {
            method,
            path,
            query,
            headers: fields,
            host: asked.name(),
            remote: peer,
            random: fastrand::u64(..),
        };
        let resolved = snapshot.routes.resolve(&asking, checked.spelling).map_err(Failure::BadRequest)?;
        let route: &Route = resolved.route.ok_or_else(|| Failure::no_route(snapshot))?;
        if let Some(log) = log {
            log.route = Some(&route.id);
        }
        let passed = check::taken(snapshot, route, method, checked, peer).inspect_err(|failure| {
            if matches!(failure, Failure::Loop) && self.worker.may_warn(&route.id) {
                tracing::warn!(
                    route = &*route.id,
                    "a request came back again and again: does the route lead to this gateway?"
                );
            }
        })?;

        let client_ip = client_address(peer, fields, &snapshot.trusted_hops, snapshot.trusted_headers);
        let facts = ClientFacts {
            method,
            path,
            query,
            host: asked.name(),
            headers: fields,
            client_ip,
            random: fastrand::u64(..),
            data: snapshot.city.as_deref(),
            city: OnceCell::new(),
        };
        let user = match &route.filters.token {
            Some(token) => Some(token.user(&facts).ok_or(Failure::Unauthenticated)?),
            None => None,
        };
        let rated = snapshot.rates.count(route, &facts, user.as_deref()).map_err(Failure::TooMany)?;
        let decision = snapshot.rules.decide(&facts);
        self.worker.sample(snapshot, &facts);
        self.worker.decided(snapshot, &decision);
        tracing::debug!(route = &*route.id, lane = decision.lane.name(), rule = decision.rule, %client_ip, "decided");
        let told = snapshot.rules.cookie().and_then(|name| {
            find_cookie(head.fields.all("cookie"), name)
                .and_then(|value| std::str::from_utf8(value).ok())
                .map(Box::from)
        });

        if let Some(log) = log {
            log.decided(client_ip, &decision);
        }
        let destination = route.target(decision.lane.name());
        let mut chosen = None;
        let authority = match &destination.upstream {
            Upstream::Service(service) => {
                if let Some(log) = log {
                    log.service = Some(service);
                }
                let first = self.worker.choose(snapshot, service, &decision, client_ip, &[]);
                let first = first.ok_or(Failure::NoInstance { service, hidden: route.use404 })?;
                chosen = Some(first);
                first.endpoint.authority()
            }
            Upstream::Fixed { authority, .. } => authority,
            Upstream::Directory(_) => asked.host().unwrap_or_default(),
        };
        let rewritten = rewritten(&resolved, route, path)?;
        let writing = Writing { request, checked, asked, route, path: &rewritten, authority, passed };
        let host_at = writing.write(self.forwarded, snapshot, &decision, out);
        let original = matches!(destination.upstream, Upstream::Directory(_)).then(|| Box::from(*target));
        let upgrade = checked.upgrade;
        Ok(Request {
            route,
            target: destination,
            decision,
            client: client_ip,
            told,
            upgrade,
            method: method.clone(),
            host_at,
            chosen,
            original,
            rated,
        })
    }
}

/// The path that the instance gets to see.
pub(super) fn rewritten<'s, 'p>(
    resolved: &Resolved<'_>,
    route: &'s Route,
    path: &'p str,
) -> Result<Cow<'p, str>, Failure<'s>> {
    let rewritten = route.filters.rewrite(path);
    // Put together anew: dots that were apart may have met.
    resolved.check_sent(route, &rewritten).map_err(Failure::BadRequest)?;
    if let Cow::Owned(path) = &rewritten
        && let Err(error) = PathAndQuery::try_from(&**path)
    {
        tracing::warn!(route = &*route.id, %error, "the route's filters made a path that cannot be sent");
        return Err(Failure::Internal { route: &route.id });
    }
    Ok(rewritten)
}
