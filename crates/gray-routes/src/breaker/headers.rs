//! `FallbackHeaders`: what a fallback is told of the failure.

use std::sync::Arc;

use http::HeaderName;

use crate::{definition::Definition, filter::written, lookup::is_same};

/// `FallbackHeaders`: the fields in which a fallback is told what has failed. No client can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackHeaders(Arc<[HeaderName; 4]>);

impl FallbackHeaders {
    /// The fields with their values: class and message of the failure, then those of its cause.
    pub fn fields<'v>(
        &self,
        failure: [&'v str; 2],
        cause: [&'v str; 2],
    ) -> impl Iterator<Item = (&HeaderName, &'v str)> {
        self.0.iter().zip(failure.into_iter().chain(cause))
    }

    /// Whether this is one of them, in any spelling.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| is_same(known.as_str(), name))
    }

    pub(crate) fn read(definition: &Definition<'_>) -> Option<Self> {
        let [failure, message, cause, cause_message] = definition.bind(
            [
                ("executionExceptionTypeHeaderName", &[]),
                ("executionExceptionMessageHeaderName", &[]),
                ("rootCauseExceptionTypeHeaderName", &[]),
                ("rootCauseExceptionMessageHeaderName", &[]),
            ],
            0,
        )?;
        let name = |given: Option<crate::definition::Value<'_>>, default: &'static str| match given {
            Some(given) => given.convert(written),
            None => Some(HeaderName::from_static(default)),
        };
        Some(Self(Arc::new([
            name(failure, "execution-exception-type")?,
            name(message, "execution-exception-message")?,
            name(cause, "root-cause-exception-type")?,
            name(cause_message, "root-cause-exception-message")?,
        ])))
    }
}
