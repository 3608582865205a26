//! All routes, indexed by the leading segments of their paths.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use gray_core::ServiceKey;
use gray_document::{Problems, Section};
use gray_expression::{StepLimit, Steps};
use gray_rules::KeyServer;
use http::Method;

use crate::{
    CorsTable, FallbackAnswer, FallbackAnswers, ForwardedFields, Located, Locator, Lookup, Route, Target,
    TrustedProxies, Upstream,
    index::{Index, Key},
    predicate::Predicate,
    read::{self, Read},
    variables::Variables,
};

/// All routes of one configuration revision, in their order, ready to be searched.
#[derive(Default)]
pub struct RouteTable {
    pub(crate) routes: Vec<Arc<Route>>,
    /// The predicates of the route at the same place.
    pub(crate) predicates: Vec<Box<[Predicate]>>,
    pub(crate) index: Index,
    is_stated: bool,
    token_queries: BTreeSet<Box<str>>,
    cors: Arc<CorsTable>,
    locator: Option<Arc<Locator>>,
    pub(crate) fallbacks: Arc<FallbackAnswers>,
    /// The `order` of the route at the same place.
    orders: Vec<i32>,
    /// Whether hosts are compared with their ports.
    with_port: bool,
    trusted: Option<Arc<TrustedProxies>>,
    forwarded: ForwardedFields,
}

impl RouteTable {
    /// Reads `spring.cloud.gateway.routes` and what belongs to it. Problems are left in the documents; with an error
    /// among them the table is incomplete and must not be used.
    pub fn read(root: &Section<'_>) -> Self {
        let Read { drafts, is_stated, cors, locator, with_port, trusted, forwarded } = read::read(root);
        let fallbacks = FallbackAnswers::read(&root.section("gray").section("spring").section("fallbacks"));
        let (cors, locator, trusted) = (Arc::new(cors), locator.map(Arc::new), trusted.map(Arc::new));
        let fallbacks = Arc::new(fallbacks);
        let table = Self { is_stated, cors, locator, with_port, trusted, forwarded, fallbacks, ..Self::new(drafts) };
        table.check_fallbacks(root);
        table
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
            // All of them have to hold, so any of them may say where it is found.
            let paths = most_telling(draft.predicates.iter().filter_map(Predicate::paths), |pattern| pattern.keys());
            let hosts = most_telling(draft.predicates.iter().filter_map(Predicate::hosts), |pattern| pattern.keys());
            table.index.insert(paths, hosts, position);
            draft.route.place = position;
            table
                .token_queries
                .extend(draft.route.filters.token.as_ref().and_then(|token| token.query()).map(Box::from));
            table.orders.push(draft.order);
            table.routes.push(Arc::new(draft.route));
            table.predicates.push(draft.predicates.into());
        }
        table
    }

    /// The first route, in their order, whose predicates all hold.
    ///
    /// # Errors
    /// It is not known, because the expressions of the predicates would take more steps than they may.
    pub fn find(&self, request: &impl Lookup) -> Result<Option<&Arc<Route>>, StepLimit> {
        self.find_by(request.path(), request, &Steps::default())
    }

    /// The same of a request whose path is read in this form.
    pub(crate) fn find_by(
        &self,
        path: &str,
        request: &impl Lookup,
        steps: &Steps,
    ) -> Result<Option<&Arc<Route>>, StepLimit> {
        // A route of which it is not known whether it takes the request may be the one: those behind it do not count.
        let (mut best, mut is_known) = (usize::MAX, true);
        self.index.walk(path, self.host_of(request), |candidates| {
            // Candidates are in order, so each place of the index ends at its own first match or at a better one.
            for &position in candidates.iter().take_while(|&&position| position < best) {
                let holds = self.holds(position, path, request, steps);
                if holds != Ok(false) {
                    (best, is_known) = (position, holds.is_ok());
                    break;
                }
            }
        });
        if is_known { Ok(self.routes.get(best)) } else { Err(StepLimit) }
    }

    /// The host of a request, as it is compared.
    pub(crate) fn host_of<'r>(&self, request: &'r impl Lookup) -> Option<&'r str> {
        if self.with_port { request.authority() } else { request.host() }
    }

    pub(crate) fn holds(
        &self,
        position: usize,
        path: &str,
        request: &impl Lookup,
        steps: &Steps,
    ) -> Result<bool, StepLimit> {
        let Some(predicates) = self.predicates.get(position) else { return Ok(false) };
        for predicate in predicates {
            if !predicate.matches(path, request, steps)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the variables of the route's path and host stand for in a request that it takes; none where no filter asks.
    pub(crate) fn variables(
        &self,
        route: &Route,
        path: &str,
        host: Option<&str>,
        steps: &Steps,
    ) -> Result<Variables<'_>, StepLimit> {
        let mut variables = Variables::default();
        if route.filters.ask_variables() {
            for predicate in self.predicates.get(route.place).into_iter().flatten() {
                predicate.capture(path, host, &mut variables, steps)?;
            }
        }
        Ok(variables)
    }

    /// Whether a route that matches does not take the method all the same: TRACE, unless the route asks for it by name or answers
    /// out of a directory, which judges methods itself.
    pub fn refuses(&self, route: &Route, method: &str) -> bool {
        Method::TRACE == method && !matches!(route.target.upstream, Upstream::Directory(_)) && !self.names_trace(route)
    }

    /// Whether the route is for TRACE by name, and does not only let it pass with all other methods.
    fn names_trace(&self, route: &Route) -> bool {
        let mut predicates = self.predicates.get(route.place).into_iter().flatten();
        predicates.any(|predicate| matches!(predicate, Predicate::Method(methods) if methods.contains(&Method::TRACE)))
    }

    /// Parameters of a query in which routes look for tokens.
    pub fn token_queries(&self) -> impl Iterator<Item = &str> + Clone {
        self.token_queries.iter().map(|name| &**name)
    }

    /// The servers whose keys verify tokens, each once or more.
    pub fn key_servers(&self) -> impl Iterator<Item = &KeyServer> {
        self.routes.iter().filter_map(|route| route.filters.token.as_ref()?.key_server())
    }

    /// What makes a route of every service, if the documents switch it on.
    pub fn locator(&self) -> Option<&Locator> {
        self.locator.as_deref()
    }

    /// This table, with routes for these services before written ones of the same order, but for the service `own`.
    ///
    /// # Errors
    /// There are too many of them.
    pub fn with_services(&self, services: &[Located<'_>], own: &str) -> Result<Self, Problems> {
        let mut drafts = match &self.locator {
            Some(locator) => locator.drafts(services, own)?,
            None => Vec::new(),
        };
        let all = self.routes.iter().zip(&self.predicates).zip(&self.orders);
        let written = all.filter(|((route, _), _)| !route.is_located);
        drafts.extend(written.map(|((route, predicates), order)| read::Draft {
            order: *order,
            route: Route::clone(route),
            predicates: predicates.to_vec(),
            cors: None,
        }));
        let Self { is_stated, with_port, forwarded, .. } = *self;
        let (cors, locator, trusted) = (Arc::clone(&self.cors), self.locator.clone(), self.trusted.clone());
        let fallbacks = Arc::clone(&self.fallbacks);
        Ok(Self { is_stated, cors, locator, with_port, trusted, forwarded, fallbacks, ..Self::new(drafts) })
    }

    /// Peers that may say where requests came from, besides those of other settings.
    pub fn trusted_proxies(&self) -> Option<&Arc<TrustedProxies>> {
        self.trusted.as_ref()
    }

    /// Which fields tell an instance where a request comes from.
    pub fn forwarded_fields(&self) -> ForwardedFields {
        self.forwarded
    }

    /// What cross-origin requests may do.
    pub fn cors(&self) -> &CorsTable {
        &self.cors
    }

    /// What is answered where a fallback leads to this path, if a document says so.
    ///
    /// # Errors
    /// It is not known, because the expressions of the patterns would take more steps than they may.
    pub fn fallback(&self, path: &str) -> Result<Option<&FallbackAnswer>, StepLimit> {
        self.fallbacks.find(path)
    }

    /// Every route, in the order in which they are tried.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// What a document from Spring may not expect, though nothing is wrong with it. For checks of documents.
    pub fn note(&self, response_timeout: Duration) -> Option<String> {
        let is_served = |route: &&Arc<Route>| {
            let own = |target: &Target| {
                matches!(target.upstream, Upstream::Directory(_) | Upstream::Nowhere | Upstream::Forward(_))
            };
            route.filters.redirect.is_none() && !route.targets().all(own)
        };
        let untimed: Vec<_> = { self.routes.iter() }
            .filter(|route| route.metadata.response_timeout.is_none())
            .filter(is_served)
            .map(|route| &*route.id)
            .collect();
        let (first, others) = untimed.split_first()?;
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        Some(format!(
            "no response timeout is set for route `{first}`{others}: an answer that has not begun after {} s is a 504, \
             where Spring waits without a limit. Set {}.httpclient.response-timeout, or a route's metadata.response-timeout \
             (-1: no limit)",
            response_timeout.as_secs(),
            read::OLD
        ))
    }

    /// The services behind `lb://` and `lb:https://` routes.
    pub fn services(&self) -> BTreeSet<ServiceKey> {
        self.named_services().cloned().collect()
    }

    /// The same, in the order of the routes, as often as they are named.
    pub fn named_services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.routes.iter().flat_map(|route| route.targets()).filter_map(|target| match &target.upstream {
            Upstream::Service(name) => Some(name),
            Upstream::Fixed { .. } | Upstream::Directory(_) | Upstream::Nowhere | Upstream::Forward(_) => None,
        })
    }
}

/// Those of several lists of patterns that a route is found best by: the first of which every pattern has a literal.
fn most_telling<'p, P, K>(
    mut lists: impl Iterator<Item = &'p [P]> + Clone,
    keys: impl Fn(&'p P) -> K,
) -> Option<&'p [P]>
where
    K: Iterator<Item = Key<'p>>,
{
    let tells = |list: &&'p [P]| list.iter().all(|pattern| keys(pattern).any(|key| key.is_literal()));
    lists.clone().find(tells).or_else(|| lists.next())
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.id)).finish()
    }
}
