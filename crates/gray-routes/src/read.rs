//! `spring.cloud.gateway`: from documents to routes. Everything wrong is reported, nothing is dropped silently.

use std::{collections::HashSet, sync::Arc, time::Duration};

use gray_core::Space;
use gray_document::{Item, Section};

use super::{
    Filters, Route, Target, Upstream,
    breaker::BreakerSettings,
    cors::{Cors, CorsTable},
    definition::relaxed,
    filter::{self, Common, FILTER, Filter, SecureHeaders},
    forward,
    forwarded::ForwardedFields,
    ids::Ids,
    locator::Locator,
    mapping::{self, Acknowledged, Mapping, OwnFilters},
    metadata::{self, Metadata},
    misspelt,
    pattern::PathPattern,
    predicate::Predicate,
    release::{Dialect, Release},
    scheme::Scheme,
    text::quoted,
    trusted::TrustedProxies,
    uri, verdicts, weight,
};

pub(super) const OLD: &str = "spring.cloud.gateway";
/// Where newer releases keep the same settings.
const NEW: &str = "spring.cloud.gateway.server.webflux";
/// Where Spring's servlet gateway keeps its routes, in newer and older releases; of the rest nothing is read.
const SERVLET: [&str; 2] = ["spring.cloud.gateway.server.webmvc", "spring.cloud.gateway.mvc"];
/// Where the routes stand; of two lists, the one that is read is said by a warning.
pub const ROUTES: [&str; 4] = [
    "spring.cloud.gateway.routes",
    "spring.cloud.gateway.server.webflux.routes",
    "spring.cloud.gateway.server.webmvc.routes",
    "spring.cloud.gateway.mvc.routes",
];
/// Where a document stands that is a list of routes, and nothing else: they are added to the others.
pub const ROUTES_DOCUMENT: &str = "routes-document";

/// A login at the gateway.
const LOGIN: &str = "spring.security.oauth2.client";

/// What a route takes besides its predicates and filters.
const ROUTE: usize = 1024;
/// Most lanes of a route with targets of their own.
const MAX_LANES: usize = 256;

/// A route and where it stands, before it is put in line.
pub(super) struct Draft {
    pub(super) order: i32,
    pub(super) route: Route,
    pub(super) predicates: Vec<Predicate>,
    /// What its metadata say of cross-origin requests, and for which paths.
    pub(super) cors: Option<(PathPattern, Cors)>,
}

/// What documents say of routes.
pub(super) struct Read {
    pub(super) drafts: Vec<Draft>,
    /// Whether any document says what there are.
    pub(super) is_stated: bool,
    pub(super) cors: CorsTable,
    pub(super) locator: Option<Locator>,
    /// Whether hosts are compared with their ports.
    pub(super) with_port: bool,
    pub(super) trusted: Option<TrustedProxies>,
    pub(super) forwarded: ForwardedFields,
}

/// What all routes share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    filters: Vec<Filter>,
    /// What filters go by.
    settings: Common,
    /// Before a route's own metadata.
    common: Metadata,
    use404: bool,
    dialect: Dialect,
}

/// Reads all routes, as written. A route with an error is missing.
pub(super) fn read(root: &Section<'_>) -> Read {
    let spring = root.section(mapping::KEY);
    let acknowledged = Acknowledged::read(&spring);
    let [webmvc, mvc] = SERVLET.map(|key| root.section(key));
    let gateway = Gateway { old: root.section(OLD), new: root.section(NEW), servlet: [webmvc, mvc] };
    let filters = gateway.holder("default-filters").items("default-filters");
    let http = gateway.holder("httpclient").section("httpclient");
    let status = gateway.holder("set-status").section("set-status");
    let settings = Common {
        secure: SecureHeaders::read(&gateway.holder("filter").section("filter").section("secure-headers")),
        original_status: status.string("original-status-header-name").and_then(|name| {
            filter::written(&name).map_err(|reason| status.error("original-status-header-name", reason)).ok()
        }),
        breakers: Arc::new(BreakerSettings::read(root)),
        has_login: root.peek(LOGIN).is_some() && acknowledged.reason(LOGIN).is_none(),
        mapping: Arc::new(Mapping::read(&spring)),
        own: Arc::default(),
    };
    let settings = Common { own: Arc::new(OwnFilters::read(&spring, &settings)), ..settings };
    let mut dialect = Dialect::of(Release::read(root));
    let host = gateway.holder("predicate").section("predicate").section("host");
    dialect.with_port &= host.bool("include-port").unwrap_or(true);
    let shared = Shared {
        filters: filters.iter().filter_map(|item| Filter::read(item, &settings)).map(Filter::common).collect(),
        settings,
        common: Metadata {
            connect_timeout: positive(&http, "connect-timeout"),
            response_timeout: positive(&http, "response-timeout"),
            ..Metadata::default()
        },
        use404: gateway.holder("loadbalancer").section("loadbalancer").bool("use404").unwrap_or(false),
        dialect,
    };
    let holder = gateway.routes();
    let (mut items, mut is_stated) = (holder.items("routes"), holder.has("routes"));
    items.extend(root.items(ROUTES_DOCUMENT));
    is_stated |= root.has(ROUTES_DOCUMENT);
    let is_map = |(key, item): &(String, Item<'_>)| relaxed(key) == "routes" && item.is_map();
    if items.is_empty() && is_stated && !holder.peek_keys().iter().any(is_map) {
        holder.warn("routes", "empty: every request is answered 404");
    }
    let mut drafts = shared.routes(&items);
    for group in
        weight::share_out(drafts.iter_mut().flat_map(|draft| &mut draft.predicates).filter_map(Predicate::share))
    {
        let group = quoted(&group);
        holder.warn("routes", format!("no route of weight group {group} has a weight, so none of them is ever taken"));
    }
    let cors = drafts.iter_mut().filter_map(|draft| draft.cors.take()).collect();
    let cors = CorsTable::read(cors, &gateway.holder("globalcors").section("globalcors"));
    let trusted = TrustedProxies::read(gateway.holder("trusted-proxies"));
    let origin = |name| gateway.holder(name).section(name);
    let forwarded = ForwardedFields::read(&origin("x-forwarded"), &origin("forwarded"));
    let discovery = gateway.holder("discovery").section("discovery");
    let locator = Locator::read(&discovery.section("locator"), &shared);
    // Asked for in vain as a rule, but a key that is close to one of these is a typing error.
    gateway.new.items("routes");
    gateway.new.items("default-filters");
    gateway.new.section("httpclient");
    gateway.new.section("loadbalancer");
    gateway.new.section("globalcors");
    gateway.new.section("discovery");
    gateway.new.section("filter");
    gateway.new.section("set-status");
    gateway.new.section("predicate");
    gateway.new.section("x-forwarded");
    gateway.new.section("forwarded");
    gateway.new.has("trusted-proxies");
    misspelt::refuse(&[&gateway.old, &gateway.new]);
    verdicts::judge(root, [&gateway.old, &gateway.new], &acknowledged);
    gateway.old.warn_unknown("this gateway does not know this setting; it has no effect");
    let is_stated = is_stated || locator.is_some();
    if is_stated {
        shared.settings.mapping.finish(&spring);
        shared.settings.own.finish(&spring);
        acknowledged.finish(&spring);
    }
    for key in mapping::ALL_KEYS {
        spring.has(key);
    }
    spring.reject_unknown();
    Read { drafts, is_stated, cors, locator, with_port: dialect.with_port, trusted, forwarded }
}

struct Gateway<'d> {
    old: Section<'d>,
    new: Section<'d>,
    servlet: [Section<'d>; 2],
}

impl<'d> Gateway<'d> {
    /// The section with the routes: that of the servlet gateway when no other has any.
    fn routes(&self) -> &Section<'d> {
        let holder = self.holder("routes");
        let mut found = Some(holder).filter(|holder| has(holder, "routes"));
        for (section, name) in self.servlet.iter().zip(SERVLET) {
            if !has(section, "routes") {
                continue;
            }
            match found {
                Some(found) => {
                    section.items("routes");
                    let path = found.path();
                    section.warn("routes", format!("{name}.routes is ignored, because {path}.routes is set as well"));
                }
                None => found = Some(section),
            }
        }
        found.unwrap_or(holder)
    }

    /// The section that a key is to be read from: the newer place when the key is there.
    fn holder(&self, key: &str) -> &Section<'d> {
        let has = |section: &Section<'_>| has(section, key);
        match (has(&self.old), has(&self.new)) {
            (true, true) => {
                self.old.warn(key, format!("ignored, because {NEW}.{key}, its newer name, is set as well"));
                &self.new
            }
            (false, true) => &self.new,
            (_, false) => &self.old,
        }
    }
}

fn has(section: &Section<'_>, key: &str) -> bool {
    section.peek_keys().iter().any(|(name, _)| relaxed(name) == relaxed(key))
}

impl Shared {
    /// Reads routes, as written. One with an error is missing.
    pub(super) fn routes(&self, items: &[Item<'_>]) -> Vec<Draft> {
        let mut ids = Ids::default();
        let read: Vec<_> = items.iter().map(|item| self.route(item, &mut ids)).collect();
        let mut drafts: Vec<Draft> = read.into_iter().flatten().collect();
        ids.name_the_nameless(&mut drafts);
        drafts
    }

    fn route(&self, item: &Item<'_>, ids: &mut Ids) -> Option<Draft> {
        if !item.is_map() {
            item.error("expected a route: a map with id, uri, predicates and filters");
            return None;
        }
        // Every route has the common filters once more.
        if !item.spend("routes", ROUTE) || !item.spend("common filters of routes", FILTER * self.filters.len()) {
            return None;
        }
        let section = item.section();
        let id = section.string("id").map(|id| ids.take(&id, &section)).unwrap_or_default();
        let metadata = section.section("metadata");
        let space = metadata::space(&metadata);
        let known = (&*self.settings.mapping, space.as_ref());
        let target = match section.string("uri") {
            Some(uri) => uri::target(&section, "uri", &uri, known),
            None => {
                section.error("uri", "a route needs a `uri`: lb://service, http://host:port or file:///directory");
                None
            }
        };
        let written = section.items("predicates");
        if written.is_empty() {
            section.error("predicates", "a route needs at least one predicate; for every request write Path=/**");
        }
        let predicates: Vec<_> = written.iter().map(|item| Predicate::read(item, self.dialect)).collect();
        let weights = predicates.iter().flatten().filter(|predicate| matches!(predicate, Predicate::Weight(_)));
        if weights.count() > 1 {
            section.error("predicates", "a route can be in one weight group only");
        }
        let items = section.items("filters");
        let filters: Vec<_> = items.iter().map(|item| Filter::read(item, &self.settings)).collect();
        let lanes = lanes(&metadata.section("lanes"), known);
        let targets = target.iter().chain(lanes.iter().map(|(_, target)| target));
        let is_service = |target: &Target| matches!(target.upstream, Upstream::Service(_));
        if space.is_some() && !targets.clone().any(is_service) {
            metadata.warn("space", "has no effect: it is for services (a uri such as lb://pay-app)");
        }
        let directories: Vec<_> = targets.filter_map(Target::directory).collect();
        let cors = cors(&metadata, &predicates, item);
        let metadata = self.common.clone().with(&metadata, &directories);
        let order = section.parsed("order").unwrap_or(0);
        let enabled = section.bool("enabled").unwrap_or(true);
        section.reject_unknown();

        let (predicates, filters): (Option<Vec<_>>, Option<Vec<_>>) =
            (predicates.into_iter().collect(), filters.into_iter().collect());
        let (target, mut predicates, own) = (target?, predicates?, filters?);
        self.variables(&section, &mut predicates, (&own, &items))?;
        let breakers = self.filters.iter().chain(&own).filter(|filter| matches!(filter, Filter::Breaker(_)));
        if breakers.count() > 1 {
            section.warn(
                "filters",
                "more than one circuit breaker, common ones included: they count as one, with the name of the last, the \
                 shortest time limit, the status codes of all, and the fallback of the last that has one",
            );
        }
        let own_filters: Vec<bool> = own.iter().map(forward::may_stand).collect();
        let own_limit = own.iter().rev().find_map(Filter::max_body);
        let mut filters = Filters::default();
        filters.extend(interleaved(&self.filters, own));
        // A common limit is for those that have none of their own.
        filters.max_body = own_limit.or(filters.max_body);
        match filters.name_breaker(&id, &self.settings.breakers) {
            Ok(bytes) if !item.spend("circuit breakers", bytes) => return None,
            Ok(_) => {}
            Err(reason) => section.error("filters", reason),
        }
        if let Some(reason) = filters.too_many() {
            section.error("filters", reason);
        }
        let (target, lanes, filters) = if filters.are_refusing() {
            let nowhere = Target { scheme: Scheme::Http, upstream: Upstream::Nowhere };
            (nowhere, Vec::new(), Filters::refusing())
        } else {
            (target, lanes, filters)
        };
        if let Err((at, reason)) = forward::check((&target, &lanes), &filters, &own_filters) {
            at.and_then(|at| items.get(at)).unwrap_or(item).error(reason);
            return None;
        }
        let route =
            Route { id: id.into(), place: 0, is_located: false, target, lanes, use404: self.use404, filters, metadata };
        (enabled && !predicates.is_empty()).then_some(Draft { order, route, predicates, cors })
    }
}

impl Shared {
    /// Gets the predicates ready to tell what the filters ask for; a variable that none of them has is reported.
    fn variables(
        &self,
        section: &Section<'_>,
        predicates: &mut [Predicate],
        (own, items): (&[Filter], &[Item<'_>]),
    ) -> Option<()> {
        let known: HashSet<String> = predicates.iter().flat_map(Predicate::variables).collect();
        let lacks = |name: &&str| !known.contains(*name);
        let problem = |name: &str| {
            format!(
                "`{{{}}}` is not a variable of all patterns of Path, or of Host, of this route: name one in each of them",
                name.chars().take(60).collect::<String>()
            )
        };
        let mut asks = false;
        for (filter, item) in own.iter().zip(items) {
            asks |= filter.names().next().is_some();
            if let Some(name) = filter.names().find(lacks) {
                item.error(problem(name));
                return None;
            }
        }
        for filter in &self.filters {
            asks |= filter.names().next().is_some();
            if let Some(name) = filter.names().find(lacks) {
                section
                    .error("predicates", format!("a filter of default-filters asks for a variable: {}", problem(name)));
                return None;
            }
        }
        if asks {
            let ready = predicates.iter_mut().try_for_each(|predicate| predicate.prepare(section.budget()));
            return ready.map_err(|reason| section.error("predicates", reason)).ok();
        }
        Some(())
    }
}

/// The common filters and a route's own, in Spring's order: each has its place in its own list, and at the same place
/// the common one comes first.
fn interleaved(common: &[Filter], own: Vec<Filter>) -> Vec<Filter> {
    let mut own = own.into_iter();
    let mut merged = Vec::with_capacity(common.len() + own.len());
    for filter in common {
        merged.push(filter.clone());
        merged.extend(own.next());
    }
    merged.extend(own);
    merged
}

fn positive(section: &Section<'_>, key: &str) -> Option<Duration> {
    let duration = section.duration(key)?;
    if duration.is_zero() {
        section.error(key, "must be longer than 0; leave it out for no limit");
    }
    Some(duration)
}

/// `metadata.cors`, and the first pattern of the route's paths, for which it counts.
fn cors(metadata: &Section<'_>, predicates: &[Option<Predicate>], item: &Item<'_>) -> Option<(PathPattern, Cors)> {
    let is_it = |(key, _): &(String, Item<'_>)| relaxed(key) == "cors";
    let (_, settings) = metadata.peek_keys().into_iter().find(is_it)?;
    let cors = Cors::read(&settings)?;
    let pattern = predicates.iter().flatten().find_map(Predicate::paths).and_then(|patterns| patterns.first().cloned());
    let pattern = pattern.map_or_else(|| PathPattern::parse("/**", item.budget()), Ok);
    pattern.map(|pattern| (pattern, cors)).map_err(|reason| item.error(reason)).ok()
}

/// `metadata.lanes`: who answers on some lanes instead.
fn lanes(section: &Section<'_>, known: (&Mapping, Option<&Space>)) -> Vec<(Box<str>, Target)> {
    let keys = section.keys();
    if let Some((_, item)) = keys.get(MAX_LANES) {
        item.error(format!("at most {MAX_LANES} lanes may have a target of their own on one route"));
        return Vec::new();
    }
    let lanes = keys.iter().filter_map(|(lane, item)| {
        let uri = item.required_text(uri::SCHEMES)?;
        Some((lane.as_str().into(), uri::target(section, lane, uri, known)?))
    });
    lanes.collect()
}
