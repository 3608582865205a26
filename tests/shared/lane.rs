//! A gray request's context, and the rules by which messages are written and read. Included by tests and benchmarks of adapters.

use std::time::Duration;

use gray_context::{HttpHeaders, MessageRules, MessageSigning, ReleaseContext};
use gray_core::{
    balance::{Fallback, VersionPolicy},
    lane::{SigningKey, SigningKeys},
};
use http::{HeaderMap, HeaderValue};

/// Two services have a version of their own on it.
pub(crate) const LANE: &str =
    "8f3a11c0;v2;-;audit-app=version:V2|version:V1;report-app=version:V2|version:V1;*=version:V1";

/// V1 in production, V2 in gray.
pub(crate) fn rules(is_signed: bool) -> MessageRules {
    let mut rules = MessageRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod));
    if is_signed {
        let keys = SigningKeys::new(SigningKey::new(b"a secret of the chain").expect("long enough"), []);
        rules.signing = Some(MessageSigning::new(keys, Duration::from_secs(3600), Duration::from_secs(60)));
    }
    rules
}

/// Of a request on the lane.
pub(crate) fn gray() -> ReleaseContext {
    let mut headers = HeaderMap::new();
    headers.insert("gray", HeaderValue::from_static("GRAY"));
    headers.insert("gray-lane", HeaderValue::from_static(LANE));
    ReleaseContext::extract(&HttpHeaders(&headers))
}
