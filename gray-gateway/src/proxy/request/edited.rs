//! What a route's filters make of a request, apart from its fields.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use super::view::RequestView;
use crate::{
    proxy::{http1::is_host, response::error::Failure},
    route::{EditError, Remembered, Resolved, Rewritten, Route, SendError, Variables},
};

/// What is sent in place of what the client asked for, and what its answer will be edited by.
pub(super) struct Edited<'p, 's> {
    pub(super) path: Rewritten<'p>,
    /// Without `?`.
    pub(super) query: Option<Cow<'p, str>>,
    /// The host that the route sets.
    pub(super) host: Option<Cow<'s, [u8]>>,
    pub(super) remembered: Remembered,
    /// What the variables of the route stand for.
    pub(super) variables: &'p Variables<'s>,
}

impl<'p, 's> Edited<'p, 's> {
    /// Applies the filters of the route.
    ///
    /// # Errors
    /// They make what cannot be sent, or what means different things to different servers.
    pub(super) fn of(
        view: &'p RequestView<'_, '_>,
        resolved: &'p Resolved<'s>,
        route: &'s Route,
    ) -> Result<Self, Failure<'s>> {
        let (filters, variables) = (&route.filters, &resolved.variables);
        let path = resolved.send(route, view.checked.path).map_err(|error| match error {
            SendError::Ambiguous(reason) => Failure::BadRequest(reason),
            SendError::Edit(error) => Failure::of_target(error, route),
        })?;
        if route.hides(&path.path) {
            return Err(Failure::NoRoute);
        }
        if let Cow::Owned(path) = &path.path
            && let Err(error) = PathAndQuery::try_from(&**path)
        {
            tracing::warn!(route = &*route.id, %error, "the route's filters made a path that cannot be sent");
            return Err(Failure::Internal { route: &route.id });
        }
        let query = filters.query(view.checked.query, variables).map_err(|error| Failure::of_target(error, route))?;
        let host = filters.host(variables).map_err(|error| Failure::of_field(error, route))?;
        if host.as_ref().is_some_and(|host| !is_host(host)) {
            return Err(Failure::BadRequest("a variable of the route makes an invalid Host"));
        }
        let target = (view.checked.path, view.checked.query);
        let remembered = filters.remember(target, view.asked.host(), variables);
        let remembered = remembered.map_err(|error| Failure::of_field(error, route))?;
        Ok(Self { path, query, host, remembered, variables })
    }
}

impl<'s> Failure<'s> {
    fn of_target(error: EditError, route: &'s Route) -> Self {
        match error {
            EditError::BadRequest(reason) => Self::BadRequest(reason),
            EditError::StepLimit(_) => Self::StepLimit,
            EditError::TooLong => Self::UriTooLong,
            EditError::Missing => Self::Internal { route: &route.id },
        }
    }

    /// What is wrong with the fields that a route's filters make.
    pub(super) fn of_field(error: EditError, route: &'s Route) -> Self {
        match error {
            EditError::TooLong => Self::HeadTooLarge,
            error => Self::of_target(error, route),
        }
    }
}
