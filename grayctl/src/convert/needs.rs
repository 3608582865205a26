//! What the routes of documents ask of Java code, so that something has to stand for it in `gray.spring`.
//!
//! The documents are walked a second time for this, by the parser that the gateway has; what is wrong with them the reader says.

use std::collections::BTreeMap;

use gray_document::{Documents, Item, Origin, Problem, Section, Severity, is_same_name};
use gray_routes::{ROUTES, ROUTES_DOCUMENT, RouteTable, is_known_filter};
use gray_rules::RequestFacts;
use serde_json::json;

const SCHEMES: [&str; 12] =
    ["lb", "lb:http", "lb:https", "lb:ws", "lb:wss", "http", "https", "ws", "wss", "file", "no", "forward"];
/// Most of each kind; a document with more has made its point.
const MOST: usize = 200;

/// Where something is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) origin: Origin,
    /// The key, as problems name it.
    pub(super) path: String,
}

impl Place {
    /// Whether a problem is with this, or with something in it.
    pub(super) fn is_of(&self, problem: &Problem) -> bool {
        let below = problem.path.strip_prefix(&*self.path);
        problem.origin.document == self.origin.document
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

fn is_to_be_acknowledged(problem: &Problem) -> bool {
    problem.severity == Severity::Error && problem.message.contains("`acknowledge: {")
}

/// Names and where they stand.
pub(super) type Named = BTreeMap<String, Vec<Place>>;

/// What is asked for, and what is used.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// How many routes are written, whether or not they can be taken as they are.
    pub(super) routes: usize,
    /// Filters of the system's own.
    pub(super) filters: Named,
    /// Beans that say what rate limits count by.
    pub(super) resolvers: Named,
    /// Schemes of `uri`.
    pub(super) schemes: Named,
    /// Paths that `forward:` names and no route takes.
    pub(super) forwards: Named,
    /// Settings of Spring, such as who may do what, that nothing here stands for.
    pub(super) access: Named,
    /// Every service has a route.
    pub(super) has_locator: bool,
    /// What the predicates `Path` of the routes say.
    paths: Vec<String>,
    /// How often which filter and predicate is used.
    pub(super) used: BTreeMap<(&'static str, String), usize>,
}

impl Needs {
    /// Walks the documents.
    pub(super) fn of(documents: &Documents) -> Self {
        let root = documents.root();
        let mut needs = Self::default();
        for key in ROUTES.iter().chain([&ROUTES_DOCUMENT]) {
            let (parent, key) = key.rsplit_once('.').unwrap_or(("", key));
            let section = if parent.is_empty() { root.clone() } else { root.section(parent) };
            for route in section.items(key).iter().filter(|route| route.is_map()) {
                needs.route(&route.section());
            }
        }
        for parent in ["spring.cloud.gateway", "spring.cloud.gateway.server.webflux"] {
            let section = root.section(parent);
            let locator = section.section("discovery.locator").items("filters");
            for filter in section.items("default-filters").iter().chain(&locator) {
                needs.filter(filter);
            }
        }
        needs.leave_out_routed();
        let locators =
            ["spring.cloud.gateway.discovery.locator", "spring.cloud.gateway.server.webflux.discovery.locator"];
        needs.has_locator = locators.iter().any(|key| root.section(key).bool("enabled") == Some(true));
        needs
    }

    fn route(&mut self, route: &Section<'_>) {
        self.routes += 1;
        for filter in &route.items("filters") {
            self.filter(filter);
        }
        for predicate in &route.items("predicates") {
            if let Some(name) = definition(predicate) {
                if name == "Path" {
                    self.paths.push(arguments(predicate).join(","));
                }
                *self.used.entry(("predicates", name)).or_default() += 1;
            }
        }
        let Some((key, item)) = route.peek_keys().into_iter().find(|(key, _)| is_same_name(key, "uri")) else { return };
        let Some(uri) = item.text().map(str::trim) else { return };
        let place = Place { origin: item.origin(), path: format!("{}.{key}", route.path()) };
        if let Some(path) = uri.strip_prefix("forward:") {
            return self.forward(path, place);
        }
        let Some((scheme, _)) = uri.split_once("://") else { return };
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.len() <= 40
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if is_scheme && !SCHEMES.contains(&&*scheme.to_ascii_lowercase()) {
            add(&mut self.schemes, scheme, place);
        }
    }

    fn filter(&mut self, filter: &Item<'_>) {
        let Some(name) = definition(filter) else { return };
        let place = || Place { origin: filter.origin(), path: filter.path() };
        if !is_known_filter(&name) {
            add(&mut self.filters, &name, place());
            return;
        }
        for text in arguments(filter) {
            match &*name {
                "CircuitBreaker" | "Hystrix" => {
                    if let Some(path) = text.strip_prefix("forward:") {
                        self.forward(path, place());
                    }
                }
                "RequestRateLimiter" => {
                    let bean = text.strip_prefix("#{").and_then(|text| text.strip_suffix('}')).map(str::trim);
                    if let Some(bean) = bean.and_then(|text| text.strip_prefix('@')) {
                        add(&mut self.resolvers, bean.trim_matches(['\'', '"']), place());
                    }
                }
                _ => {}
            }
        }
        *self.used.entry(("filters", name)).or_default() += 1;
    }

    fn forward(&mut self, path: &str, place: Place) {
        let path = path.split(['?', '#']).next().unwrap_or(path);
        if path.starts_with('/') && !path.contains('{') {
            add(&mut self.forwards, path, place);
        }
    }

    /// A path that a route takes needs nothing to stand for it. That is asked of a table with nothing but paths, because a route
    /// with a filter that has to be chosen first is in none.
    fn leave_out_routed(&mut self) {
        let route = |(id, path): (usize, &String)| json!({ "id": id.to_string(), "uri": "no://op", "predicates": [format!("Path={path}")] });
        let routes: Vec<_> = self.paths.iter().enumerate().map(route).collect();
        let text = json!({ "spring": { "cloud": { "gateway": { "routes": routes } } } }).to_string();
        let Ok(documents) = Documents::parse(&[("paths.json", &text)], &|_| None) else { return };
        let table = RouteTable::read(&documents.root());
        let headers = Default::default();
        let is_taken =
            |path: &str| matches!(table.find(&RequestFacts { path, ..RequestFacts::new(&headers) }), Ok(Some(_)));
        self.forwards.retain(|path, _| !is_taken(path));
    }

    /// Takes what the reader wants to be acknowledged.
    pub(super) fn take_access(&mut self, problems: &[Problem]) {
        for problem in problems.iter().filter(|problem| is_to_be_acknowledged(problem)) {
            let place = Place { origin: problem.origin.clone(), path: problem.path.clone() };
            add(&mut self.access, &problem.path, place);
        }
    }

    /// Whether a problem is one of these.
    pub(super) fn has_access(&self, problem: &Problem) -> bool {
        is_to_be_acknowledged(problem) && self.access.contains_key(&problem.path)
    }

    /// Everything that has to be chosen, with its kind.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &String, &Vec<Place>)> {
        let kinds = [
            ("filter", &self.filters),
            ("key resolver", &self.resolvers),
            ("scheme", &self.schemes),
            ("fallback", &self.forwards),
        ];
        kinds.into_iter().flat_map(|(kind, named)| named.iter().map(move |(name, places)| (kind, name, places)))
    }

    /// Leaves out what the documents have a choice for already, and what the reader takes for a typing error.
    pub(super) fn without(&mut self, documents: &Documents, is_slip: impl Fn(&Place) -> bool) {
        let spring = documents.root().section("gray.spring");
        for (key, named) in [
            ("filters", &mut self.filters),
            ("key-resolvers", &mut self.resolvers),
            ("schemes", &mut self.schemes),
            ("fallbacks", &mut self.forwards),
        ] {
            let chosen: Vec<_> = spring.section(key).peek_keys().into_iter().map(|(name, _)| name).collect();
            named.retain(|name, places| {
                places.retain(|place| !is_slip(place));
                !places.is_empty() && !chosen.contains(name)
            });
        }
    }
}

fn add(named: &mut Named, name: &str, place: Place) {
    if named.len() < MOST || named.contains_key(name) {
        let places = named.entry(name.to_owned()).or_default();
        if places.len() < MOST {
            places.push(place);
        }
    }
}

/// The name of a predicate or filter, in either form.
fn definition(item: &Item<'_>) -> Option<String> {
    let name = if item.is_map() { item.section().string("name")? } else { item.text()?.split('=').next()?.to_owned() };
    let name = name.trim();
    (!name.is_empty() && name.len() <= 200).then(|| name.to_owned())
}

/// The texts that a filter is given.
fn arguments(item: &Item<'_>) -> Vec<String> {
    if !item.is_map() {
        let text = item.text().and_then(|text| text.split_once('=')).map_or("", |(_, arguments)| arguments);
        return text.split(',').map(|text| text.trim().to_owned()).collect();
    }
    let arguments = item.section().section("args").peek_keys();
    let texts = arguments.iter().filter(|(_, item)| item.is_text()).filter_map(|(_, item)| item.text());
    texts.map(|text| text.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str) -> Needs {
        let documents = Documents::parse(&[("g.yaml", text)], &|_| None).expect("well formed");
        Needs::of(&documents)
    }

    #[test]
    fn what_routes_ask_of_java_is_found() {
        let needs = needs(
            "spring.cloud.gateway:
  default-filters: [ Log ]
  routes:
    - id: a
      uri: grayLb://users
      predicates: [ Path=/users/** ]
      filters:
        - Auth=1
        - { name: RequestRateLimiter, args: { key-resolver: '#{@ipKeyResolver}', redis-rate-limiter.replenishRate: 1 } }
        - { name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/fallback' } }
    - { id: b, uri: 'forward:/page', predicates: [ Path=/b ], filters: [ Auth, 'Hystrix=h,forward:/users/1' ] }
",
        );
        let found: Vec<_> = needs.all().map(|(kind, name, places)| format!("{kind} {name} {}", places.len())).collect();
        assert_eq!(
            found,
            [
                "filter Auth 2",
                "filter Log 1",
                "key resolver ipKeyResolver 1",
                "scheme grayLb 1",
                "fallback /fallback 1",
                "fallback /page 1",
            ]
        );
        let auth = &needs.filters["Auth"][0];
        assert_eq!((auth.origin.line, &*auth.path), (8, "spring.cloud.gateway.routes[0].filters[0]"));
        assert_eq!(needs.used[&("predicates", "Path".to_owned())], 2);
    }

    #[test]
    fn a_route_that_takes_the_path_is_enough() {
        let needs = needs(
            "spring.cloud.gateway.routes:
  - { id: a, uri: 'lb://a', predicates: [ { name: Path, args: { pattern: '/a/**' } } ], filters: [ Own ] }
  - { id: b, uri: 'forward:/a/x', predicates: [ Path=/b ] }",
        );
        assert!(needs.forwards.is_empty(), "{needs:?}");
    }

    #[test]
    fn what_is_chosen_or_misspelt_is_no_need() {
        let text = "gray.spring.filters.Auth: refuse
spring.cloud.gateway.routes: [ { id: a, uri: 'lb://a', filters: [ Auth, StripPrefx=1, Own ] } ]";
        let documents = Documents::parse(&[("g.yaml", text)], &|_| None).expect("well formed");
        let mut needs = Needs::of(&documents);
        needs.without(&documents, |place| place.path.ends_with("filters[1]"));
        assert_eq!(needs.filters.keys().collect::<Vec<_>>(), ["Own"]);
    }

    /// Every filter of Spring, in any release, and ours.
    const FILTERS: &str = "AddRequestHeader AddRequestHeadersIfNotPresent AddRequestParameter AddResponseHeader \
         CacheRequestBody CircuitBreaker DedupeResponseHeader FallbackHeaders Hystrix JsonToGrpc JsonWebToken \
         LocalResponseCache MapRequestHeader ModifyRequestBody ModifyResponseBody PrefixPath \
         PreserveHostHeader RedirectTo RemoveJsonAttributesResponseBody RemoveRequestHeader \
         RemoveRequestParameter RemoveResponseHeader RequestHeaderSize RequestHeaderToRequestUri \
         RequestRateLimiter RequestSize Retry RewriteLocationResponseHeader RewritePath \
         RewriteRequestParameter RewriteResponseHeader SaveSession SecureHeaders SetPath SetRequestHeader \
         SetRequestHostHeader SetRequestUri SetResponseHeader SetStatus StripPrefix TokenRelay";

    #[test]
    fn filters_of_spring_are_not_the_systems_own() {
        for (name, is_own) in FILTERS.split(' ').map(|name| (name, false)).chain([("Auth", true)]) {
            assert_eq!(is_known_filter(name), !is_own, "{name}");
            let text = format!("spring.cloud.gateway.routes: [ {{ id: a, uri: 'lb://a', filters: [ {name} ] }} ]");
            let documents = Documents::parse(&[("g.yaml", &text)], &|_| None).expect("well formed");
            drop(RouteTable::read(&documents.root()));
            let problems = documents.take_problems().to_string();
            assert_eq!(problems.contains("own Java"), is_own, "{name}: {problems}");
        }
    }
}
