//! The route table: Spring Cloud Gateway's routes, compiled once per configuration revision.
//!
//! Reading happens off the request path and reports everything it cannot take, by name and line. Matching is a pure
//! function of the request head and allocates nothing (only a percent-encoded path, query or cookie is decoded into
//! a scratch text).
//!
//! ```
//! # use gray_common::document::Documents;
//! # use gray_gateway::route::{RequestHead, RouteTable};
//! let text = "spring.cloud.gateway.routes:
//!   - { id: orders, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }";
//! let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
//! let table = RouteTable::read(&documents.root());
//! assert!(documents.take_problems().is_empty());
//!
//! let (method, headers) = (http::Method::GET, http::HeaderMap::new());
//! let path = "/order-api/order/N0001";
//! let remote = std::net::Ipv4Addr::LOCALHOST.into();
//! let head = RequestHead { method: &method, path, query: None, headers: &headers, host: None, remote, random: 0 };
//! let route = table.find(&head).expect("a route");
//! assert_eq!(route.filters.rewrite(path), "/order/N0001");
//! ```

mod definition;
mod files;
mod filter;
mod guard;
mod lint;
mod metadata;
mod misspelt;
mod path;
mod pattern;
mod predicate;
mod rates;
mod read;
mod resolve;
mod retry;
mod spelling;
mod text;
mod trie;
mod uri;
mod weight;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, net::IpAddr, path::Path, sync::Arc, time::Duration};

use gray_common::document::Section;
use http::{HeaderMap, Method};

pub(crate) use self::read::ROUTES;
pub use self::{
    files::FileOptions,
    filter::Filters,
    guard::{RateLimit, Rated, TokenCheck},
    metadata::Metadata,
    path::{Spelling, check as check_path},
    rates::RateStates,
    resolve::Resolved,
    retry::Retry,
};
use self::{predicate::Predicate, trie::Trie};
use crate::{
    header::Lookup,
    scheme::{Protocol, Scheme},
};

/// All routes of one configuration revision, in their order, ready to be searched.
#[derive(Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    /// The predicates of the route at the same place.
    predicates: Vec<Box<[Predicate]>>,
    trie: Trie,
    is_stated: bool,
    token_queries: BTreeSet<Box<str>>,
}

impl RouteTable {
    /// Reads `spring.cloud.gateway.routes` and what belongs to it. Problems are left in the documents; with an error
    /// among them the table is incomplete and must not be used.
    pub fn read(root: &Section<'_>) -> Self {
        let (drafts, is_stated) = read::drafts(root);
        Self { is_stated, ..Self::new(drafts) }
    }

    /// Whether a document says what routes there are, be it none.
    pub fn is_stated(&self) -> bool {
        self.is_stated
    }

    /// Sorts by order (equal ones stay as written) and indexes.
    fn new(mut drafts: Vec<read::Draft>) -> Self {
        drafts.sort_by_key(|draft| draft.order);
        let mut table = Self::default();
        for (position, mut draft) in drafts.into_iter().enumerate() {
            // Predicates are pure, so their order is ours to choose: cheap ones first.
            draft.predicates.sort_by_key(Predicate::cost);
            match draft.predicates.iter().find_map(Predicate::paths) {
                Some(patterns) => patterns.iter().for_each(|pattern| table.trie.insert(pattern.literals(), position)),
                None => table.trie.insert([], position),
            }
            draft.route.place = position;
            table
                .token_queries
                .extend(draft.route.filters.token.as_ref().and_then(|token| token.query()).map(Box::from));
            table.routes.push(Arc::new(draft.route));
            table.predicates.push(draft.predicates.into());
        }
        table
    }

    /// The first route, in their order, whose predicates all hold.
    pub fn find<H: Lookup>(&self, head: &RequestHead<'_, H>) -> Option<&Arc<Route>> {
        let mut best = usize::MAX;
        self.trie.walk(head.path, |candidates| {
            // Candidates are in order, so each place of the trie ends at its own first match or at a better one.
            let better = candidates.iter().copied().take_while(|&position| position < best);
            best = better.into_iter().find(|&position| self.holds(position, head)).unwrap_or(best);
        });
        self.routes.get(best)
    }

    fn holds<H: Lookup>(&self, position: usize, head: &RequestHead<'_, H>) -> bool {
        self.predicates.get(position).is_some_and(|all| all.iter().all(|predicate| predicate.matches(head)))
    }

    /// Whether a route that matches does not take the method all the same: TRACE, unless the route asks for it by name or answers
    /// out of a directory, which judges methods itself.
    pub fn refuses(&self, route: &Route, method: &Method) -> bool {
        *method == Method::TRACE && !matches!(route.target.upstream, Upstream::Directory(_)) && !self.names_trace(route)
    }

    /// Whether the route is for TRACE by name, and does not only let it pass with all other methods.
    fn names_trace(&self, route: &Route) -> bool {
        let mut predicates = self.predicates.get(route.place).into_iter().flatten();
        predicates.any(|predicate| matches!(predicate, Predicate::Method(methods) if methods.contains(&Method::TRACE)))
    }

    /// Parameters of a query in which routes look for tokens.
    pub(crate) fn token_queries(&self) -> impl Iterator<Item = &str> + Clone {
        self.token_queries.iter().map(|name| &**name)
    }

    /// Every route, in the order in which they are tried.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// What a document from Spring may not expect, though nothing is wrong with it. For checks of documents.
    pub fn note(&self, response_timeout: Duration) -> Option<String> {
        let is_served =
            |route: &&Arc<Route>| route.targets().any(|target| !matches!(target.upstream, Upstream::Directory(_)));
        let untimed: Vec<_> = { self.routes.iter() }
            .filter(|route| route.metadata.response_timeout.is_none())
            .filter(is_served)
            .map(|route| &*route.id)
            .collect();
        let (first, others) = untimed.split_first()?;
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        Some(format!(
            "note: no response timeout is set for route `{first}`{others}: an answer that has not begun after {} s is a 504, \
             where Spring waits without a limit. Set {}.httpclient.response-timeout, or a route's metadata.response-timeout \
             (-1: no limit)",
            response_timeout.as_secs(),
            read::OLD
        ))
    }

    /// The services behind `lb://` and `lb:https://` routes.
    pub fn services(&self) -> BTreeSet<Box<str>> {
        let services =
            self.routes.iter().flat_map(|route| route.targets()).filter_map(|target| match &target.upstream {
                Upstream::Service(name) => Some(name.clone()),
                Upstream::Fixed { .. } | Upstream::Directory(_) => None,
            });
        services.collect()
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.id)).finish()
    }
}

/// What predicates may look at.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r, H = HeaderMap> {
    /// The method.
    pub method: &'r Method,
    /// The path as sent, checked by the caller (no dot segments, no broken percent-encoding).
    pub path: &'r str,
    /// The query as sent, without `?`.
    pub query: Option<&'r str>,
    /// All header fields.
    pub headers: &'r H,
    /// The host that was asked for, without port.
    pub host: Option<&'r str>,
    /// Address of the peer's socket.
    pub remote: IpAddr,
    /// A random number, the same for one request throughout. Decides `Weight`.
    pub random: u64,
}

/// Where a matching request goes, and what happens to it on the way.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in logs and metrics: the document's `id`, else `route-<n>`.
    pub id: Box<str>,
    /// Its place among all routes, in the order in which they are tried.
    pub place: usize,
    /// Who answers.
    pub target: Target,
    /// Who answers on these lanes instead: `metadata.lanes`.
    pub lanes: Vec<(Box<str>, Target)>,
    /// Whether "no instance" is answered 404 and not 503: `spring.cloud.gateway.loadbalancer.use404`.
    pub use404: bool,
    /// What is changed on the way.
    pub filters: Filters,
    /// Limits and manners: the route's `metadata`, else what holds for all routes.
    pub metadata: Metadata,
}

impl Route {
    /// Who answers a request on this lane.
    pub fn target(&self, lane: &str) -> &Target {
        self.lanes.iter().find(|(name, _)| **name == *lane).map_or(&self.target, |(_, target)| target)
    }

    /// Whether bodies of requests may be streams that rest for as long as a response may take: what
    /// goes to instances over HTTP/2 (gRPC).
    pub fn is_stream(&self) -> bool {
        self.metadata.protocol == Protocol::Http2
    }

    /// Everybody who may answer.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.lanes.iter().map(|(_, target)| target).chain([&self.target])
    }
}

/// Who answers, and how to speak to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// Who.
    pub upstream: Upstream,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// `lb://name`, `lb:https://name`: an instance of this service.
    Service(Box<str>),
    /// `http://host:port`, `https://host:port`: always this one.
    Fixed {
        /// `host:port` as written, for the Host header.
        authority: Box<str>,
        /// Name or address to connect to; an IPv6 address is without its brackets.
        host: Box<str>,
        /// Port to connect to.
        port: u16,
    },
    /// `file:///srv/web/v1`: the files below this directory.
    Directory(Arc<Path>),
}
