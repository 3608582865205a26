//! `gray.spring.fallbacks`: what the gateway answers where a `fallbackUri` names a Java controller.

mod chain;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gray_document::{Budget, Item, Section};
use gray_expression::{StepLimit, Steps};
use http::{HeaderValue, StatusCode};

use crate::{filter::status, pattern::PathPattern, text::quoted};

/// Most answers.
const MAX_ANSWERS: usize = 256;
/// Longest body, in bytes.
const MAX_BODY: usize = 64 << 10;
/// What an answer takes besides its body.
const ANSWER: usize = 512;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackAnswer {
    /// 200 to 599.
    pub status: StatusCode,
    /// What its body is.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Arc<str>,
}

/// The answers, by path.
#[derive(Clone, Debug, Default)]
pub struct FallbackAnswers(Vec<(PathPattern, FallbackAnswer)>);

impl FallbackAnswers {
    /// The first answer, as written, whose path is this one; one without a pattern comes before all others.
    ///
    /// # Errors
    /// It is not known, because the expressions of the patterns would take more steps than they may.
    pub fn find(&self, path: &str) -> Result<Option<&FallbackAnswer>, StepLimit> {
        if let Some((_, answer)) = self.0.iter().find(|(pattern, _)| pattern.text() == path) {
            return Ok(Some(answer));
        }
        let steps = Steps::default();
        for (pattern, answer) in &self.0 {
            if pattern.matches(path, true, &steps)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Reads `gray.spring.fallbacks`.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let keys = section.keys();
        if let Some((_, item)) = keys.get(MAX_ANSWERS) {
            item.error(format!(
                "at most {MAX_ANSWERS} fallbacks may be written; a path may be a pattern (/fallback/**)"
            ));
        }
        let answers = keys.iter().take(MAX_ANSWERS).filter_map(|(path, item)| {
            let answer = FallbackAnswer::read(item)?;
            let pattern = pattern(path, item.budget()).map_err(|reason| item.error(reason)).ok()?;
            Some((pattern, answer))
        });
        Self(answers.collect())
    }
}

/// A path or a pattern, with the scheme or without.
fn pattern(text: &str, budget: &Budget) -> Result<PathPattern, String> {
    PathPattern::parse(text.strip_prefix("forward:").unwrap_or(text).trim(), budget)
}

impl FallbackAnswer {
    fn read(item: &Item<'_>) -> Option<Self> {
        if !item.is_map() {
            item.error("expected an answer: { status: 503, body: '...', contentType: application/json }");
            return None;
        }
        let section = item.section();
        let status = match section.string("status") {
            None => Ok(StatusCode::SERVICE_UNAVAILABLE),
            Some(text) => match status(&text) {
                Ok(status) if (200..600).contains(&status.as_u16()) => Ok(status),
                _ => Err(format!("expected a status from 200 to 599, such as 503, found {}", quoted(&text))),
            },
        };
        let status = status.map_err(|reason| section.error("status", reason)).ok();
        let body = section.string("body").unwrap_or_default();
        if body.len() > MAX_BODY {
            section.error("body", format!("it has {} bytes: at most {MAX_BODY} are kept", body.len()));
            return None;
        }
        let is_json = body.starts_with(['{', '[']);
        let kind = section.string("contentType");
        let kind = kind.as_deref().unwrap_or(if is_json { "application/json" } else { "text/plain;charset=UTF-8" });
        let content_type = HeaderValue::from_str(kind).ok().filter(|_| !kind.is_empty());
        if content_type.is_none() {
            section.error("contentType", format!("expected a type such as application/json, found {}", quoted(kind)));
        }
        section.reject_unknown();
        let is_kept = item.spend("fallbacks", ANSWER + body.len());
        Some(Self { status: status?, content_type: content_type?, body: body.into() }).filter(|_| is_kept)
    }
}
