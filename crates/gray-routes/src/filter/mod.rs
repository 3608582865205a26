//! Filters: what is changed between the client's request and the instance's, and on the way back.
//!
//! However many filters Spring has, they come to a few kinds of edits: of the path, the query, the header fields, the host,
//! the head of the answer. They are prepared when the route is built; a route without one kind has an empty list of it.

mod answer;
mod field;
mod location;
mod name;
mod path;
mod query;
mod read;
mod replacement;
mod response;
mod secure;
mod size;
mod unknown;

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, StatusCode};

pub use self::unknown::is_known_filter;
pub use self::{
    answer::Redirect,
    path::Rewritten,
    response::{Line, Remembered, ResponseEdits},
    size::FieldLimit,
};
pub(crate) use self::{
    answer::status,
    name::written,
    path::template as path_template,
    read::{Common, Filter},
    secure::SecureHeaders,
    unknown::{is_taken, refusal},
};
use self::{
    field::{FieldEdits, Value},
    path::PathStep,
    query::QueryEdit,
};
use crate::{
    CircuitBreaker, FallbackHeaders, Lookup, RateLimit, Retry, TokenCheck,
    breaker::BreakerSettings,
    variables::{EditError, Variables},
};

/// What a filter takes, and once more on every route that it is for.
pub(super) const FILTER: usize = 256;
/// Most edits of one kind on one route: as many lines more than that make a head that servers refuse.
const MAX_EDITS: usize = 64;

/// What one route changes, in the order of the document.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Send the client's Host header on instead of the instance's.
    pub preserve_host: bool,
    /// Which answers are not the last word.
    pub retry: Option<Retry>,
    /// When no instance is asked, and what is answered then.
    pub breaker: Option<Arc<CircuitBreaker>>,
    /// What is told of a failure that this route is the fallback of.
    pub fallback_headers: Option<FallbackHeaders>,
    /// Longest body of a request, in bytes.
    pub max_body: Option<u64>,
    /// Longest header field of a request.
    pub max_field: Option<FieldLimit>,
    /// Who may pass at all.
    pub token: Option<Arc<TokenCheck>>,
    /// How many may pass; all of these.
    pub rates: Vec<RateLimit>,
    /// The answer that the route gives itself.
    pub redirect: Option<Redirect>,
    /// What is made of the heads of answers.
    pub response: ResponseEdits,
    status: Option<SetStatus>,
    host: Option<Value>,
    path: Vec<PathStep>,
    query: Vec<QueryEdit>,
    fields: FieldEdits,
    /// Whether any of them asks for a variable of path or host.
    asks_variables: bool,
    /// Whether every request is turned away.
    is_refusing: bool,
}

/// `SetStatus`, and the field that gets the status of the instance.
#[derive(Clone, Debug)]
pub(crate) struct SetStatus {
    status: StatusCode,
    original: Option<HeaderName>,
}

impl Filters {
    /// The path that the instance gets to see. It has no empty segments: servers differ in what they take them for.
    ///
    /// # Errors
    /// When it gets too long.
    pub fn rewrite<'p>(&self, path: &'p str, variables: &Variables<'_>) -> Result<Rewritten<'p>, EditError> {
        path::apply(&self.path, path, variables)
    }

    /// Whether there is a filter of the path.
    pub(crate) fn change_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// Whether any filter asks for a variable of path or host.
    pub(crate) fn ask_variables(&self) -> bool {
        self.asks_variables
    }

    /// The query that the instance gets to see, without `?`.
    ///
    /// # Errors
    /// When it gets too long.
    pub fn query<'q>(
        &self,
        query: Option<&'q str>,
        variables: &Variables<'_>,
    ) -> Result<Option<Cow<'q, str>>, EditError> {
        query::apply(&self.query, query, variables)
    }

    /// The value of Host, if the route sets it: a value that is a host is for the caller to check.
    ///
    /// # Errors
    /// When a variable makes what no value can be.
    pub fn host(&self, variables: &Variables<'_>) -> Result<Option<Cow<'_, [u8]>>, EditError> {
        self.host.as_ref().map(|host| host.expand(variables)).transpose()
    }

    /// Whether the client's fields of this name stay behind. The case does not matter, nor whether there is `_` or `.` for
    /// `-`: some backends take these for the same name.
    pub fn removes(&self, name: &str) -> bool {
        self.fields.removes(name) || self.fallback_headers.as_ref().is_some_and(|headers| headers.has(name))
    }

    /// Names a circuit breaker that has no name after its route; returns how many bytes it takes then, besides what it took.
    ///
    /// # Errors
    /// The route has no name either.
    pub(crate) fn name_breaker(&mut self, id: &str, settings: &BreakerSettings) -> Result<usize, &'static str> {
        match &self.breaker {
            Some(breaker) if breaker.name.is_empty() && id.is_empty() => {
                Err("a circuit breaker needs a `name`, or its route an `id`")
            }
            Some(breaker) if breaker.name.is_empty() => {
                let named = breaker.named(id, settings);
                let bytes = named.size();
                self.breaker = Some(Arc::new(named));
                Ok(bytes)
            }
            _ => Ok(0),
        }
    }

    /// Writes the fields that the request gets besides; `client` has those that came.
    ///
    /// # Errors
    /// When they get too long, or a variable makes what no value can be.
    pub fn write_fields(
        &self,
        client: &impl Lookup,
        variables: &Variables<'_>,
        write: impl FnMut(&HeaderName, &[u8]),
    ) -> Result<(), EditError> {
        self.fields.write(client, variables, write)
    }

    /// What has to be remembered of a request until there is an answer; path, query and `host` are what
    /// the client asked for.
    ///
    /// # Errors
    /// When a variable makes what no value can be.
    pub fn remember(
        &self,
        (path, query): (&str, Option<&str>),
        host: Option<&str>,
        variables: &Variables<'_>,
    ) -> Result<Remembered, EditError> {
        let up_to = |place: usize| {
            let steps = self.path.get(..place).unwrap_or(&self.path);
            Ok(path::apply(steps, path, variables)?.path.into_owned())
        };
        let remembered = self.response.remember(host, variables, up_to)?;
        let to = self.redirect.as_ref().and_then(|redirect| redirect.location(query));
        Ok(match to {
            Some(to) => remembered.redirected(to),
            None => remembered,
        })
    }

    /// The status that the client gets for one of an instance; and the field that it gets the instance's in.
    pub fn status(&self, status: u16) -> (u16, Option<&HeaderName>) {
        match &self.status {
            // The connection is another one by then.
            Some(_) if status == 101 => (status, None),
            Some(SetStatus { status: set, original }) => (set.as_u16(), original.as_ref()),
            None => (status, None),
        }
    }

    /// More edits of one kind than a route may have, if there are.
    pub(crate) fn too_many(&self) -> Option<String> {
        let counts = [
            (self.fields.len(), "of header fields of requests"),
            (self.response.len(), "of heads of answers"),
            (self.path.len(), "of the path"),
            (self.query.len(), "of the query"),
        ];
        let (count, what) = counts.into_iter().find(|(count, _)| *count > MAX_EDITS)?;
        Some(format!("{count} filters {what}, common ones included: at most {MAX_EDITS} may be on one route"))
    }
}

impl Filters {
    /// Those of a route that turns every request away.
    pub(crate) fn refusing() -> Self {
        let status = SetStatus { status: StatusCode::FORBIDDEN, original: None };
        Self { status: Some(status), is_refusing: true, ..Self::default() }
    }

    /// Whether one of them stands for a guard that is not here.
    pub(crate) fn are_refusing(&self) -> bool {
        self.is_refusing
    }
}

impl Extend<Filter> for Filters {
    fn extend<I: IntoIterator<Item = Filter>>(&mut self, filters: I) {
        let in_one = |filter: Filter| match filter {
            Filter::Several(filters) => filters,
            filter => vec![filter],
        };
        for filter in filters.into_iter().flat_map(in_one) {
            // What stands behind a redirection is never come to; what keeps requests out counts wherever it stands.
            let is_behind = self.redirect.is_some();
            self.asks_variables |= !is_behind && filter.names().next().is_some();
            match filter {
                Filter::Nothing | Filter::Several(_) => {}
                Filter::Refused => self.is_refusing = true,
                Filter::MaxBody(max) => self.max_body = Some(max),
                Filter::MaxField(max) => self.max_field = Some(max),
                Filter::Token(token) => self.token = Some(token),
                Filter::Rate(rate) => self.rates.push(rate),
                _ if is_behind => {}
                Filter::PreserveHost => self.preserve_host = true,
                Filter::Host(host) => self.host = Some(host),
                Filter::Retry(retry) => self.retry = Some(retry),
                // The first one is around the others.
                Filter::Breaker(breaker) => {
                    self.breaker = Some(match self.breaker.take() {
                        Some(outer) => Arc::new(breaker.within(&outer)),
                        None => breaker,
                    });
                }
                Filter::FallbackHeaders(headers) => self.fallback_headers = Some(headers),
                Filter::Redirect(redirect) => self.redirect = Some(redirect),
                // The first one of the document is the last to see the answer.
                Filter::Status(status) => drop(self.status.get_or_insert(status)),
                // Refused in the end: nothing more is made of it.
                Filter::Path(_) if self.path.len() > MAX_EDITS => {}
                Filter::Path(PathStep::Prefix(_))
                    if self.path.iter().any(|step| matches!(step, PathStep::Prefix(_))) => {}
                Filter::Path(step) => self.path.push(step),
                Filter::Query(edit) => self.query.push(edit),
                Filter::Fields(edits) => edits.into_iter().for_each(|edit| self.fields.push(edit)),
                Filter::Response(edit) => self.response.push(edit.at(self.path.len())),
            }
        }
        self.fields.finish();
        self.response.finish();
    }
}
