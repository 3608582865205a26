//! Which route takes a request whose path other servers could read in another way.

use std::{borrow::Cow, sync::Arc};

use crate::{
    Lookup, Route, RouteTable, Spelling, check_path,
    predicate::Predicate,
    spelling::{Forms, canonical_of},
};

/// First segment of the paths of Spring Boot's management endpoints.
const MANAGEMENT: &str = "actuator";
const OTHER_ROUTE: &str = "the path is ambiguous: read in another way, it belongs to another route";
const OTHER_PATH: &str = "the path is ambiguous: read in another way, the route sends it elsewhere";

/// What a request comes to.
#[derive(Debug)]
pub struct Resolved<'t> {
    /// The route that takes it.
    pub route: Option<&'t Arc<Route>>,
    /// The canonical form of its path, where that is not the path itself.
    canonical: Option<String>,
}

impl RouteTable {
    /// The route that [`find`](Self::find) finds for a request whose path has been [checked](check_path). The path of one
    /// that is ambiguous is routed in every form that another server could read it in; `%2f` in a variable is not a slash
    /// where the route says so.
    ///
    /// # Errors
    /// When another route takes another form; when a form holds a dot segment.
    pub fn resolve(&self, request: &impl Lookup, spelling: Spelling) -> Result<Resolved<'_>, &'static str> {
        let route = self.find(request);
        match spelling {
            Spelling::Plain => Ok(Resolved { route, canonical: None }),
            Spelling::Ambiguous => self.resolve_ambiguous(request, route),
        }
    }

    #[cold]
    fn resolve_ambiguous<'t>(
        &'t self,
        request: &impl Lookup,
        route: Option<&'t Arc<Route>>,
    ) -> Result<Resolved<'t>, &'static str> {
        let forms = Forms::of(request.path())?;
        if route.is_some_and(|route| route.metadata.encoded_slash && self.holds_slashes(route.place, request.path())) {
            return Ok(Resolved { route, canonical: None });
        }
        let place = route.map(|route| route.place);
        for path in forms.others() {
            let other = self.find_by(path, request);
            if other.is_some_and(|other| place != Some(other.place)) {
                return Err(OTHER_ROUTE);
            }
        }
        Ok(Resolved { route, canonical: forms.canonical() })
    }

    /// Whether `%2f` is all that is ambiguous about the path, and always within a variable of the route's.
    pub(super) fn holds_slashes(&self, place: usize, path: &str) -> bool {
        let rest = path.replace("%2f", "-").replace("%2F", "-");
        let predicates = self.predicates.get(place).into_iter().flatten();
        check_path(&rest) == Ok(Spelling::Plain) && { predicates }.all(|predicate| match predicate {
            Predicate::Path { patterns, trailing_slash } => {
                patterns.iter().any(|pattern| pattern.matches(path, *trailing_slash) && pattern.holds_slashes(path))
            }
            _ => true,
        })
    }
}

impl Route {
    /// Whether an instance is not to be asked for this path, which the route's filters have made: what Spring's management
    /// endpoints are below is not for everybody only because a locator knows the service.
    pub fn hides(&self, sent: &str) -> bool {
        let is_management =
            |path: String| path.split('/').nth(1).is_some_and(|first| first.eq_ignore_ascii_case(MANAGEMENT));
        self.is_located && canonical_of(sent).is_ok_and(is_management)
    }
}

impl Resolved<'_> {
    /// Whether the path that is sent means to every server what it means to the routes.
    ///
    /// What filters made of the path holds no dot segment, however often it is decoded; and of an ambiguous path they make
    /// what they make of its canonical form, as far as any server can tell.
    ///
    /// # Errors
    /// With the reason why not.
    #[expect(clippy::ptr_arg, reason = "what is borrowed is a part of what was checked")]
    pub fn check_sent(&self, route: &Route, sent: &Cow<'_, str>) -> Result<(), &'static str> {
        let canonical = match (&self.canonical, sent) {
            _ if !route.filters.change_path() => return Ok(()),
            // Whole segments of what was checked.
            (None, Cow::Borrowed(_)) => return Ok(()),
            (None, Cow::Owned(sent)) => {
                return match check_path(sent)? {
                    Spelling::Plain => Ok(()),
                    Spelling::Ambiguous => canonical_of(sent).map(drop),
                };
            }
            (Some(canonical), _) => canonical,
        };
        check_path(sent)?;
        if canonical_of(sent)? == canonical_of(&route.filters.rewrite(canonical))? {
            return Ok(());
        }
        Err(OTHER_PATH)
    }
}
