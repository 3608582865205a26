//! A request, from its bytes to the bytes that are sent on: read, checked, routed, decided, balanced, written anew.
//! No step waits for anything.

use std::{borrow::Cow, cell::OnceCell, net::IpAddr, ops::Range};

use gray_common::{
    balance::Chosen,
    rule::{Decision, find_cookie},
};
use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};

use super::{
    check,
    forwarded::{Asked, Forwarded},
    writing::Writing,
};
use crate::{
    client_address::client_address,
    dye::{self, ClientFacts},
    header::View,
    proxy::{
        after::LogDraft,
        http1::{Decoder, ParseError, RequestHead, is_meant_as_http, read_request, room},
        response::error::Failure,
        worker::{held::Held, local::Worker},
    },
    rates::Rated,
    route::{self, Resolved, Route, Target, Upstream},
    snapshot::Snapshot,
};

/// What there is to know of a request before anybody looks at what it is about.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Envelope {
    /// Length of the head, with what came before it.
    pub(in crate::proxy) head_len: usize,
    /// How the body is framed.
    pub(in crate::proxy) body: Decoder,
    /// Whether the client speaks HTTP/1.1.
    pub(in crate::proxy) is_11: bool,
    /// Whether it means to go on after the response.
    pub(in crate::proxy) keep_alive: bool,
    /// Whether the response has no body whatever its head says.
    pub(in crate::proxy) is_head: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(in crate::proxy) expects_continue: bool,
}

impl Envelope {
    /// Of what cannot be read.
    pub(in crate::proxy) const UNREADABLE: Self = Self {
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
pub(in crate::proxy) struct Request<'s> {
    pub(in crate::proxy) route: &'s Route,
    pub(in crate::proxy) target: &'s Target,
    pub(in crate::proxy) decision: Decision<'s>,
    pub(in crate::proxy) client: IpAddr,
    /// The lane that the browser believes to be on.
    pub(super) told: Option<Box<str>>,
    /// Whether the connection is to become a websocket.
    pub(in crate::proxy) upgrade: bool,
    /// Whether it may be sent twice depends on it (RFC 9110, 9.2.2).
    pub(in crate::proxy) method: Method,
    /// Where in the written bytes the value of `Host` is; `None` when it stays what the client sent.
    pub(in crate::proxy) host_at: Option<Range<usize>>,
    /// Who is asked first, if a service is to answer.
    pub(in crate::proxy) chosen: Option<Chosen<'s>>,
    /// The target as the client wrote it: for answers out of a directory.
    pub(in crate::proxy) original: Option<Box<str>>,
    /// What the client is told about its rate, if that is limited.
    pub(in crate::proxy) rated: Option<Rated>,
}

impl Request<'_> {
    /// Fields added to its answer, from an instance or our own: what the route adds, and what the client is told about its rate.
    pub(in crate::proxy) fn extras(&self, mut add: impl FnMut(&HeaderName, &HeaderValue)) {
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
    pub(in crate::proxy) fn cookie(&self, snapshot: &Snapshot) -> Option<HeaderValue> {
        dye::tell(&snapshot.rules, &self.decision, self.told.as_deref())
    }
}

/// What the bytes are.
#[expect(clippy::large_enum_variant, reason = "nearly always the large one, on the stack")]
pub(in crate::proxy) enum Reading<'s> {
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
pub(in crate::proxy) struct Reader<'w, 'c> {
    pub(in crate::proxy) worker: &'w Worker,
    pub(in crate::proxy) forwarded: &'c Forwarded,
}

impl<'w> Reader<'w, '_> {
    /// Reads the request at the beginning of the bytes and writes what is to be sent for it to `out`.
    pub(in crate::proxy) fn read<'s>(
        self,
        bytes: &[u8],
        snapshot: &'s Held,
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Reading<'s>
    where
        'w: 's,
    {
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
        let steps = Steps {
            reader: self,
            snapshot,
            request: &request,
            checked: &checked,
            asked: &asked,
            fields: View(request.head.fields),
        };
        Reading::Request(envelope, steps.take(out, log))
    }
}

/// The steps of a request that can be read, and what they look at; in the order in which they are taken.
struct Steps<'r, 'b, 's> {
    reader: Reader<'r, 'r>,
    snapshot: &'s Held,
    request: &'r RequestHead<'r, 'b>,
    checked: &'r check::Checked<'b>,
    asked: &'r Asked,
    fields: View<'r, 'b>,
}

impl<'r, 'b, 's> Steps<'r, 'b, 's> {
    fn take(&self, out: &mut Vec<u8>, log: &mut Option<LogDraft<'s>>) -> Result<Request<'s>, Failure<'s>> {
        let (resolved, route) = self.route()?;
        if let Some(log) = log {
            log.route = Some(&route.id);
        }
        let facts = self.facts();
        let (passed, rated) = self.admit(route, &facts)?;
        let decision = self.decide(route, &facts);
        let client = facts.client_ip;
        if let Some(log) = log {
            log.decided(client, &decision);
        }
        let target = route.target(decision.lane.name());
        let chosen = self.pick(route, target, &decision, client, log)?;
        let path = rewritten(&resolved, route, self.checked.path)?;
        let authority = self.authority(target, chosen);
        let Self { request, checked, asked, .. } = *self;
        let writing = Writing { request, checked, asked, route, path: &path, authority, passed };
        let host_at = writing.write_head(self.reader.forwarded, self.snapshot, &decision, out);
        let original = matches!(target.upstream, Upstream::Directory(_)).then(|| Box::from(request.target));
        let (told, upgrade, method) = (self.told(), checked.upgrade, request.method.clone());
        Ok(Request { route, target, decision, client, told, upgrade, method, host_at, chosen, original, rated })
    }

    /// Finds the route, in every reading of the path.
    fn route(&self) -> Result<(Resolved<'s>, &'s Route), Failure<'s>> {
        let asking = route::RequestHead {
            method: &self.request.method,
            path: self.checked.path,
            query: self.checked.query,
            headers: &self.fields,
            host: self.asked.name(),
            remote: self.reader.forwarded.peer(),
            random: fastrand::u64(..),
        };
        let resolved = self.snapshot.routes.resolve(&asking, self.checked.spelling).map_err(Failure::BadRequest)?;
        let route = resolved.route.ok_or_else(|| Failure::no_route(self.snapshot))?;
        Ok((resolved, route))
    }

    /// Client address and what else rules may ask for.
    fn facts(&self) -> ClientFacts<'_, View<'r, 'b>> {
        let (snapshot, peer) = (self.snapshot, self.reader.forwarded.peer());
        ClientFacts {
            method: &self.request.method,
            path: self.checked.path,
            query: self.checked.query,
            host: self.asked.name(),
            headers: &self.fields,
            client_ip: client_address(peer, &self.fields, &snapshot.trusted_hops, snapshot.trusted_headers),
            random: fastrand::u64(..),
            data: snapshot.city.as_deref(),
            city: OnceCell::new(),
        }
    }

    /// Refuses what the route does not take: TRACE, too many hops, too long a body, no token, too high a rate. Returns the
    /// gateways that it has passed, and what the client has left of its rate.
    fn admit(
        &self,
        route: &'s Route,
        facts: &ClientFacts<'_, View<'r, 'b>>,
    ) -> Result<(usize, Option<Rated>), Failure<'s>> {
        let (snapshot, peer) = (self.snapshot, self.reader.forwarded.peer());
        let passed = check::taken(snapshot, route, facts.method, self.checked, peer).inspect_err(|failure| {
            if matches!(failure, Failure::Loop) && self.reader.worker.may_warn(&route.id) {
                tracing::warn!(
                    route = &*route.id,
                    "a request came back again and again: does the route lead to this gateway?"
                );
            }
        })?;
        let user = match &route.filters.token {
            Some(token) => Some(token.user(facts).ok_or(Failure::Unauthenticated)?),
            None => None,
        };
        let rated = snapshot.rates.count(route, facts, user.as_deref()).map_err(Failure::TooMany)?;
        Ok((passed, rated))
    }

    /// Decides the lane.
    fn decide(&self, route: &Route, facts: &ClientFacts<'_, View<'r, 'b>>) -> Decision<'s> {
        let (snapshot, worker) = (self.snapshot, self.reader.worker);
        let decision = snapshot.rules.decide(facts);
        worker.sample(snapshot, facts);
        worker.decided(snapshot, &decision);
        let (lane, rule, client_ip) = (decision.lane.name(), decision.rule, facts.client_ip);
        tracing::debug!(route = &*route.id, lane, rule, %client_ip, "decided");
        decision
    }

    /// Picks an instance by the lane, if it is a service that answers.
    fn pick(
        &self,
        route: &Route,
        target: &'s Target,
        decision: &Decision<'_>,
        client: IpAddr,
        log: &mut Option<LogDraft<'s>>,
    ) -> Result<Option<Chosen<'s>>, Failure<'s>> {
        let Upstream::Service(service) = &target.upstream else { return Ok(None) };
        if let Some(log) = log {
            log.service = Some(service);
        }
        let first = self.reader.worker.choose(self.snapshot, service, decision, client, &[]);
        first.map(Some).ok_or(Failure::NoInstance { service, hidden: route.use404 })
    }

    /// Who the head that is sent is addressed to.
    fn authority<'a>(&self, target: &'a Target, chosen: Option<Chosen<'a>>) -> &'a str
    where
        'r: 'a,
    {
        match &target.upstream {
            Upstream::Service(service) => chosen.map_or(service, |chosen| chosen.endpoint.authority()),
            Upstream::Fixed { authority, .. } => authority,
            Upstream::Directory(_) => self.asked.host().unwrap_or_default(),
        }
    }

    /// The lane that the browser believes to be on.
    fn told(&self) -> Option<Box<str>> {
        let name = self.snapshot.rules.cookie()?;
        let value = find_cookie(self.request.head.fields.all("cookie"), name)?;
        std::str::from_utf8(value).ok().map(Box::from)
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
