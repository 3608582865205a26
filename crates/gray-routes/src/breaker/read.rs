//! Reading the filters `CircuitBreaker` and `Hystrix`.

use gray_document::Item;

use super::{BreakerSettings, CircuitBreaker, FallbackUri};
use crate::{
    Spelling, check_path,
    definition::{Definition, truth},
    filter::{path_template, status},
    text::quoted,
};

/// Longest name, in bytes.
const MAX_NAME: usize = 100;
/// Most statuses that count as failures.
const MAX_STATUSES: usize = 200;

impl CircuitBreaker {
    /// Reads `CircuitBreaker`, or `Hystrix`; what is wrong with it is reported.
    pub(crate) fn read(mut definition: Definition<'_>, item: &Item<'_>, settings: &BreakerSettings) -> Option<Self> {
        let is_hystrix = definition.name == "Hystrix";
        if definition.name_places(&["name", "fallbackUri"]) {
            item.warn(
                "Spring reads `name=` of the short form as part of the name and ignores `fallbackUri=`; here both are read as \
                 keys. For Spring write { name: CircuitBreaker, args: { name: ..., fallbackUri: ... } }",
            );
        }
        let written = definition.take("statusCodes", None);
        if let Some(value) = written.get(MAX_STATUSES) {
            value.at.error("more values than there are statuses; write each once");
            return None;
        }
        let statuses: Vec<_> =
            written.iter().map(|value| value.convert(|text| status(text).map(|status| status.as_u16()))).collect();
        let statuses: Option<Vec<u16>> = statuses.into_iter().collect();
        let parameters = [("name", &[][..]), ("fallbackUri", &[]), ("resumeWithoutError", &[])];
        let [name, fallback, resumes] = definition.bind(parameters, usize::from(is_hystrix))?;
        let name = match name {
            Some(name) => name.convert(self::name)?,
            None => String::new(),
        };
        let fallback = match fallback {
            Some(fallback) => Some(fallback.convert(fallback_uri)?),
            None => None,
        };
        let resumes = resumes.map_or(Some(false), |resumes| resumes.convert(truth))?;
        let (policy, time_limit) = settings.of(&name, is_hystrix);
        let (name, statuses) = (name.into(), statuses?.into());
        let breaker = Self { name, policy, time_limit, fallback, resumes, statuses, is_hystrix };
        item.spend("circuit breakers", breaker.size()).then_some(breaker)
    }
}

/// A name that can be shown anywhere.
fn name(text: &str) -> Result<String, String> {
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("expected a name of at most {MAX_NAME} bytes on one line, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

/// `forward:/path?query`, or without the scheme.
fn fallback_uri(text: &str) -> Result<FallbackUri, String> {
    let target = text.strip_prefix("forward:").unwrap_or(text).trim();
    if !target.starts_with('/') {
        return Err(format!(
            "expected forward:/path, a path of this gateway, found {}: a fallback is answered here and not elsewhere",
            quoted(text)
        ));
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '<' | '>' | '{' | '}' | '"');
    if let Some(wrong) = query.and_then(|query| query.chars().find(|c| !fits(*c))) {
        let wrong = wrong.escape_debug();
        return Err(format!(
            "{}: `{wrong}` cannot stand in a query unencoded, and nothing is filled in there",
            quoted(text)
        ));
    }
    let fallback = FallbackUri { path: path_template(path)?, query: query.map(Into::into) };
    match check_path(&fallback.sample()) {
        Ok(Spelling::Plain) => Ok(fallback),
        Ok(Spelling::Ambiguous) => Err(format!(
            "{}: servers read this path in different ways; write it without `//`, `%` and `;`",
            quoted(text)
        )),
        Err(reason) => Err(format!("{}: {reason}", quoted(text))),
    }
}
