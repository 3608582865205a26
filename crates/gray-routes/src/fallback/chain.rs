//! Where fallbacks lead, as far as the documents tell: to an answer, to a route, to nothing that is known, in a circle.

use std::collections::{BTreeMap, BTreeSet};

use gray_document::Section;
use gray_expression::Steps;

use crate::{Route, RouteTable, Upstream, predicate::Predicate, read::ROUTES, text::quoted};

/// Most warnings of one kind; more say nothing new.
const MAX_WARNINGS: usize = 20;

impl RouteTable {
    /// Notes fallbacks that lead in a circle, and those of which nothing is known.
    pub(crate) fn check_fallbacks(&self, root: &Section<'_>) {
        // Paths of which nothing is known, each with the route that takes it, if one takes every path; and whether a route
        // forwards there, or only when it has failed.
        let (mut unknown, mut is_reported) = (BTreeMap::new(), BTreeSet::new());
        let at = |report: &dyn Fn(&Section<'_>, &str)| {
            let found = ROUTES.iter().find(|key| root.has(key)).unwrap_or(&ROUTES[0]);
            report(root, found);
        };
        for route in self.routes.iter().map(|route| &**route) {
            let Some(path) = sample(route) else { continue };
            let forwards = forwarded(route).is_some();
            if self.fallbacks.find(&path) != Ok(None) {
                continue;
            }
            match self.routes.iter().find(|other| self.may_take(other, &path)) {
                None => {
                    unknown.insert((path.clone(), forwards), None);
                    continue;
                }
                Some(other) if self.takes_all(other) => {
                    drop(unknown.insert((path.clone(), forwards), Some(other.id.clone())))
                }
                Some(_) => {}
            }
            let (mut seen, mut current) = (vec![route.place], route);
            while let Some(next) = self.next_of(current) {
                if let Some(begin) = seen.iter().position(|place| *place == next.place) {
                    let circle: BTreeSet<_> = seen.iter().skip(begin).copied().collect();
                    if is_reported.insert(circle) {
                        let (id, path) = (&current.id, quoted(&sample(current).unwrap_or_default()));
                        let what = if forwarded(current).is_some() { "the `uri`" } else { "the fallback" };
                        at(&|root, key| {
                            root.error(
                                key,
                                format!(
                                    "{what} of route `{id}` ({path}) leads back to route `{}`, from which such a request \
                                     comes: write what is answered under gray.spring.fallbacks, or another path",
                                    next.id
                                ),
                            );
                        });
                    }
                    break;
                }
                seen.push(next.place);
                current = next;
            }
        }
        for ((path, forwards), taken) in unknown.iter().take(MAX_WARNINGS) {
            let instead = match taken {
                Some(id) => format!("go to route `{id}`, which takes every path"),
                None => String::from(if *forwards { "get 404" } else { "get 503" }),
            };
            let key_of = if *forwards { "uri" } else { "fallbackUri" };
            at(&|root, key| {
                root.warn(
                    key,
                    format!(
                        "what the Java controller behind {key_of} forward:{path} answers is unknown here: such requests \
                         {instead}; write its answer under gray.spring.fallbacks, for example \
                         gray.spring.fallbacks: {{ {path:?}: {{ status: 503, body: '...', contentType: application/json }} }}"
                    ),
                );
            });
        }
    }

    /// The route that answers in place of another one for certain, if there is one.
    fn next_of(&self, route: &Route) -> Option<&Route> {
        let path = sample(route).filter(|path| self.fallbacks.find(path) == Ok(None))?;
        let is_certain = |other: &Route| {
            let predicates = self.predicates.get(other.place).into_iter().flatten();
            // What has come to this route once comes to it again: only the path is another one.
            other.place == route.place || predicates.into_iter().all(|one| matches!(one, Predicate::Path { .. }))
        };
        let routes = self.routes.iter().map(|route| &**route);
        routes.into_iter().find(|other| self.may_take(other, &path) && is_certain(other))
    }

    /// Whether a route asks for no path in particular.
    fn takes_all(&self, route: &Route) -> bool {
        let predicates = self.predicates.get(route.place).into_iter().flatten();
        { predicates }
            .filter_map(Predicate::paths)
            .all(|patterns| patterns.iter().any(|pattern| pattern.literals().next().is_none()))
    }

    /// Whether a route could take this path, whatever else its predicates ask for.
    fn may_take(&self, route: &Route, path: &str) -> bool {
        let predicates = self.predicates.get(route.place).into_iter().flatten();
        { predicates }
            .filter_map(Predicate::paths)
            .all(|patterns| patterns.iter().any(|one| one.matches(path, true, &Steps::default()).unwrap_or(true)))
    }
}

/// Where a route forwards to.
fn forwarded(route: &Route) -> Option<&str> {
    match &route.target.upstream {
        Upstream::Forward(path) if route.filters.redirect.is_none() => Some(path),
        _ => None,
    }
}

/// Where a route leads to within this gateway: what it forwards to, or its fallback.
fn sample(route: &Route) -> Option<String> {
    if let Some(path) = forwarded(route) {
        return Some(path.to_owned());
    }
    route.filters.breaker.as_ref()?.fallback.as_ref().map(|fallback| fallback.sample())
}
