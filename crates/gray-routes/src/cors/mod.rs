//! Cross-origin requests (the Fetch standard's CORS), as Spring answers them: `globalcors` and a route's `metadata.cors`.
//!
//! Mirrors Spring's `DefaultCorsProcessor` and `CorsConfiguration`; the table mirrors `CorsGatewayFilterApplicationListener`: what
//! routes say comes first, by the first pattern of their `Path`, then what `globalcors` says, and the first pattern that matches the path
//! counts. One thing differs on purpose: an origin that any page can have (`*`, `https://*`, `null`) is never allowed credentials.

mod origin;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gray_expression::{StepLimit, Steps};
use gray_rules::Facts;
use http::{HeaderName, HeaderValue, Method, header};

use self::origin::{Allowed, Origins, is_same};
use crate::{
    index::Tree,
    pattern::{PathPattern, segments},
};

/// What every answer depends on where there are settings, allowed or not, so that no cache mixes them up.
pub const VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const PREFIX: &str = "access-control-";

/// Whether only the gateway says what browsers may do with an answer, where it has settings: an instance's field of this name goes.
pub fn is_cors_field(name: &[u8]) -> bool {
    name.len() > PREFIX.len() && name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX.as_bytes())
}

/// The settings of all paths.
#[derive(Debug, Default)]
pub struct CorsTable {
    /// In the order in which they are tried.
    by_path: Vec<(PathPattern, Arc<Cors>)>,
    /// Where in it a path finds what can be meant.
    index: Tree<Vec<usize>>,
    /// Whether preflights that no route takes are answered as well: `add-to-simple-url-handler-mapping`.
    unrouted: bool,
}

impl CorsTable {
    /// The settings of a path, if it has any.
    ///
    /// # Errors
    /// It is not known, because the expressions of the patterns would take more steps than they may.
    pub fn find(&self, path: &str) -> Result<Option<&Arc<Cors>>, StepLimit> {
        let (steps, mut best, mut is_known) = (Steps::default(), usize::MAX, true);
        self.index.walk(segments(path), &mut |places: &Vec<usize>| {
            for &place in places.iter().take_while(|&&place| place < best) {
                // `/a/` is not `/a`, as in Spring.
                let takes =
                    self.by_path.get(place).map_or(Ok(false), |(pattern, _)| pattern.matches(path, false, &steps));
                if takes != Ok(false) {
                    (best, is_known) = (place, takes.is_ok());
                    break;
                }
            }
        });
        if is_known { Ok(self.by_path.get(best).map(|(_, cors)| cors)) } else { Err(StepLimit) }
    }

    /// The definition that the index must agree with.
    #[cfg(test)]
    pub(crate) fn find_in_turn(&self, path: &str) -> Option<&Arc<Cors>> {
        let takes = |pattern: &PathPattern| pattern.matches(path, false, &Steps::default()) == Ok(true);
        self.by_path.iter().find(|(pattern, _)| takes(pattern)).map(|(_, cors)| cors)
    }

    /// The same for a request that no route takes.
    ///
    /// # Errors
    /// Likewise.
    pub fn find_unrouted(&self, path: &str) -> Result<Option<&Arc<Cors>>, StepLimit> {
        if self.unrouted { self.find(path) } else { Ok(None) }
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }
}

/// What one set of settings allows.
#[derive(Debug, Default)]
pub struct Cors {
    origins: Origins,
    methods: Methods,
    headers: Headers,
    exposed: Option<HeaderValue>,
    credentials: bool,
    private_network: bool,
    max_age: Option<HeaderValue>,
}

/// `allowed-methods`
#[derive(Debug)]
enum Methods {
    /// `*`: the one that is asked for.
    Any,
    /// These, and how they are written in an answer.
    These(Vec<Method>, HeaderValue),
}

impl Default for Methods {
    /// What Spring allows where nothing is said.
    fn default() -> Self {
        Self::These(vec![Method::GET, Method::HEAD], HeaderValue::from_static("GET,HEAD"))
    }
}

/// `allowed-headers`
#[derive(Debug)]
enum Headers {
    /// `*`: those that are asked for.
    Any,
    /// These; none where nothing is said.
    These(Vec<HeaderName>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not cross-origin: it goes its way, and its answer gets [`VARY`] alone.
    SameOrigin,
    /// It goes its way, and its answer gets these fields and [`VARY`] in place of the instance's own.
    Allowed(Vec<(HeaderName, HeaderValue)>),
    /// A preflight: answered here, 200 with these fields and [`VARY`].
    Preflight(Vec<(HeaderName, HeaderValue)>),
    /// Answered here, 403 with [`VARY`].
    Refused,
}

impl Cors {
    /// Judges a request; `scheme` and `authority` are those that the client has asked for. If a header is sent twice, the
    /// first value counts.
    pub fn judge(&self, request: &impl Facts, scheme: &str, authority: &str) -> Verdict {
        let Some(origin) = request.headers(&header::ORIGIN).next() else { return Verdict::SameOrigin };
        if is_same(origin, scheme, authority) {
            return Verdict::SameOrigin;
        }
        let asked = request.headers(&header::ACCESS_CONTROL_REQUEST_METHOD).next();
        let preflight = asked.filter(|_| request.method() == Method::OPTIONS.as_str());
        let Some(mut fields) = self.origin_fields(origin) else { return Verdict::Refused };
        let Some(asked) = preflight else {
            if !self.methods.allow(request.method()) {
                return Verdict::Refused;
            }
            fields.extend(self.exposed.clone().map(|exposed| (header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed)));
            return Verdict::Allowed(fields);
        };
        let requested = || request.headers(&header::ACCESS_CONTROL_REQUEST_HEADERS);
        let methods = Method::from_bytes(asked).ok().and_then(|method| self.methods.answer(&method));
        let (Some(methods), Ok(allowed)) = (methods, self.headers.answer(requested())) else { return Verdict::Refused };
        fields.push((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
        fields.extend(allowed.map(|allowed| (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed)));
        fields.extend(self.exposed.clone().map(|exposed| (header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed)));
        let is_true = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"true");
        if self.private_network && request.headers(&REQUEST_PRIVATE_NETWORK).next().is_some_and(is_true) {
            fields.push((ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true")));
        }
        fields.extend(self.max_age.clone().map(|max_age| (header::ACCESS_CONTROL_MAX_AGE, max_age)));
        Verdict::Preflight(fields)
    }

    /// Whom the answer is for, if the origin is allowed.
    fn origin_fields(&self, origin: &[u8]) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let (origin, by_name) = match self.origins.allow(origin)? {
            Allowed::All => (HeaderValue::from_static("*"), false),
            Allowed::Anyone => (HeaderValue::from_bytes(origin).ok()?, false),
            Allowed::This => (HeaderValue::from_bytes(origin).ok()?, true),
        };
        let mut fields = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)];
        if self.credentials && by_name {
            fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        Some(fields)
    }
}

impl Methods {
    fn allow(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(methods, _) => methods.iter().any(|known| known.as_str() == method),
        }
    }

    /// What is said to a preflight, if it may send this one.
    fn answer(&self, method: &Method) -> Option<HeaderValue> {
        match self {
            Self::Any => HeaderValue::from_str(method.as_str()).ok(),
            Self::These(_, written) => self.allow(method.as_str()).then(|| written.clone()),
        }
    }
}

/// A preflight asks for fields of which none is allowed.
#[derive(Debug)]
struct NoneAllowed;

impl Headers {
    /// Those of the fields that a preflight asks for which it may send; `None`: it asks for none.
    fn answer<'h>(&self, requested: impl Iterator<Item = &'h [u8]>) -> Result<Option<HeaderValue>, NoneAllowed> {
        let names = requested.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let (mut asks, mut allowed) = (false, Vec::new());
        for name in names.filter(|name| !name.is_empty()) {
            asks = true;
            // It is echoed, so it has to be a name.
            let Ok(known) = HeaderName::from_bytes(name) else { continue };
            let is_allowed = match self {
                Self::Any => true,
                Self::These(names) => names.contains(&known),
            };
            if is_allowed {
                if !allowed.is_empty() {
                    allowed.extend_from_slice(b", ");
                }
                allowed.extend_from_slice(name);
            }
        }
        match (asks, allowed.is_empty()) {
            (false, _) => Ok(None),
            (true, true) => Err(NoneAllowed),
            (true, false) => HeaderValue::from_bytes(&allowed).map(Some).map_err(|_| NoneAllowed),
        }
    }
}
