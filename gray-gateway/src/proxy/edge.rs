//! What the edge would make of a request that is only asked about.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use super::{
    Limits, check,
    error::Failure,
    forwarded::Forwarded,
    http1::{ParseError, read_request, room},
    request::rewritten,
};
use crate::{
    route::{Resolved, Route},
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
        Self { status: failure.status().as_u16(), message: failure.message() }
    }
}

/// Whether a request with this head gets as far as the routes.
pub(crate) fn admits(head: &[u8], peer: IpAddr, limits: &Limits) -> Result<(), Refused> {
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
    if request.target.len() > limits.max_target_bytes {
        return Err(Failure::UriTooLong.into());
    }
    if head.len() > limits.max_head_bytes {
        return Err(Failure::HeadTooLarge.into());
    }
    let checked = check::request(&request).map_err(Failure::BadRequest)?;
    Forwarded::new(SocketAddr::new(peer, 0), Scheme::Http).asked(checked.host).map_err(Failure::BadRequest)?;
    Ok(())
}

/// The path that an instance gets to see, if it gets to see one.
pub(crate) fn sent<'p>(resolved: &Resolved<'_>, route: &Route, path: &'p str) -> Result<Cow<'p, str>, Refused> {
    rewritten(resolved, route, path).map_err(Refused::from)
}

/// No route matches.
pub(crate) fn no_route(snapshot: &Snapshot) -> Refused {
    if snapshot.lacks_routes() { Failure::NotReady.into() } else { Failure::NoRoute.into() }
}

/// The route wants a token.
pub(crate) fn unauthenticated() -> Refused {
    Failure::Unauthenticated.into()
}

/// No instance of the route's service may answer.
pub(crate) fn no_instance(service: &str, route: &Route) -> Refused {
    Failure::NoInstance { service, hidden: route.use404 }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_edge_says() {
        let limits = Limits::default();
        let judge = |line: &str, fields: &str| {
            let head = format!("{line} HTTP/1.1\r\n{fields}\r\n");
            admits(head.as_bytes(), IpAddr::from([127, 0, 0, 1]), &limits).map_err(|refused| refused.status)
        };
        assert_eq!(judge("GET /a?b=/../c", "host: a\r\n"), Ok(()));
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
