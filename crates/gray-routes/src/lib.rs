//! The route table: Spring Cloud Gateway's routes, compiled once per configuration revision.
//!
//! Reading happens off the request path and reports everything it cannot take, by name and line. Matching is a pure
//! function of the request's facts and allocates nothing (only a percent-encoded path, query or cookie is decoded into
//! a scratch text).
//!
//! It never depends on a runtime, a socket or a proxy, and keeps no state: who limits rates has the counters.
//!
//! ```
//! # use gray_document::Documents;
//! # use gray_routes::RouteTable;
//! # use gray_rules::RequestFacts;
//! let text = "spring.cloud.gateway.routes:
//!   - { id: orders, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }";
//! let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
//! let table = RouteTable::read(&documents.root());
//! assert!(documents.take_problems().is_empty());
//!
//! let headers = http::HeaderMap::new();
//! let request = RequestFacts { path: "/order-api/order/N0001", ..RequestFacts::new(&headers) };
//! let route = table.find(&request).expect("few steps").expect("a route");
//! let sent = route.filters.rewrite(request.path, &Default::default()).expect("not too long");
//! assert_eq!(sent.path, "/order/N0001");
//! ```

mod breaker;
mod configuration;
pub mod cors;
mod definition;
mod fallback;
mod files;
mod filter;
mod forward;
mod forwarded;
mod group;
mod ids;
mod index;
mod judge;
mod lint;
mod locator;
mod lookup;
mod mapping;
mod metadata;
mod misspelt;
mod network;
mod path;
mod pattern;
mod predicate;
mod rate;
mod read;
mod release;
mod resolve;
mod retry;
mod route;
pub mod scheme;
mod segment;
mod spelling;
mod table;
mod text;
mod token;
mod trusted;
mod uri;
mod variables;
mod verdicts;
mod weight;

#[cfg(test)]
mod tests;

pub use gray_expression::StepLimit;

pub use self::{
    breaker::{CircuitBreaker, FallbackHeaders, FallbackUri},
    configuration::{Configuration, MAX_SERVICES, lane_services},
    cors::CorsTable,
    fallback::{FallbackAnswer, FallbackAnswers},
    files::{FileOptions, Versioned},
    filter::{FieldLimit, Filters, Line, Redirect, Remembered, ResponseEdits, Rewritten, is_known_filter},
    forwarded::{ForwardedFields, OriginField},
    judge::{Counts, Question, RESPONSE_TIMEOUT, Verdict, judge},
    locator::{Located, Locator},
    lookup::Lookup,
    metadata::Metadata,
    path::{Spelling, check as check_path},
    rate::{Rate, RateKey, RateLimit},
    read::{ROUTES, ROUTES_DOCUMENT},
    resolve::{ResolveError, Resolved, SendError},
    retry::{Backoff, Retry},
    route::{Route, Target, Upstream},
    table::RouteTable,
    token::TokenCheck,
    trusted::TrustedProxies,
    variables::{EditError, Variables},
};
