//! What the edge would make of a request that is only asked about.

use std::net::SocketAddr;

use gray_core::{ServiceKey, lane::Lane};
use gray_rules::Facts as _;

pub(crate) use super::view::{Given, RequestView};
use super::{
    check,
    edited::Edited,
    forward::{self, MAX_FORWARDS},
    forwarded::Forwarded,
};
use crate::{
    proxy::{
        Limits,
        http1::{ParseError, read_request, room},
        response::error::Failure,
    },
    route::{Resolved, Route, Upstream},
    scheme::Scheme,
    snapshot::Snapshot,
};

/// Why the gateway answers a request itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Status of the answer.
    pub(crate) status: u16,
    /// What the answer says.
    pub(crate) message: String,
}

impl From<Failure<'_>> for Refused {
    fn from(failure: Failure<'_>) -> Self {
        let message = match &failure {
            // The answer itself has no message: nothing is wrong.
            Failure::Options | Failure::Trace(_) => "Max-Forwards is 0: it is answered here".into(),
            Failure::Preflight => "a preflight of a page of another origin: it is answered here".into(),
            failure => failure.message(),
        };
        Self { status: failure.status().as_u16(), message }
    }
}

/// Looks at the request with this head as the gateway would see it, and at what it gets whatever the routes are, if it does.
///
/// # Errors
/// Why it does not get as far as the routes.
pub(crate) fn look<T>(
    head: &[u8],
    given: &Given<'_>,
    limits: &Limits,
    snapshot: &Snapshot,
    see: impl FnOnce(&RequestView<'_, '_>, Option<Refused>) -> T,
) -> Result<T, Refused> {
    let mut room = room();
    let request = match read_request(head, &mut room, limits.max_headers) {
        Ok(request) => request,
        Err(ParseError::TooMany) => return Err(Failure::HeadTooLarge.into()),
        Err(ParseError::Malformed(reason)) => return Err(Failure::BadRequest(reason).into()),
        Err(ParseError::Partial | ParseError::Version) => {
            return Err(Failure::BadRequest("it is not one HTTP/1 request").into());
        }
    };
    // Something in it ended the head early: it would be two requests.
    if request.end != head.len() {
        return Err(Failure::BadRequest("it is not one HTTP/1 request").into());
    }
    let forwarded = Forwarded::new(SocketAddr::new(given.client_ip, 0), Scheme::Http);
    let (checked, asked) = check::admitted(&request, limits, &forwarded)?;
    let answer = check::answer(&request, &checked).map(Refused::from);
    let view = RequestView::new(&request, (&checked, &*asked), &forwarded, snapshot, given.random).given(given);
    Ok(see(&view, answer))
}

/// What becomes of a request.
pub(crate) struct Outcome<'s> {
    /// The route that takes it.
    pub(crate) route: Option<&'s Route>,
    /// What the gateway answers itself, if it does.
    pub(crate) own: Option<Refused>,
    /// The path under which it came to this, if a route has forwarded it, or its fallback is what answers.
    pub(crate) forwarded: Option<String>,
}

impl<'s> Outcome<'s> {
    fn new(route: Option<&'s Route>, own: Option<Refused>) -> Self {
        Self { route, own, forwarded: None }
    }
}

/// What becomes of a request on this lane: the route that takes it, and what the gateway answers itself, if it does; rates,
/// breakers and what is in flight aside. `answer` is what it gets whatever the routes are.
///
/// # Errors
/// Why the gateway refuses it whatever the rules.
pub(crate) fn outcome<'s>(
    view: &RequestView<'_, '_>,
    answer: Option<Refused>,
    snapshot: &'s Snapshot,
    lane: &Lane,
    limits: &Limits,
) -> Result<Outcome<'s>, Refused> {
    let routed = check::routed(view, snapshot);
    let cross_origin = check::cross_origin(view, snapshot, routed.is_ok()).1.err().map(Refused::from);
    let (resolved, route) = match routed {
        Ok(routed) => routed,
        Err(Failure::NoRoute) if cross_origin.is_some() => return Ok(Outcome::new(None, answer.or(cross_origin))),
        Err(failure @ (Failure::BadRequest(_) | Failure::StepLimit)) if answer.is_none() => return Err(failure.into()),
        Err(failure) => return Ok(Outcome::new(None, Some(answer.unwrap_or_else(|| failure.into())))),
    };
    match answer.or(cross_origin) {
        Some(own) => Ok(Outcome::new(Some(route), Some(own))),
        None => Asked { snapshot, lane, limits }.taken(view, (&resolved, route), 0),
    }
}

/// What a request is asked about with.
#[derive(Clone, Copy)]
struct Asked<'a, 's> {
    snapshot: &'s Snapshot,
    lane: &'a Lane,
    limits: &'a Limits,
}

impl<'s> Asked<'_, 's> {
    /// What becomes of a request that a route takes, in the order of the proxy's own steps.
    fn taken(
        self,
        view: &RequestView<'_, '_>,
        (resolved, route): (&Resolved<'s>, &'s Route),
        forwards: usize,
    ) -> Result<Outcome<'s>, Refused> {
        let answers = |failure: Failure<'s>| Ok(Outcome::new(Some(route), Some(failure.into())));
        if let Err(failure) = check::taken(view, self.snapshot, route).and_then(|_| check::user(view, route)) {
            return answers(failure);
        }
        let upstream = &route.target(self.lane.name()).upstream;
        if route.filters.redirect.is_none()
            && let Upstream::Forward(path) = upstream
        {
            let target = view.query().map_or_else(|| path.to_string(), |query| format!("{path}?{query}"));
            return self.forwarded(view, (route, &target), forwards);
        }
        if route.filters.redirect.is_none()
            && let Upstream::Service(service) = upstream
            && !self.has_instance(service)
        {
            let failure = Failure::NoInstance { service: service.name(), hidden: route.use404 };
            let breaker = route.filters.breaker.as_ref();
            let Some(fallback) = breaker.and_then(|breaker| breaker.fallback.as_ref()) else {
                let resumes = breaker.is_some_and(|breaker| breaker.resumes);
                let empty =
                    || Refused { status: 200, message: "no instance: its circuit breaker answers with nothing".into() };
                return if resumes { Ok(Outcome::new(Some(route), Some(empty()))) } else { answers(failure) };
            };
            return match fallback.target(view.query(), &resolved.variables) {
                Ok(target) => self.forwarded(view, (route, &target), forwards),
                Err(error) => answers(Failure::of_field(error, route)),
            };
        }
        if let Err(failure) = Edited::of(view, resolved, route) {
            return answers(failure);
        }
        Ok(Outcome::new(Some(route), answered(route, self.lane)))
    }

    fn has_instance(self, service: &ServiceKey) -> bool {
        let known = self.snapshot.services.get(service);
        known.is_some_and(|known| known.has_instance(service.name(), self.lane, &self.snapshot.outliers))
    }

    /// What becomes of a request of this route under another target of this gateway.
    fn forwarded(
        self,
        view: &RequestView<'_, '_>,
        (route, target): (&'s Route, &str),
        forwards: usize,
    ) -> Result<Outcome<'s>, Refused> {
        let path = target.split('?').next().unwrap_or_default();
        if let Some(answer) = self.snapshot.routes.fallback(path).map_err(|_| Failure::StepLimit)? {
            let message = format!("gray.spring.fallbacks has the answer of {path}");
            let own = Refused { status: answer.status.as_u16(), message };
            return Ok(Outcome { forwarded: Some(path.to_owned()), ..Outcome::new(Some(route), Some(own)) });
        }
        if forwards >= MAX_FORWARDS {
            return Ok(Outcome::new(Some(route), Some(Failure::Loop.into())));
        }
        let head = forward::head(view, target);
        let mut room = room();
        let request = read_request(&head, &mut room, self.limits.max_headers);
        let request = request.map_err(|_| Failure::BadRequest("it cannot be passed on under another path"))?;
        let (checked, asked) = check::admitted(&request, self.limits, view.forwarded)?;
        let given =
            Given { client_ip: view.client_ip, city: view.city(), now: Some(view.now()), random: view.random() };
        let next = RequestView::new(&request, (&checked, &*asked), view.forwarded, self.snapshot, given.random);
        let next = next.given(&given);
        let outcome = match check::routed(&next, self.snapshot) {
            Ok((resolved, other)) => self.taken(&next, (&resolved, other), forwards + 1)?,
            Err(failure) => Outcome::new(Some(route), Some(failure.into())),
        };
        Ok(Outcome { forwarded: outcome.forwarded.or_else(|| Some(path.to_owned())), ..outcome })
    }
}

/// The answer that a route gives itself.
fn answered(route: &Route, lane: &Lane) -> Option<Refused> {
    if let Some(redirect) = &route.filters.redirect {
        return Some(Refused { status: redirect.status.as_u16(), message: "the route redirects it".into() });
    }
    let is_nowhere = route.target(lane.name()).upstream == Upstream::Nowhere;
    is_nowhere.then(|| Refused { status: route.filters.status(200).0, message: "the route answers it itself".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_edge_says() {
        let limits = Limits::default();
        let judge = |line: &str, fields: &str| {
            let head = format!("{line} HTTP/1.1\r\n{fields}\r\n");
            let given = Given { client_ip: [127, 0, 0, 1].into(), city: None, now: None, random: 0 };
            let seen = look(head.as_bytes(), &given, &limits, &Snapshot::empty(), |_, answer| answer);
            seen.map(|answer| answer.map(|answer| answer.status)).map_err(|refused| refused.status)
        };
        assert_eq!(judge("GET /a?b=/../c", "host: a\r\n"), Ok(None));
        for (line, field, status) in [
            ("POST /", "expect: tea", Some(417)),
            ("OPTIONS *", "max-forwards: 0", Some(200)),
            ("TRACE /", "max-forwards: 0", Some(200)),
            ("TRACE /", "max-forwards: 1", None),
        ] {
            assert_eq!(judge(line, &format!("host: a\r\n{field}\r\n")), Ok(status), "{line} {field}");
        }
        let long = format!("GET /{}", "x".repeat(limits.max_target_bytes));
        let wide = format!("host: a\r\nx: {}\r\n", "x".repeat(limits.max_head_bytes));
        for (line, fields, status) in [
            ("GET /a/../b", "host: a\r\n", 400),
            ("GET /a/%2e%2e/b", "host: a\r\n", 400),
            ("GET /%zz", "host: a\r\n", 400),
            ("GET /a b", "host: a\r\n", 400),
            ("CONNECT a:80", "host: a:80\r\n", 400),
            ("GET /", "", 400),
            ("GET /", "host: a\r\nhost: b\r\n", 400),
            ("GET /", "host: a@b\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b", "host: a\r\n", 400),
            ("GET /", "host: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n", 400),
            (&long, "host: a\r\n", 414),
            ("GET /", &wide, 431),
        ] {
            assert_eq!(judge(line, fields), Err(status), "{line:.40} {fields:.40}");
        }
    }
}
