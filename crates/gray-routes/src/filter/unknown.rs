//! Filters that are not there: what they are, and what to do about it.

use gray_document::Item;

use crate::text::{quoted, suggestion};

/// Every filter that is taken.
pub(super) const TAKEN: [&str; 34] = [
    "AddRequestHeader",
    "AddRequestHeadersIfNotPresent",
    "AddRequestParameter",
    "AddResponseHeader",
    "CacheRequestBody",
    "CircuitBreaker",
    "DedupeResponseHeader",
    "FallbackHeaders",
    "Hystrix",
    "JsonWebToken",
    "MapRequestHeader",
    "PrefixPath",
    "PreserveHostHeader",
    "RedirectTo",
    "RemoveRequestHeader",
    "RemoveRequestParameter",
    "RemoveResponseHeader",
    "RequestHeaderSize",
    "RequestRateLimiter",
    "RequestSize",
    "Retry",
    "RewriteLocationResponseHeader",
    "RewritePath",
    "RewriteRequestParameter",
    "RewriteResponseHeader",
    "SaveSession",
    "SecureHeaders",
    "SetPath",
    "SetRequestHeader",
    "SetRequestHostHeader",
    "SetResponseHeader",
    "SetStatus",
    "StripPrefix",
    "TokenRelay",
];

/// Filters of Spring that are not taken: what they are and what to use instead.
const REFUSED: [(&str, &str); 7] = [
    (
        "JsonToGrpc",
        "bodies are passed on as they are; let the service answer JSON itself, or send gRPC through (`metadata.protocol: h2`)",
    ),
    (
        "LocalResponseCache",
        "answers are not kept here; put a cache in front of the gateway, or let the service say `Cache-Control`",
    ),
    ("RemoveJsonAttributesResponseBody", "bodies are passed on as they are; leave the attributes out in the service"),
    (
        "RequestHeaderToRequestUri",
        "a client would choose where the gateway connects to; write the targets as routes, with the predicate Header",
    ),
    (
        "SetRequestUri",
        "where a request goes is the route's `uri`; write one route for each target, and SetPath or RewritePath for the path",
    ),
    ("ModifyRequestBody", "it needs Java code, and bodies are passed on as they are; change the body in the service"),
    ("ModifyResponseBody", "it needs Java code, and bodies are passed on as they are; change the body in the service"),
];

/// Reports a filter that is not taken.
pub(super) fn report(item: &Item<'_>, name: &str) {
    if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return item.error(format!("filter `{name}` is not supported: {instead}"));
    }
    let hint = suggestion(name, TAKEN);
    let class: String = name.chars().take(60).filter(|c| c.is_alphanumeric()).collect();
    item.error(format!(
        "{} is not a filter of Spring Cloud Gateway: the system's own Java class ({class}GatewayFilterFactory); no Java runs \
         here: say what it does with the filters listed in docs/spring.md, or leave it to the services{hint}",
        quoted(name)
    ));
}
