//! What the edge would make of a request that is only asked about.

use std::net::SocketAddr;

use gray_core::lane::Lane;

pub(crate) use super::view::{Given, RequestView};
use super::{check, edited::Edited, forwarded::Forwarded};
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

/// What becomes of a request on this lane: the route that takes it, and what the gateway answers itself, if it does; rates and
/// what is in flight aside. `answer` is what it gets whatever the routes are.
///
/// # Errors
/// Why the gateway refuses it whatever the rules.
pub(crate) fn outcome<'s>(
    view: &RequestView<'_, '_>,
    answer: Option<Refused>,
    snapshot: &'s Snapshot,
    lane: &Lane,
) -> Result<(Option<&'s Route>, Option<Refused>), Refused> {
    let routed = check::routed(view, snapshot);
    let cross_origin = check::cross_origin(view, snapshot, routed.is_ok()).1.err().map(Refused::from);
    let (resolved, route) = match routed {
        Ok(routed) => routed,
        Err(Failure::NoRoute) if cross_origin.is_some() => return Ok((None, answer.or(cross_origin))),
        Err(failure @ (Failure::BadRequest(_) | Failure::StepLimit)) if answer.is_none() => return Err(failure.into()),
        Err(failure) => return Ok((None, Some(answer.unwrap_or_else(|| failure.into())))),
    };
    let own = answer
        .or(cross_origin)
        .or_else(|| passed_on(view, snapshot, (&resolved, route), lane).err().map(Refused::from))
        .or_else(|| answered(route, lane));
    Ok((Some(route), own))
}

/// The answer that a route gives itself.
fn answered(route: &Route, lane: &Lane) -> Option<Refused> {
    if let Some(redirect) = &route.filters.redirect {
        return Some(Refused { status: redirect.status.as_u16(), message: "the route redirects it".into() });
    }
    let is_nowhere = route.target(lane.name()).upstream == Upstream::Nowhere;
    is_nowhere.then(|| Refused { status: route.filters.status(200).0, message: "the route answers it itself".into() })
}

/// Whether a request is passed on by a route that matches, in the order of the proxy's own steps.
fn passed_on<'s>(
    view: &RequestView<'_, '_>,
    snapshot: &'s Snapshot,
    (resolved, route): (&Resolved<'s>, &'s Route),
    lane: &Lane,
) -> Result<(), Failure<'s>> {
    check::taken(view, snapshot, route)?;
    check::user(view, route)?;
    if route.filters.redirect.is_none()
        && let Upstream::Service(service) = &route.target(lane.name()).upstream
    {
        let known = snapshot.services.get(service);
        let found = known.is_some_and(|known| known.has_instance(service, lane, &snapshot.outliers));
        if !found {
            return Err(Failure::NoInstance { service, hidden: route.use404 });
        }
    }
    Edited::of(view, resolved, route).map(drop)
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
