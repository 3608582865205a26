//! Which route takes a request whose path other servers could read in another way.

use std::{borrow::Cow, sync::Arc};

use gray_expression::{StepLimit, Steps};

use crate::{
    EditError, Lookup, Rewritten, Route, RouteTable, Spelling, Variables, check_path,
    pattern::PathPattern,
    predicate::Predicate,
    spelling::{Forms, canonical_of},
    text::any,
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
    /// What the variables of its path and host stand for, if any of its filters asks.
    pub variables: Variables<'t>,
    /// The canonical form of its path, where that is not the path itself, and its variables.
    canonical: Option<(String, Variables<'t>)>,
    is_ambiguous: bool,
}

/// Why no route is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Servers could read the path in another way: 400.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// It is not known which one it is: 400.
    #[error(transparent)]
    StepLimit(#[from] StepLimit),
}

impl From<&'static str> for ResolveError {
    fn from(reason: &'static str) -> Self {
        Self::Ambiguous(reason)
    }
}

/// Why a path is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Servers could read it in another way: 400.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// The route's filters cannot be applied to it.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl RouteTable {
    /// The route that [`find`](Self::find) finds for a request whose path has been [checked](check_path). The path of one
    /// that is ambiguous is routed in every form that another server could read it in; `%2f` in a variable is not a slash
    /// where the route says so.
    ///
    /// # Errors
    /// When another route takes another form; when a form holds a dot segment; when it is not known which route it is.
    pub fn resolve(&self, request: &impl Lookup, spelling: Spelling) -> Result<Resolved<'_>, ResolveError> {
        let steps = Steps::default();
        let route = self.find_by(request.path(), request, &steps)?;
        match spelling {
            Spelling::Plain => Ok(self.resolved(request, route, None, &steps)?),
            Spelling::Ambiguous => {
                let canonical = self.canonical(request, route, &steps)?;
                Ok(Resolved { is_ambiguous: true, ..self.resolved(request, route, canonical, &steps)? })
            }
        }
    }

    fn resolved<'t>(
        &'t self,
        request: &impl Lookup,
        route: Option<&'t Arc<Route>>,
        canonical: Option<String>,
        steps: &Steps,
    ) -> Result<Resolved<'t>, StepLimit> {
        let variables = |path: &str| match route {
            Some(route) => self.variables(route, path, self.host_of(request), steps),
            None => Ok(Variables::default()),
        };
        let canonical = match canonical {
            Some(path) => {
                let variables = variables(&path)?;
                Some((path, variables))
            }
            None => None,
        };
        Ok(Resolved { route, variables: variables(request.path())?, canonical, is_ambiguous: false })
    }

    /// The canonical form of an ambiguous path, where that is not the path itself.
    #[cold]
    fn canonical(
        &self,
        request: &impl Lookup,
        route: Option<&Arc<Route>>,
        steps: &Steps,
    ) -> Result<Option<String>, ResolveError> {
        let forms = Forms::of(request.path())?;
        if let Some(route) = route.filter(|route| route.metadata.encoded_slash)
            && self.holds_slashes(route.place, request.path(), steps)?
        {
            return Ok(None);
        }
        let place = route.map(|route| route.place);
        for path in forms.others() {
            let other = self.find_by(path, request, steps)?;
            if other.is_some_and(|other| place != Some(other.place)) {
                return Err(OTHER_ROUTE.into());
            }
        }
        Ok(forms.canonical())
    }

    /// Whether `%2f` is all that is ambiguous about the path, and always within a variable of the route's.
    pub(super) fn holds_slashes(&self, place: usize, path: &str, steps: &Steps) -> Result<bool, StepLimit> {
        let rest = path.replace("%2f", "-").replace("%2F", "-");
        if check_path(&rest) != Ok(Spelling::Plain) {
            return Ok(false);
        }
        for predicate in self.predicates.get(place).into_iter().flatten() {
            let Predicate::Path { patterns, trailing_slash } = predicate else { continue };
            let holds = |pattern: &PathPattern| {
                Ok(pattern.holds_slashes(path) && pattern.matches(path, *trailing_slash, steps)?)
            };
            if !any(patterns, holds)? {
                return Ok(false);
            }
        }
        Ok(true)
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

impl<'t> Resolved<'t> {
    /// A route that was found otherwise than by the path, and has no filters: the path is sent as it came.
    pub fn as_sent(route: &'t Arc<Route>) -> Self {
        Self { route: Some(route), variables: Variables::default(), canonical: None, is_ambiguous: false }
    }
}

impl Resolved<'_> {
    /// The path that is sent: what the route's filters make of the one that came, without empty segments. It means to every
    /// server what it means to the routes.
    ///
    /// What filters made of the path holds no dot segment, however often it is decoded; and of an ambiguous path they make
    /// what they make of its canonical form, as far as any server can tell.
    ///
    /// # Errors
    /// With the reason why it is not sent.
    pub fn send<'p>(&self, route: &Route, path: &'p str) -> Result<Rewritten<'p>, SendError> {
        if !self.is_ambiguous && !route.filters.change_path() {
            return Ok(Rewritten::plain(path));
        }
        let sent = route.filters.rewrite(path, &self.variables)?;
        self.check_sent(route, &sent.path)?;
        Ok(sent)
    }

    #[expect(clippy::ptr_arg, reason = "what is borrowed is a part of what was checked")]
    fn check_sent(&self, route: &Route, sent: &Cow<'_, str>) -> Result<(), SendError> {
        let (canonical, variables) = match (&self.canonical, sent) {
            // Whole segments of what was checked.
            (None, Cow::Borrowed(_)) => return Ok(()),
            (None, Cow::Owned(sent)) => {
                return match check_path(sent).map_err(SendError::Ambiguous)? {
                    Spelling::Plain => Ok(()),
                    Spelling::Ambiguous => canonical_of(sent).map(drop).map_err(SendError::Ambiguous),
                };
            }
            (Some((canonical, variables)), _) => (canonical, variables),
        };
        check_path(sent).map_err(SendError::Ambiguous)?;
        let canonically = match route.filters.rewrite(canonical, variables) {
            Ok(rewritten) => canonical_of(&rewritten.path),
            // A pattern of the route does not take the canonical form.
            Err(EditError::Missing) => return Err(SendError::Ambiguous(OTHER_PATH)),
            Err(error) => return Err(error.into()),
        };
        if canonical_of(sent).map_err(SendError::Ambiguous)? == canonically.map_err(SendError::Ambiguous)? {
            return Ok(());
        }
        Err(SendError::Ambiguous(OTHER_PATH))
    }
}
