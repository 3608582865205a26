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

/// What the names of own filters tell of them, in lower case, and what does the same here.
const NEAREST: [(&str, &str); 14] = [
    ("auth", "JsonWebToken"),
    ("token", "JsonWebToken"),
    ("jwt", "JsonWebToken"),
    ("login", "JsonWebToken"),
    ("permission", "JsonWebToken"),
    ("security", "JsonWebToken"),
    ("limit", "RequestRateLimiter"),
    ("throttl", "RequestRateLimiter"),
    ("prefix", "StripPrefix or PrefixPath"),
    ("path", "RewritePath"),
    ("header", "SetRequestHeader"),
    ("retry", "Retry"),
    ("log", "the access log (--access-log), so `drop` it"),
    ("trace", "the access log (--access-log), so `drop` it"),
];

/// Whether this is a filter of Spring or of this gateway, taken or not: any other is of the system's own Java code.
pub fn is_known_filter(name: &str) -> bool {
    is_taken(name) || refusal(name).is_some()
}

/// Whether this is the name of a filter that is taken.
pub(crate) fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name)
}

/// Why a filter of Spring's is not taken, if it is one.
pub(crate) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, instead)| *instead)
}

/// What is nearest to a filter of the system's own.
fn nearest(name: &str) -> String {
    let close = suggestion(name, TAKEN);
    let name = name.to_ascii_lowercase();
    match NEAREST.iter().find(|(part, _)| name.contains(part)) {
        _ if !close.is_empty() => close,
        Some((_, ours)) => format!("; by its name, nearest to it is {ours}"),
        None => String::new(),
    }
}

/// Reports a filter that is not taken.
pub(super) fn report(item: &Item<'_>, name: &str) {
    if let Some(instead) = refusal(name) {
        return item.error(format!(
            "filter `{name}` is not supported: {instead}. Where the document stays as it is: `gray.spring.filters.{name}`, \
             `refuse` or `{{ drop: \"why\" }}`"
        ));
    }
    let hint = nearest(name);
    let class: String = name.chars().take(60).filter(|c| c.is_alphanumeric()).collect();
    item.error(format!(
        "{} is not a filter of Spring Cloud Gateway: the system's own Java class ({class}GatewayFilterFactory); no Java runs \
         here: `gray.spring.filters.{class}` says what stands for it: `{{ use: FILTER, args: {{ ... }} }}`, `refuse` (its routes \
         answer 403) or `{{ drop: \"why\" }}`{hint}",
        quoted(name)
    ));
}
