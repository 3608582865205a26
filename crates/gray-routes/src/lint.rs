//! What in the routes is worth knowing: guarded routes that another one takes over in another spelling, paths that differ
//! only by case, and routes that nothing but trying finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gray_expression::Steps;
use gray_rules::{About, Finding, Severity};

use super::{Route, RouteTable, Upstream, pattern::PathPattern, predicate::Predicate, text::quoted};

/// Findings of one kind; more say nothing new.
const MAX_FINDINGS: usize = 50;
/// Most routes that a request may have to try without a word about it.
const MAX_TRIED: usize = 64;

impl RouteTable {
    /// What is worth knowing of these routes.
    pub fn lint(&self) -> Vec<Finding> {
        [self.taken_over(), self.differing_by_case(), self.hidden_by_the_locator(), self.crowded()].concat()
    }

    /// Guarded routes, each with the first less guarded one that would take an ambiguous spelling of its paths.
    fn taken_over(&self) -> Vec<Finding> {
        let guarded = self.routes.iter().filter(|route| !guards(route).is_empty());
        let pairs = guarded.filter_map(|route| {
            let finding = |severity, message| {
                Some(Finding { severity, code: "route-spellings", about: About::Route, name: route.id.clone(), message })
            };
            if let Some((path, other)) = self.let_through(route) {
                let message = format!(
                    "{} is let through to route `{}`, which has no {}, because that has `encoded-slash: pass`: give it the \
                     guard as well, or leave `encoded-slash` out; see Paths in docs/config.md",
                    quoted(&path),
                    other.id,
                    missing(route, other).join(" and no ")
                );
                return finding(Severity::Warning, message);
            }
            let spelled = self.patterns(route.place).iter().flat_map(PathPattern::spellings);
            let other = spelled.filter_map(|path| self.less_guarded(route, &path)).min_by_key(|other| other.place)?;
            let message = format!(
                "other spellings of its paths (`//`, `%2f`, `;`) would be taken by route `{}`, which has no {}: they are \
                 refused (400), see Paths in docs/config.md",
                other.id,
                missing(route, other).join(" and no ")
            );
            finding(Severity::Note, message)
        });
        pairs.take(MAX_FINDINGS).collect()
    }

    /// The first route that takes this path, by the path alone, and lacks a guard of `route`.
    fn less_guarded(&self, route: &Route, path: &str) -> Option<&Route> {
        let mut best: Option<&Route> = None;
        self.index.walk_path(path, |candidates| {
            let routes = candidates.iter().filter_map(|&place| self.routes.get(place));
            for other in routes.filter(|other| other.place != route.place && !missing(route, other).is_empty()) {
                let patterns = self.patterns(other.place);
                let takes = patterns.is_empty() || takes_any(patterns, path);
                if takes && best.is_none_or(|best| other.place < best.place) {
                    best = Some(other);
                }
            }
        });
        best
    }

    /// A spelling of the route's paths with `%2f` that is not refused, as a route with `encoded-slash: pass` takes it for
    /// a character and lacks a guard; and that route.
    fn let_through(&self, route: &Route) -> Option<(String, &Route)> {
        let patterns = self.patterns(route.place);
        patterns.iter().flat_map(PathPattern::with_encoded_slashes).find_map(|path| {
            let is_own = takes_any(patterns, &path);
            let mut best: Option<&Route> = None;
            self.index.walk_path(&path, |candidates| {
                let routes = candidates.iter().filter_map(|&place| self.routes.get(place));
                for other in routes.filter(|other| other.metadata.encoded_slash && !missing(route, other).is_empty()) {
                    let comes_first = !is_own || other.place < route.place;
                    let is_better = best.is_none_or(|best| other.place < best.place);
                    if comes_first
                        && is_better
                        && self.holds_slashes(other.place, &path, &Steps::default()).unwrap_or(true)
                    {
                        best = Some(other);
                    }
                }
            });
            best.map(|other| (path, other))
        })
    }

    fn differing_by_case(&self) -> Vec<Finding> {
        let mut spelled: BTreeMap<String, BTreeMap<&str, &Route>> = BTreeMap::new();
        for route in &self.routes {
            for pattern in self.patterns(route.place) {
                let same = spelled.entry(pattern.text().to_ascii_lowercase()).or_default();
                same.entry(pattern.text()).or_insert(route);
            }
        }
        let several = spelled.values().filter(|same| same.len() > 1);
        let findings = several.filter_map(|same| {
            let (mut ids, texts): (BTreeSet<&str>, Vec<_>) = (same.values().map(|route| &*route.id).collect(), same.keys().collect());
            let first = ids.pop_first()?;
            let others = if ids.is_empty() { String::new() } else { format!(" and route `{}`", Vec::from_iter(ids).join("`, `")) };
            Some(Finding {
                severity: Severity::Warning,
                code: "routes-differ-by-case",
                about: About::Route,
                name: first.into(),
                message: format!(
                    "its path{others} differ only by case ({texts:?}): a server that ignores case takes them for one; give them \
                     the same guards, or other names"
                ),
            })
        });
        findings.take(MAX_FINDINGS).collect()
    }

    /// Written routes whose paths go to a service of the same name, because its route comes before.
    fn hidden_by_the_locator(&self) -> Vec<Finding> {
        let written = self.routes.iter().filter(|route| !route.is_located);
        let findings = written.filter_map(|route| {
            let by = |located: &&Arc<Route>| {
                let covers = |pattern: &PathPattern| self.patterns(located.place).iter().any(|one| one.covers(pattern));
                located.is_located && located.place < route.place && self.patterns(route.place).iter().any(covers)
            };
            let located = self.routes.iter().find(by)?;
            let Upstream::Service(service) = &located.target.upstream else { return None };
            Some(Finding {
                severity: Severity::Warning,
                code: "route-hidden-by-locator",
                about: About::Route,
                name: route.id.clone(),
                message: format!(
                    "its path begins with the name of service `{service}`, whose requests discovery.locator takes first, without \
                     this route's filters: give the route a lower `order`, or leave the service out by `include-expression`"
                ),
            })
        });
        findings.take(MAX_FINDINGS).collect()
    }

    /// Routes that have to be tried one by one, too many of them.
    fn crowded(&self) -> Vec<Finding> {
        let crowds = self.index.crowds(MAX_TRIED);
        let findings = crowds.into_iter().filter_map(|(begin, places)| {
            let mut ids = places.iter().filter_map(|&place| self.routes.get(place)).map(|route| &*route.id);
            let first = ids.next()?;
            let some: Vec<_> = ids.take(2).collect();
            let of = if begin.is_empty() { "every request".to_owned() } else { format!("every request of {}", quoted(&begin)) };
            Some(Finding {
                severity: Severity::Warning,
                code: "routes-tried-in-turn",
                about: About::Route,
                name: first.into(),
                message: format!(
                    "{} routes have to be tried one after the other for {of}: this one, `{}` and so on; nothing but what they have \
                     besides tells them apart. Give each a segment in Path, or a name in Host, that is written out: others are found \
                     by it, however many they are",
                    places.len(),
                    some.join("`, `")
                ),
            })
        });
        findings.take(MAX_FINDINGS).collect()
    }

    fn patterns(&self, place: usize) -> &[PathPattern] {
        let predicates = self.predicates.get(place).map(|all| &**all).unwrap_or_default();
        predicates.iter().find_map(Predicate::paths).unwrap_or_default()
    }
}

/// Whether any of them takes this path; those count as well of which it is not known.
fn takes_any(patterns: &[PathPattern], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(path, true, &Steps::default()).unwrap_or(true))
}

/// The filters that keep requests out.
fn guards(route: &Route) -> Vec<&'static str> {
    let mut guards = Vec::new();
    if route.filters.token.is_some() {
        guards.push("JsonWebToken");
    }
    if !route.filters.rates.is_empty() {
        guards.push("RequestRateLimiter");
    }
    guards
}

fn missing(route: &Route, other: &Route) -> Vec<&'static str> {
    let has = guards(other);
    guards(route).into_iter().filter(|guard| !has.contains(guard)).collect()
}
