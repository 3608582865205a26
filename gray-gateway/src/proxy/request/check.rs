//! What is refused, or answered here, by the head alone: before routes, rules or backends see it, a request that is too long
//! or can be read in two ways; then what the route does not take.

use std::rc::Rc;

use gray_rules::{Facts, TokenError};
use http::Method;

use super::{
    envelope::Envelope,
    forwarded::{Asked, Forwarded},
    last_hop::{self, MAX_FORWARDS},
    view::RequestView,
};
use crate::{
    hops::{self, Hops},
    name::Name,
    proxy::{
        Limits,
        http1::{Decoder, Head, RequestHead, Target, decimal, is_host, read_target},
        response::{cross_origin::CrossOrigin, error::Failure, grpc},
    },
    route::{self, ResolveError, Resolved, Route, Spelling, cors::Verdict},
    snapshot::Snapshot,
};

/// What the checks found on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked<'b> {
    /// How it is framed.
    pub(super) envelope: Envelope,
    /// The path, as sent.
    pub(super) path: &'b str,
    /// How the path is spelled.
    pub(super) spelling: Spelling,
    /// The query, as sent, without `?`.
    pub(super) query: Option<&'b str>,
    /// The host that is asked; `None` with HTTP/1.0 only.
    pub(super) host: Option<&'b [u8]>,
    /// By place, a bit for each of the first 64 fields whose name is not [`Name::Other`].
    pub(super) known: u64,
    /// Whether `Connection` names fields that end here.
    pub(super) names_fields: bool,
    /// Whether the client wants a websocket.
    pub(super) upgrade: bool,
    /// Whether it takes trailers.
    pub(super) trailers: bool,
    /// What it says of the gateways that it has passed.
    pub(super) hops: Option<&'b [u8]>,
    /// Whether it expects something other than `100 Continue`, which is not known here.
    pub(super) expects_more: bool,
    /// Whether the host is that of the target (RFC 9112, 3.2.2), not that of the line `Host`.
    pub(super) is_absolute: bool,
    /// How often a TRACE or OPTIONS may be passed on, if it says so.
    pub(super) max_forwards: Option<u64>,
}

/// Checks the lengths of a request, and what it means.
///
/// # Errors
/// Nothing behind such a request on its connection can be trusted.
pub(super) fn admitted<'b>(
    request: &RequestHead<'_, 'b>,
    limits: &Limits,
    forwarded: &Forwarded,
) -> Result<(Checked<'b>, Rc<Asked>), Failure<'static>> {
    if request.target.len() > limits.max_target_bytes {
        return Err(Failure::UriTooLong);
    }
    if request.head.bytes.len() > limits.max_head_bytes {
        return Err(Failure::HeadTooLarge);
    }
    let checked = self::request(request).map_err(Failure::BadRequest)?;
    let asked = forwarded.asked(checked.host).map_err(Failure::BadRequest)?;
    Ok((checked, asked))
}

/// What a request gets from us whatever the routes are, if it does.
pub(super) fn answer(request: &RequestHead<'_, '_>, checked: &Checked<'_>) -> Option<Failure<'static>> {
    if checked.expects_more {
        return Some(Failure::Expectation);
    }
    (checked.max_forwards == Some(0)).then(|| {
        let is_options = request.method == Method::OPTIONS;
        if is_options { Failure::Options } else { Failure::Trace(last_hop::seen(request)) }
    })
}

/// The route that takes a request, in every reading of its path.
///
/// # Errors
/// No route matches, or it is not known yet whether one would; the path means different things to different servers.
pub(super) fn routed<'s>(
    view: &RequestView<'_, '_>,
    snapshot: &'s Snapshot,
) -> Result<(Resolved<'s>, &'s Route), Failure<'static>> {
    let resolved = snapshot.routes.resolve(view, view.checked.spelling).map_err(|error| match error {
        ResolveError::Ambiguous(reason) => Failure::BadRequest(reason),
        ResolveError::StepLimit(_) => Failure::StepLimit,
    })?;
    match resolved.route {
        Some(route) => Ok((resolved, route)),
        None if snapshot.lacks_routes() => Err(Failure::NotReady),
        None => Err(Failure::NoRoute),
    }
}

/// What the answer of a request says to pages of other origins, if its path has settings for that; and whether it goes on.
/// `is_routed`: a route takes it.
pub(super) fn cross_origin(
    view: &RequestView<'_, '_>,
    snapshot: &Snapshot,
    is_routed: bool,
) -> (Option<CrossOrigin>, Result<(), Failure<'static>>) {
    let table = snapshot.routes.cors();
    if table.is_empty() {
        return (None, Ok(()));
    }
    let found = if is_routed { table.find(view.path()) } else { table.find_unrouted(view.path()) };
    let cors = match found {
        Ok(Some(cors)) => cors,
        Ok(None) => return (None, Ok(())),
        Err(_) => return (None, Err(Failure::StepLimit)),
    };
    let (scheme, authority) = view.origin();
    let (said, judged) = match cors.judge(view, scheme, &authority) {
        Verdict::SameOrigin => (CrossOrigin::SAME, Ok(())),
        Verdict::Allowed(fields) => (CrossOrigin::other(fields), Ok(())),
        Verdict::Preflight(fields) => (CrossOrigin::other(fields), Err(Failure::Preflight)),
        Verdict::Refused => (CrossOrigin::other(Vec::new()), Err(Failure::CrossOrigin)),
    };
    (Some(said), judged)
}

/// How many gateways a request has passed that its route takes, as far as the head tells.
///
/// # Errors
/// Why the route does not take it.
pub(super) fn taken<'s>(
    view: &RequestView<'_, '_>,
    snapshot: &Snapshot,
    route: &'s Route,
) -> Result<usize, Failure<'s>> {
    if snapshot.routes.refuses(route, view.method()) {
        return Err(Failure::TraceRefused);
    }
    let passed = snapshot.hops.passed(view.checked.hops, view.trusted.is_some());
    if Hops::is_over(passed) {
        return Err(Failure::Loop);
    }
    if let Some(limit) = &route.filters.max_field {
        let fields = || view.request.head.fields.iter().map(|field| (field.name, field.value));
        if let Some(said) = limit.excess(fields) {
            return Err(Failure::FieldTooLarge { name: &limit.error_name, said });
        }
    }
    match (route.filters.max_body, view.checked.envelope.body) {
        (Some(max), Decoder::Length(length)) if length > max => Err(Failure::BodyTooLarge),
        _ => Ok(passed),
    }
}

/// Whose request it is by its token, if the route wants one.
///
/// # Errors
/// It has no good one, or that cannot be known yet.
pub(super) fn user(view: &RequestView<'_, '_>, route: &Route) -> Result<Option<String>, Failure<'static>> {
    let Some(token) = &route.filters.token else { return Ok(None) };
    token.user(view).map(Some).map_err(|error| match error {
        TokenError::Invalid => Failure::Unauthenticated,
        TokenError::KeysMissing => Failure::KeysMissing,
    })
}

/// Checks request line, `Host`, framing and upgrades.
fn request<'b>(request: &RequestHead<'_, 'b>) -> Result<Checked<'b>, &'static str> {
    if request.method == Method::CONNECT {
        return Err("CONNECT is not served");
    }
    let head = &request.head;
    let (mut host, mut has_length, mut coding, mut wants_upgrade) = (None, false, None, false);
    let (mut keep_alive, mut names_fields, mut trailers) = (head.is_11, false, false);
    let (mut expects_continue, mut expects_more, mut is_grpc, mut hops) = (false, false, false, None);
    let mut known = 0;
    for (place, field) in head.fields.iter().enumerate() {
        let name = Name::of(field.name);
        if name != Name::Other && place < 64 {
            known |= 1 << place;
        }
        match name {
            Name::Host if host.is_some() => return Err("there is more than one Host"),
            Name::Host => host = Some(field.value),
            Name::ContentLength => has_length = true,
            Name::TransferEncoding if coding.is_some() => return Err(CODING),
            Name::TransferEncoding => coding = Some(field.value),
            Name::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => keep_alive = true,
            Name::Connection => names_fields = true,
            Name::Upgrade => wants_upgrade = true,
            Name::Te => trailers = true,
            Name::Ours if field.name.eq_ignore_ascii_case(hops::HEADER) => hops = Some(field.value),
            Name::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => expects_continue = head.is_11,
            Name::Expect => expects_more = true,
            Name::Other if field.name.eq_ignore_ascii_case("content-type") => is_grpc = grpc::is_grpc(field.value),
            _ => {}
        }
    }
    if head.is_11 && host.is_none() {
        return Err("Host is missing");
    }
    if names_fields && head.mentions("connection", "close") {
        keep_alive = false;
    } else if names_fields && head.mentions("connection", "keep-alive") {
        keep_alive = true;
    }
    let Target { path, query, authority } = read_target(&request.method, request.target)?;
    if authority.is_some() && !host.is_none_or(is_host) {
        return Err("invalid Host");
    }
    let (host, is_absolute) = (authority.or(host), authority.is_some());
    let spelling = route::check_path(path)?;
    let body = framing(head, coding, has_length)?;
    // Only websockets are joined; a wish for another protocol is not passed on, and the request is served as if it
    // had none.
    let upgrade = wants_upgrade
        && head.is_11
        && request.method == Method::GET
        && head.mentions("connection", "upgrade")
        && head.mentions("upgrade", "websocket");
    if upgrade && !body.is_done() {
        // Whose bytes would they be?
        return Err("an upgrade must not have a body");
    }
    let trailers = trailers && head.mentions("te", "trailers");
    let expects_continue = expects_continue && !body.is_done();
    let is_head = request.method == Method::HEAD;
    let (head_len, is_11) = (request.end, head.is_11);
    let envelope = Envelope { head_len, body, is_11, keep_alive, is_head, is_grpc, expects_continue };
    Ok(Checked {
        envelope,
        path,
        spelling,
        query,
        host,
        known,
        names_fields,
        upgrade,
        trailers,
        hops,
        expects_more,
        is_absolute,
        max_forwards: max_forwards(request)?,
    })
}

/// How the body is framed: by its one `Transfer-Encoding`, by its length, or not at all.
fn framing(head: &Head<'_, '_>, coding: Option<&[u8]>, has_length: bool) -> Result<Decoder, &'static str> {
    match coding {
        Some(_) if has_length => Err("there are both Content-Length and Transfer-Encoding"),
        Some(_) if !head.is_11 => Err("HTTP/1.0 has no Transfer-Encoding"),
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Decoder::CHUNKED),
        Some(_) => Err(CODING),
        None if has_length => Ok(Decoder::Length(head.content_length()?.unwrap_or(0))),
        None => Ok(Decoder::EMPTY),
    }
}

/// RFC 9110, 7.6.2: for TRACE and OPTIONS alone.
fn max_forwards(request: &RequestHead<'_, '_>) -> Result<Option<u64>, &'static str> {
    if request.method != Method::TRACE && request.method != Method::OPTIONS {
        return Ok(None);
    }
    let mut values = request.head.fields.all(MAX_FORWARDS);
    let Some(value) = values.next() else { return Ok(None) };
    let number = decimal(value).filter(|_| values.next().is_none());
    number.map(Some).ok_or("Max-Forwards is not a number")
}

const CODING: &str = "the only Transfer-Encoding served is chunked";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http1::{read_request, room};

    /// The outcome, as far as it can be kept.
    fn check(text: &str) -> Result<String, &'static str> {
        let mut room = room();
        let head = read_request(text.as_bytes(), &mut room, 100).expect("HTTP");
        request(&head).map(|checked| {
            let Checked { path, query, upgrade, trailers, envelope, .. } = checked;
            let Envelope { body, keep_alive, expects_continue, .. } = envelope;
            format!("{path} {query:?} {body:?} {keep_alive} {upgrade} {trailers} {expects_continue}")
        })
    }

    #[test]
    fn one_meaning() {
        for (text, expect) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/ None Length(0) true false false false"),
            ("GET /?a=/?b HTTP/1.0\r\n\r\n", "/ Some(\"a=/?b\") Length(0) false false false false"),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/ None Length(0) true false false false"),
            ("GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n", "/ None Length(0) true false false false"),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", "/ None Length(0) false false false false"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "* None Length(0) true false false false"),
            ("GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", "/x Some(\"y\") Length(0) true false false false"),
            ("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", "/ None Length(0) true false false false"),
            ("GET http://b:80/x HTTP/1.1\r\nHost: a\r\n\r\n", "/x None Length(0) true false false false"),
            ("GET http://b/x HTTP/1.0\r\n\r\n", "/x None Length(0) false false false false"),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "/ None Length(0) true false false false"),
            ("GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", "/ Some(\"y\") Length(0) true false false false"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTE: gzip, trailers;q=1\r\n\r\n",
                "/ None Chunked(Size) true false true false",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n",
                "/ None Length(3) true false false true",
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "/ None Length(0) true false false false"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
                "/ None Length(0) true true false false",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                "/ None Length(0) true false false false",
            ),
        ] {
            assert_eq!(check(text).as_deref(), Ok(expect), "{text:?}");
        }
    }

    #[test]
    fn or_none() {
        for (line, fields) in [
            ("CONNECT a:80", "Host: a:80\r\n"),
            ("GET *", "Host: a\r\n"),
            ("GET a:80", "Host: a:80\r\n"),
            ("GET x", "Host: a\r\n"),
            ("GET /", ""),
            ("GET /", "Host: a\r\nHost: a\r\n"),
            ("GET http://a:80@b/x", "Host: a:80\r\n"),
            ("GET ftp://a:80/x", "Host: a:80\r\n"),
            ("GET http:///x", "Host: a\r\n"),
            ("GET http://b/x", ""),
            ("GET http://b/x", "Host: a/b\r\n"),
            ("GET http://b/x", "Host:\r\n"),
            ("OPTIONS /", "Host: a\r\nMax-Forwards: x\r\n"),
            ("OPTIONS /", "Host: a\r\nMax-Forwards: \r\n"),
            ("TRACE /", "Host: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n"),
            ("GET /x#y", "Host: a\r\n"),
            ("GET /../x", "Host: a\r\n"),
            ("POST /", "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
            ("POST /", "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"),
            ("POST /", "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ("POST /", "Host: a\r\nTransfer-Encoding:\r\n"),
            ("POST /", "Host: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n"),
            ("GET /", "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"),
        ] {
            let text = format!("{line} HTTP/1.1\r\n{fields}\r\n");
            assert!(check(&text).is_err(), "{text:?}");
        }
        assert!(check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn the_host_of_the_target_counts() {
        let hosts = |text: &str| {
            let mut room = room();
            let head = read_request(text.as_bytes(), &mut room, 100).expect("HTTP");
            let checked = request(&head).expect("one meaning");
            (String::from_utf8_lossy(checked.host.expect("a host")).into_owned(), checked.is_absolute)
        };
        for (text, host, is_absolute) in [
            ("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "a", false),
            ("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "a", true),
            ("GET http://b:1?y HTTP/1.1\r\nHost: a\r\n\r\n", "b:1", true),
            ("GET http://b HTTP/1.0\r\n\r\n", "b", true),
        ] {
            assert_eq!(hosts(text), (host.to_owned(), is_absolute), "{text:?}");
        }
    }

    #[test]
    fn hops_are_counted_for_two_methods() {
        for (method, value, expect) in
            [("OPTIONS", "0", Some(0)), ("TRACE", "10", Some(10)), ("GET", "0", None), ("GET", "x", None)]
        {
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
            let mut room = room();
            let head = read_request(text.as_bytes(), &mut room, 100).expect("HTTP");
            assert_eq!(request(&head).expect("one meaning").max_forwards, expect, "{text:?}");
        }
    }
}
