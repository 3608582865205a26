//! Answers of our own: a small JSON body in the shape of the services' own answers. What it says is for callers;
//! addresses and causes go to the log.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{content::Content, refusal::Refusal, transfer::Broken};
use crate::{
    egress::Denial,
    proxy::{request::last_hop, upstream::fault::Fault},
    rates::Rated,
    route::StepLimit,
};

/// Why a request is answered by us and not by an instance.
#[derive(Debug)]
pub(in crate::proxy) enum Failure<'r> {
    /// The request is ambiguous or unsafe; the text says in which way.
    BadRequest(&'static str),
    /// What a regular expression of the routes makes of it would take too long to find out.
    StepLimit,
    /// It expects what is not served.
    Expectation,
    /// Nothing is wrong: an OPTIONS that must not be passed on any further.
    Options,
    /// The same with TRACE: what was received.
    Trace(Bytes),
    /// Nothing is wrong: what a browser asks before a page of another origin may send its request.
    Preflight,
    /// A page of another origin may not do this.
    CrossOrigin,
    /// The target is too long.
    UriTooLong,
    /// The head has too many lines or bytes.
    HeadTooLarge,
    /// A field is longer than the route takes (`RequestHeaderSize`).
    FieldTooLarge {
        /// The field of the answer that says so.
        name: &'r HeaderName,
        /// What it says.
        said: String,
    },
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body is longer than the route takes.
    BodyTooLarge,
    /// No token, or none that is good.
    Unauthenticated,
    /// The keys have not been fetched yet that would tell whether the token is good.
    KeysMissing,
    /// More requests than the route takes from this client.
    TooMany(Rated),
    /// No route matches.
    NoRoute,
    /// The route's directory has no such file, or none that is served.
    NoFile,
    /// TRACE, which no route asks for by name.
    TraceRefused,
    /// It has passed too many gateways.
    Loop,
    /// It would come back to this egress.
    Itself,
    /// An egress does not send requests there.
    Denied(Denial),
    /// An egress is asked for a tunnel.
    ConnectRefused,
    /// A directory answers GET and HEAD only.
    NotAllowed,
    /// No configuration has arrived yet, so it is not known whether a route would match.
    NotReady,
    /// Too many requests are in flight.
    Overloaded {
        /// The route.
        route: &'r str,
    },
    /// There is no room for a connection to an instance.
    OutOfDescriptors,
    /// The client did not go on with its body.
    UploadTimeout,
    /// What we would have to send cannot be sent; a matter of the configuration.
    Internal {
        /// The route.
        route: &'r str,
    },
    /// The route's circuit breaker is open.
    CircuitOpen {
        /// The route.
        route: &'r str,
    },
    /// The route has failed, and what its fallback answers is not known here.
    NoFallback {
        /// The route.
        route: &'r str,
    },
    /// No instance may answer.
    NoInstance {
        /// Of which service.
        service: &'r str,
        /// Whether callers are to be told 404, not 503 (Spring's `use404`).
        hidden: bool,
    },
    /// The instance that was asked last has not answered as it should.
    Instance {
        /// Name of the service or authority as configured.
        service: &'r str,
        /// What it is to be blamed for.
        fault: Fault,
        /// What is wrong with its answer, if that cannot be passed on.
        reason: &'static str,
    },
}

impl Failure<'_> {
    /// What is wrong with a request's body.
    pub(in crate::proxy) fn of_body(error: Broken) -> Self {
        match error {
            Broken::TooLong => Self::BodyTooLarge,
            Broken::Framing(error) => Self::BadRequest(error.0),
            Broken::Source(_) | Broken::Sink(_) => Self::BadRequest("the body breaks off"),
        }
    }

    /// Why an egress does not send it.
    pub(in crate::proxy) fn denied(why: Denial) -> Self {
        if why == Denial::Itself { Self::Itself } else { Self::Denied(why) }
    }

    pub(in crate::proxy) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::StepLimit => StatusCode::BAD_REQUEST,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Options | Self::Trace(_) | Self::Preflight => StatusCode::OK,
            Self::CrossOrigin | Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge | Self::FieldTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NoRoute | Self::NoFile | Self::NoInstance { hidden: true, .. } => StatusCode::NOT_FOUND,
            Self::NotAllowed | Self::TraceRefused | Self::ConnectRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::Loop | Self::Itself => StatusCode::LOOP_DETECTED,
            Self::NotReady | Self::KeysMissing | Self::OutOfDescriptors => StatusCode::SERVICE_UNAVAILABLE,
            Self::CircuitOpen { .. } | Self::NoFallback { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadTimeout | Self::UploadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoInstance { .. } | Self::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Instance { fault: Fault::Timeout, .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Instance { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether it is unknown where the next request would begin, or whether it would come.
    fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::UriTooLong
                | Self::HeadTooLarge
                | Self::HeadTimeout
                | Self::UploadTimeout
                | Self::ConnectRefused
        )
    }

    /// What it is counted as, if the client is turned away for what it does.
    pub(in crate::proxy) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::BadRequest(_) | Self::Expectation => Some(Refusal::BadRequest),
            Self::StepLimit => Some(Refusal::ExpressionLimit),
            Self::Unauthenticated => Some(Refusal::Unauthenticated),
            Self::TooMany(_) => Some(Refusal::RateLimit),
            Self::Loop | Self::Itself => Some(Refusal::Loop),
            Self::Denied(_) | Self::ConnectRefused => Some(Refusal::Destination),
            Self::CrossOrigin => Some(Refusal::CrossOrigin),
            Self::UriTooLong => Some(Refusal::UriTooLong),
            Self::HeadTooLarge | Self::FieldTooLarge { .. } => Some(Refusal::HeadTooLarge),
            Self::BodyTooLarge => Some(Refusal::BodyTooLarge),
            Self::HeadTimeout => Some(Refusal::HeadTimeout),
            Self::UploadTimeout => Some(Refusal::BodyTimeout),
            _ => None,
        }
    }

    /// What the instance that was asked last is to be blamed for.
    pub(in crate::proxy) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Instance { fault, .. } => Some(*fault),
            _ => None,
        }
    }

    pub(in crate::proxy) fn message(&self) -> String {
        match self {
            Self::BadRequest(reason) => format!("bad request: {reason}"),
            Self::StepLimit => format!("bad request: {StepLimit}"),
            Self::Expectation => "the only Expect that is served is 100-continue".into(),
            Self::Options | Self::Trace(_) | Self::Preflight => String::new(),
            Self::CrossOrigin => "pages of this origin may not send this request".into(),
            Self::FieldTooLarge { said, .. } => said.clone(),
            Self::HeadTooLarge => "the request head has too many lines or bytes".into(),
            Self::Unauthenticated => "a valid token is needed".into(),
            Self::KeysMissing => "the keys that tokens are verified by are not known yet".into(),
            Self::TooMany(_) => "too many requests".into(),
            Self::UriTooLong => "the request target is too long".into(),
            Self::HeadTimeout => "the request head did not arrive in time".into(),
            Self::BodyTooLarge => "the request body is longer than it may be".into(),
            Self::NoRoute => "no route matches this request".into(),
            Self::NoFile => "no such file".into(),
            Self::NotAllowed => "only GET and HEAD are answered here".into(),
            Self::TraceRefused => "TRACE is not served here".into(),
            Self::Loop => "the request has passed too many gateways: a route leads back to where it came from".into(),
            Self::Itself => Denial::Itself.to_string(),
            Self::Denied(why) => why.to_string(),
            Self::ConnectRefused => {
                "CONNECT is not served here: have the client send http:// requests to the proxy, and https:// \
                                     past it (no_proxy, http.nonProxyHosts)"
                    .into()
            }
            Self::NotReady => "the gateway has no configuration yet".into(),
            Self::Overloaded { route } => format!("too many requests are in flight on route {route}"),
            Self::OutOfDescriptors => "the gateway has too many open connections".into(),
            Self::UploadTimeout => "the request body did not arrive in time".into(),
            Self::Internal { route } => format!("route {route} cannot serve this request"),
            Self::CircuitOpen { route } => format!("route {route} is not called for now: too many calls have failed"),
            Self::NoFallback { route } => format!("route {route} has failed, and nothing answers in its place"),
            Self::NoInstance { service, .. } => format!("no instance of {service} is available"),
            Self::Instance { service, fault, reason } => match fault {
                Fault::Connect => format!("{service} could not be reached"),
                Fault::Tls => format!("there is no trusted TLS connection to {service}"),
                Fault::Broken | Fault::Truncated => {
                    format!("{service} broke off before it answered; it may have processed the request")
                }
                Fault::Unusable => format!("the answer of {service} cannot be passed on: {reason}"),
                Fault::Timeout => format!("{service} did not answer in time"),
            },
        }
    }

    /// The answer. Requests that cannot be trusted in their framing end the connection.
    pub(in crate::proxy) fn response(&self) -> Response<Content> {
        match self {
            Self::Options => return last_hop::options(),
            Self::Trace(seen) => return last_hop::trace(seen.clone()),
            Self::Preflight => return Response::new(Content::Fixed(Bytes::new())),
            _ => {}
        }
        let status = self.status();
        let body = ErrorBody { code: status.as_u16(), msg: self.message(), data: None, success: false, fail: true };
        // Numbers and strings only: it cannot fail, and an empty body would be no disaster.
        let bytes = serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default();
        let mut response = Response::new(Content::Fixed(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(
            self,
            Self::Overloaded { .. }
                | Self::OutOfDescriptors
                | Self::NoInstance { hidden: false, .. }
                | Self::NotReady
                | Self::KeysMissing
                | Self::CircuitOpen { .. }
                | Self::NoFallback { .. }
        ) {
            // A retry at once finds the same.
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::TooMany(rated) = self {
            let seconds = rated.retry_after.unwrap_or_default().as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
            headers.extend(rated.fields().map(|(name, value)| (name, HeaderValue::from(value))));
        }
        if matches!(self, Self::Unauthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::FieldTooLarge { name, said } = self
            && let Ok(said) = HeaderValue::from_str(said)
        {
            headers.insert(*name, said);
        }
        if matches!(self, Self::TraceRefused | Self::ConnectRefused) {
            headers.insert(header::ALLOW, HeaderValue::from_static(last_hop::METHODS));
        }
        if self.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[derive(serde::Serialize)]
struct ErrorBody {
    code: u16,
    msg: String,
    data: Option<()>,
    success: bool,
    fail: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_the_service_and_nothing_internal() {
        let response = Failure::NoInstance { service: "user\"-app", hidden: false }.response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/json");
        let Content::Fixed(bytes) = response.into_body() else { panic!("not fixed") };
        assert_eq!(
            bytes,
            r#"{"code":503,"msg":"no instance of user\"-app is available","data":null,"success":false,"fail":true}"#
        );
    }

    /// One of each kind, with its row in ARCHITECTURE.md and the variants' names.
    fn all() -> Vec<(&'static str, Failure<'static>)> {
        static FIELD: HeaderName = HeaderName::from_static("error-message");
        let instance = |fault| Failure::Instance { service: "s", fault, reason: "" };
        vec![
            ("`BadRequest`", Failure::BadRequest("x")),
            ("`StepLimit`", Failure::StepLimit),
            ("`Expectation`", Failure::Expectation),
            ("`Options`", Failure::Options),
            ("`Trace`", Failure::Trace(Bytes::new())),
            ("`Preflight`", Failure::Preflight),
            ("`CrossOrigin`", Failure::CrossOrigin),
            ("`UriTooLong`", Failure::UriTooLong),
            ("`HeadTooLarge`", Failure::HeadTooLarge),
            ("`FieldTooLarge`", Failure::FieldTooLarge { name: &FIELD, said: String::new() }),
            ("`HeadTimeout`", Failure::HeadTimeout),
            ("`UploadTimeout`", Failure::UploadTimeout),
            ("`BodyTooLarge`", Failure::BodyTooLarge),
            ("`Unauthenticated`", Failure::Unauthenticated),
            ("`KeysMissing`", Failure::KeysMissing),
            ("`TooMany`", Failure::TooMany(Rated::SPENT)),
            ("`Loop`", Failure::Loop),
            ("`Itself`", Failure::Itself),
            ("`Denied`", Failure::Denied(Denial::Never)),
            ("`ConnectRefused`", Failure::ConnectRefused),
            ("`NoRoute`", Failure::NoRoute),
            ("`NoFile`", Failure::NoFile),
            ("`NotAllowed`", Failure::NotAllowed),
            ("`TraceRefused`", Failure::TraceRefused),
            ("`NotReady`", Failure::NotReady),
            ("`Overloaded`", Failure::Overloaded { route: "r" }),
            ("`OutOfDescriptors`", Failure::OutOfDescriptors),
            ("`NoInstance`", Failure::NoInstance { service: "s", hidden: false }),
            ("`CircuitOpen`", Failure::CircuitOpen { route: "r" }),
            ("`NoFallback`", Failure::NoFallback { route: "r" }),
            ("`Internal`", Failure::Internal { route: "r" }),
            ("`connect`", instance(Fault::Connect)),
            ("`tls`", instance(Fault::Tls)),
            ("`broken`", instance(Fault::Broken)),
            ("`unusable`", instance(Fault::Unusable)),
            ("`timeout`", instance(Fault::Timeout)),
        ]
    }

    #[test]
    fn the_table_of_errors_in_the_architecture_page_is_true() {
        let page = include_str!("../../../../ARCHITECTURE.md");
        let table = page.split("## Which error becomes which response").nth(1).expect("the section");
        let rows = table.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
        let rows: Vec<Vec<_>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
        for (name, failure) in all() {
            let row = rows.iter().find(|row| row[0].contains(name)).unwrap_or_else(|| panic!("no row for {name}"));
            assert_eq!(row[1], failure.status().as_str(), "{name}");
            match (failure.refusal(), failure.fault()) {
                (Some(refusal), _) => assert_eq!(row[2], format!("`{}`", refusal.as_str()), "{name}"),
                (None, Some(_)) => assert!(row[2].contains("upstream_failures"), "{name}"),
                (None, None) => assert_eq!(row[2], "–", "{name}"),
            }
            assert_eq!(row[3] == "closed", failure.ends_connection(), "{name}");
        }
        let named: usize =
            rows.iter().map(|row| row[0].split(": ").next().unwrap_or_default().matches('`').count() / 2).sum();
        // The two rows of instances name the variant as well.
        assert_eq!(named, all().len() + 2, "a row that is not a failure");
    }
}
