//! A request, from its bytes to the bytes that are sent on: read, checked, routed, decided, balanced, written anew.
//! No step waits for anything.

use std::{net::IpAddr, ops::Range};

use gray_core::{GrayStatus, balance::Chosen};
use gray_rules::{Decision, Facts, find_cookie};
use http::{HeaderValue, Method, header::COOKIE};

use super::{
    check,
    destined::{Made, Routed, read_by},
    edited::Edited,
    envelope::Envelope,
    forward::{Again, Kept},
    forwarded::Forwarded,
    view::RequestView,
    writing::{Mark, Writing},
};
use crate::{
    dye,
    egress::Telling,
    proxy::{
        after::LogDraft,
        http1::{ParseError, is_meant_as_http, read_request, room},
        response::{cross_origin::CrossOrigin, error::Failure},
        worker::{held::Held, local::Worker},
    },
    rates::{Left, Rated},
    route::{Remembered, Route, Target, Upstream},
    snapshot::Snapshot,
};

/// A request that is ready to be sent: what was made of it, and what of it outlives the bytes that it was read from. The bytes
/// that are sent are in the buffer that was written to.
#[derive(Debug)]
pub(in crate::proxy) struct Request<'s> {
    pub(in crate::proxy) route: &'s Route,
    pub(in crate::proxy) target: &'s Target,
    pub(in crate::proxy) decision: Decision<'s>,
    /// Address of the client.
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
    /// What the client has left of its rate, if that is limited, or what is to be asked about that. In a box: most requests have none.
    pub(in crate::proxy) left: Option<Box<Left>>,
    /// What the filters of the answer need to know of it.
    pub(in crate::proxy) remembered: Remembered,
    /// What is kept for the fallback of the route's circuit breaker, if it has one.
    pub(in crate::proxy) fallback: Option<Box<Kept>>,
}

impl Request<'_> {
    /// What the client is told about its rate, if that is limited.
    pub(in crate::proxy) fn rated(&self) -> Option<&Rated> {
        match self.left.as_deref() {
            Some(Left::Known(rated)) => Some(rated),
            Some(Left::Asked(_)) | None => None,
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
        (snapshot, made): (&'s Held, &'s Made),
        out: &mut Vec<u8>,
        (log, cross_origin): (&mut Option<LogDraft<'s>>, &mut Option<CrossOrigin>),
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
        if snapshot.egress.is_some() && request.method == Method::CONNECT {
            return Reading::Unreadable(Failure::ConnectRefused);
        }
        let (checked, asked) = match check::admitted(&request, limits, self.forwarded) {
            Ok(admitted) => admitted,
            Err(failure) => return Reading::Unreadable(failure),
        };
        let envelope = checked.envelope;
        if let Some(answer) = check::answer(&request, &checked) {
            return Reading::Request(envelope, Err(answer));
        }
        let view = RequestView::new(&request, (&checked, &*asked), self.forwarded, snapshot, fastrand::u64(..));
        Reading::Request(
            envelope,
            Steps { worker: self.worker, snapshot, view, again: None, made: Some(made) }.take(out, log, cross_origin),
        )
    }
}

/// The steps of a request, in the order in which they are taken, and what they are taken with.
pub(super) struct Steps<'r, 'b, 's> {
    pub(super) worker: &'r Worker,
    pub(super) snapshot: &'s Held,
    pub(super) view: RequestView<'r, 'b>,
    /// It was forwarded here: by another route, or as one that has failed and comes to a fallback now.
    pub(super) again: Option<Again<'r, 's>>,
    /// What an egress makes for it.
    pub(super) made: Option<&'s Made>,
}

impl<'r, 's> Steps<'r, '_, 's> {
    pub(super) fn take(
        &self,
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
        cross_origin: &mut Option<CrossOrigin>,
    ) -> Result<Request<'s>, Failure<'s>> {
        let routed = self.route();
        if let (Some(log), Ok(routed)) = (&mut *log, &routed) {
            log.route = Some(&routed.route.id);
        }
        let judged = match self.again {
            // By the path that the client has asked for.
            Some(_) => Ok(()),
            None => self.cross_origin(routed.is_ok(), cross_origin),
        };
        let Routed { resolved, route, target } = match routed {
            // A preflight is answered where no route takes it, if the settings say so.
            Err(Failure::NoRoute) => return Err(judged.err().unwrap_or(Failure::NoRoute)),
            routed => routed?,
        };
        judged?;
        let (passed, left) = self.admit(route)?;
        let view = &self.view;
        let decision = match self.again {
            // Once for each request.
            Some(again) => again.decision.clone(),
            None => {
                let decision = self.decide(route);
                if let Some(log) = log {
                    log.decided(view.client_ip, &decision);
                }
                decision
            }
        };
        let target = target.unwrap_or_else(|| route.target(decision.lane.name()));
        if let Some(path) = self.forwarded(route, target)? {
            return self.forward_on(path, &decision, out, log);
        }
        let told = match &target.upstream {
            Upstream::Service(service) => decision.lane.told(service.name()),
            _ => decision.lane.told(""),
        };
        if self.again.is_none_or(|again| again.told.is_none()) {
            self.worker.decided(self.snapshot, &decision, told.tag);
        }
        let chosen = self.pick(route, target, &decision, log)?;
        if !told.is_whole && chosen.is_some_and(|chosen| chosen.endpoint.is_foreign()) {
            self.worker.stats().tag_only.add();
        }
        let edited = Edited::of(view, &resolved, route)?;
        let authority = self.authority(target, chosen);
        let failed = self.again.and_then(|again| again.told);
        let mark = self.mark(route, target, told.tag);
        let stats = self.worker.stats();
        let writing = Writing { view, route, edited: &edited, authority, passed, mark, failed, stats };
        let host_at =
            writing.write_head(self.snapshot, &decision, out).map_err(|error| Failure::of_field(error, route))?;
        let fallback = route.filters.breaker.as_ref().and_then(|breaker| breaker.fallback.as_ref());
        let fallback = fallback.map(|fallback| Kept::of(view, fallback, &resolved.variables)).transpose();
        let fallback = fallback.map_err(|error| Failure::of_field(error, route))?;
        let remembered = edited.remembered;
        let original = matches!(target.upstream, Upstream::Directory(_)).then(|| Box::from(view.request.target));
        let (client, told) = (view.client_ip, self.told());
        let (upgrade, method) = (view.checked.upgrade, view.request.method.clone());
        Ok(Request {
            route,
            target,
            decision,
            client,
            told,
            upgrade,
            method,
            host_at,
            chosen,
            original,
            left,
            remembered,
            fallback,
        })
    }

    /// Finds the route, in every reading of the path; of an egress, where the registry has the host that is asked.
    fn route(&self) -> Result<Routed<'s>, Failure<'s>> {
        match (&self.snapshot.egress, self.made) {
            (Some(egress), Some(made)) => made.find(&self.view, egress),
            _ => {
                let (resolved, route) = check::routed(&self.view, self.snapshot)?;
                Ok(Routed { resolved, route, target: None })
            }
        }
    }

    /// What is said of the lane.
    fn mark(&self, route: &Route, target: &'s Target, tag: GrayStatus) -> Mark<'s> {
        let service = match &target.upstream {
            Upstream::Service(service) => Some(service.name()),
            _ => None,
        };
        match (&self.snapshot.egress, self.made) {
            (Some(egress), _) if egress.is_outside(route) => Mark::Nothing,
            (Some(egress), Some(made)) => {
                let (carried, by) =
                    (made.carried(&self.view, self.snapshot, egress), read_by(&self.view, self.snapshot, egress));
                let caller = &self.snapshot.caller;
                Mark::Carried { carried, told: Telling { service: service.unwrap_or_default(), tag, by, caller } }
            }
            _ => Mark::Decided { tag, is_for_service: service.is_some() },
        }
    }

    /// Judges a request that a page of another origin sends; notes what its answer says to that page. A preflight carries no token, so
    /// it comes before [`admit`](Self::admit).
    fn cross_origin(&self, is_routed: bool, told: &mut Option<CrossOrigin>) -> Result<(), Failure<'s>> {
        let (said, judged) = check::cross_origin(&self.view, self.snapshot, is_routed);
        *told = said;
        judged
    }

    /// Refuses what the route does not take: TRACE, too many hops, too long a body, no token, too high a rate. Returns the
    /// gateways that the request has passed, and what the client has left of its rate, or what is to be asked about that.
    fn admit(&self, route: &'s Route) -> Result<(usize, Option<Box<Left>>), Failure<'s>> {
        let passed = check::taken(&self.view, self.snapshot, route).inspect_err(|failure| {
            if matches!(failure, Failure::Loop) && self.worker.may_warn(&route.id) {
                tracing::warn!(
                    route = &*route.id,
                    "a request came back again and again: does the route lead to this gateway?"
                );
            }
        })?;
        let user = check::user(&self.view, route)?;
        let (rates, user) = (&self.snapshot.rates, user.as_deref());
        let left = match &self.worker.shared_rates {
            Some(counting) if !route.filters.rates.is_empty() => {
                Some(Left::Asked(rates.asks(counting.shared(), route, &self.view, user)))
            }
            _ => rates.count(route, &self.view, user).map_err(Failure::TooMany)?.map(Left::Known),
        };
        Ok((passed, left.map(Box::new)))
    }

    /// Decides the lane; of an egress, reads the one that was decided.
    fn decide(&self, route: &Route) -> Decision<'s> {
        let (snapshot, worker, view) = (self.snapshot, self.worker, &self.view);
        if let (Some(egress), Some(made)) = (&snapshot.egress, self.made) {
            let carried = made.carried(view, snapshot, egress);
            worker.stats().lanes[carried.source() as usize].add();
            return carried.decision();
        }
        let decision = snapshot.rules.decide(view);
        worker.sample(snapshot, view);
        let (lane, rule, client_ip) = (decision.lane.name(), decision.rule, view.client_ip);
        tracing::debug!(route = &*route.id, lane, rule, %client_ip, "decided");
        decision
    }

    /// Picks an instance by the lane, if it is a service that answers.
    fn pick(
        &self,
        route: &Route,
        target: &'s Target,
        decision: &Decision<'_>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Result<Option<Chosen<'s>>, Failure<'s>> {
        let Upstream::Service(service) = &target.upstream else { return Ok(None) };
        if route.filters.redirect.is_some() {
            return Ok(None);
        }
        if let Some(log) = log {
            log.service = Some(service.as_str());
        }
        let first = self.worker.choose(self.snapshot, service.as_str(), decision, self.view.client_ip, &[]);
        if first.is_none() && route.filters.breaker.is_some() {
            // A failure like any other: the fallback may answer.
            return Ok(None);
        }
        first.map(Some).ok_or(Failure::NoInstance { service: service.name(), hidden: route.use404 })
    }

    /// Who the head that is sent is addressed to.
    fn authority<'a>(&self, target: &'a Target, chosen: Option<Chosen<'a>>) -> &'a str
    where
        'r: 'a,
    {
        match &target.upstream {
            Upstream::Service(service) => chosen.map_or(service.name(), |chosen| chosen.endpoint.authority()),
            Upstream::Fixed { authority, .. } => authority,
            Upstream::Directory(_) | Upstream::Forward(_) | Upstream::Nowhere => {
                self.view.asked.host().unwrap_or_default()
            }
        }
    }

    /// The lane that the browser believes to be on.
    fn told(&self) -> Option<Box<str>> {
        let name = self.snapshot.rules.cookie()?;
        let value = find_cookie(self.view.headers(&COOKIE), name)?;
        std::str::from_utf8(value).ok().map(Box::from)
    }
}
