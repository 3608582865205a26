//! What the edge would make of a request that is only asked about.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use http::Method;

use super::{
    check::{self, Checked},
    forwarded::{Asked, Forwarded},
    steps::rewritten,
};
use crate::{
    proxy::{
        Limits,
        http1::{ParseError, read_request, room},
        response::error::Failure,
    },
    route::{Resolved, Route, Spelling},
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
            failure => failure.message(),
        };
        Self { status: failure.status().as_u16(), message }
    }
}

/// A request that gets as far as the routes.
#[derive(Debug)]
pub(crate) struct Admitted<'h> {
    checked: Checked<'h>,
    asked: Rc<Asked>,
    peer: IpAddr,
    /// What it gets whatever the routes are, if it does.
    pub(crate) answer: Option<Refused>,
}

impl Admitted<'_> {
    /// How its path is spelled.
    pub(crate) fn spelling(&self) -> Spelling {
        self.checked.spelling
    }

    /// The host that is asked, without port.
    pub(crate) fn host(&self) -> Option<&str> {
        self.asked.name()
    }

    /// Why a route that matches does not take it, if it does not.
    pub(crate) fn refused_by(&self, route: &Route, method: &Method, snapshot: &Snapshot) -> Option<Refused> {
        check::taken(snapshot, route, method, &self.checked, self.peer).err().map(Refused::from)
    }
}

/// Whether a request with this head gets as far as the routes.
///
/// # Errors
/// Why it does not.
pub(crate) fn admits<'h>(head: &'h [u8], peer: IpAddr, limits: &Limits) -> Result<Admitted<'h>, Refused> {
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
    let forwarded = Forwarded::new(SocketAddr::new(peer, 0), Scheme::Http);
    let (checked, asked) = check::admitted(&request, limits, &forwarded)?;
    let answer = check::answer(&request, &checked).map(Refused::from);
    Ok(Admitted { checked, asked, peer: forwarded.peer(), answer })
}

/// The path that an instance gets to see, if it gets to see one.
pub(crate) fn sent<'p>(resolved: &Resolved<'_>, route: &Route, path: &'p str) -> Result<Cow<'p, str>, Refused> {
    rewritten(resolved, route, path).map_err(Refused::from)
}

/// No route matches.
pub(crate) fn no_route(snapshot: &Snapshot) -> Refused {
    Failure::no_route(snapshot).into()
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
            let admitted = admits(head.as_bytes(), IpAddr::from([127, 0, 0, 1]), &limits);
            admitted.map(|admitted| admitted.answer.map(|answer| answer.status)).map_err(|refused| refused.status)
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
