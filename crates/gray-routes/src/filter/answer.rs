//! Answers without an instance, and other statuses: `RedirectTo`, `SetStatus`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use crate::{
    definition::{Definition, relaxed, truth},
    text::quoted,
};

/// `RedirectTo`: the route answers so itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 300 to 399.
    pub status: StatusCode,
    url: Arc<str>,
    with_query: bool,
}

impl Redirect {
    /// Where a request with this query is sent.
    pub fn location(&self, query: Option<&str>) -> Option<HeaderValue> {
        let Some(query) = query.filter(|query| self.with_query && !query.is_empty()) else {
            return self.url.parse().ok();
        };
        let (url, fragment) = self.url.find('#').map_or((&*self.url, ""), |at| self.url.split_at(at));
        let separator = match url.find('?') {
            None => "?",
            Some(_) if url.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        HeaderValue::from_bytes([url, separator, query, fragment].concat().as_bytes()).ok()
    }

    pub(super) fn read(definition: &Definition<'_>) -> Option<Self> {
        let [code, url, with_query] =
            definition.bind([("status", &[]), ("url", &[]), ("includeRequestParams", &[])], 2)?;
        let status = code?.convert(|text| {
            let status = status(text)?;
            status.is_redirection().then_some(status).ok_or_else(|| {
                format!("expected a status of a redirection, such as 302 or FOUND, found {}", quoted(text))
            })
        })?;
        let url = url?.convert(|text| {
            let fits =
                |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
            match text.chars().find(|c| !fits(*c)) {
                None => Ok(Arc::from(text)),
                Some(wrong) => Err(format!(
                    "{} is not a URL: `{}` cannot stand in one, and nothing is filled in here",
                    quoted(text),
                    wrong.escape_debug()
                )),
            }
        })?;
        let with_query = with_query.map_or(Some(false), |text| text.convert(truth))?;
        Some(Self { status, url, with_query })
    }
}

/// `302` or `FOUND`. Mirrors `HttpStatusHolder`.
pub(crate) fn status(text: &str) -> Result<StatusCode, String> {
    let known = |code: u16| StatusCode::from_u16(code).ok().filter(|status| is_called(*status, text));
    let number = text.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    number
        .or_else(|| (100..600).find_map(known))
        .ok_or_else(|| format!("expected a status such as 302 or FOUND, found {}", quoted(text)))
}

fn is_called(status: StatusCode, text: &str) -> bool {
    let reason = status.canonical_reason();
    reason.is_some_and(|reason| relaxed(&reason.replace([' ', '\''], "")) == relaxed(text))
}

/// Reads the status of `SetStatus`: one that a whole answer can have.
pub(super) fn set_status(text: &str) -> Result<StatusCode, String> {
    let status = status(text)?;
    if (200..600).contains(&status.as_u16()) {
        return Ok(status);
    }
    Err(format!("expected a status from 200 to 599, such as 401 or UNAUTHORIZED, found {}", quoted(text)))
}
