//! What routes do. `/r` stands for the route's own prefix.

use super::{Draw, Piece};
use crate::release::Release::{V31, V43};

const DEFAULTS: [&str; 8] = [
    "AddRequestHeader=X-Default, 1",
    "AddResponseHeader=X-R, default",
    "StripPrefix=1",
    "DedupeResponseHeader=X-I X-R",
    "PrefixPath=/pre",
    "PreserveHostHeader",
    "RemoveRequestHeader=X-P",
    "SecureHeaders",
];

const FILTERS: [Piece; 66] = [
    (V31, "StripPrefix=1"),
    (V31, "StripPrefix=1"),
    (V31, "StripPrefix=1"),
    (V31, "StripPrefix=2"),
    (V31, "StripPrefix=0"),
    (V31, "PrefixPath=/api"),
    (V31, "PrefixPath=/api/v1"),
    (V31, "SetPath=/set/path"),
    (V31, "SetPath=/"),
    (V31, "RewritePath=/r/?(?<rest>.*), /$\\{rest}"),
    (V31, "RewritePath=/r/(?<rest>.*), /$\\{rest}"),
    (V31, "RewritePath=/r(?<rest>/?.*), $\\{rest}"),
    (V31, "RewritePath=^/r/(.*)$, /y/$1"),
    (V31, "RewritePath=/r/[^/]+/(?<x>.*), /x/$\\{x}"),
    (V31, "RewritePath=/+, /"),
    (V31, "RewritePath=a, b"),
    (V31, "RewritePath=/r(?!/a), /not-a"),
    (V31, "RewritePath=/r/(?<n>\\d+)/(?<x>.*), /$\\{x}/$\\{n}"),
    (V31, "AddRequestHeader=X-A, 1"),
    (V31, "AddRequestHeader=X-P, added"),
    (V31, "AddRequestHeader=X-A, a b  c"),
    (V31, "SetRequestHeader=X-P, set"),
    (V31, "SetRequestHeader=x-n, set"),
    (V31, "RemoveRequestHeader=X-P"),
    (V31, "RemoveRequestHeader=x-q"),
    (V31, "MapRequestHeader=X-P, X-M"),
    (V31, "MapRequestHeader=X-None, X-M"),
    (V43, "AddRequestHeadersIfNotPresent=X-P:1,X-N:2"),
    (V31, "AddRequestParameter=q, z"),
    (V31, "AddRequestParameter=n, 1"),
    (V31, "AddRequestParameter=n, a b"),
    (V31, "RemoveRequestParameter=q"),
    (V31, "RemoveRequestParameter=n"),
    (V43, "RewriteRequestParameter=q, new"),
    (V31, "PreserveHostHeader"),
    (V31, "SetRequestHostHeader=other.example"),
    (V31, "SetRequestHostHeader=other.example:81"),
    (V31, "AddResponseHeader=X-R, 1"),
    (V31, "AddResponseHeader=X-I, 1"),
    (V31, "SetResponseHeader=X-R, 2"),
    (V31, "SetResponseHeader=X-I, 2"),
    (V31, "RemoveResponseHeader=X-I"),
    (V31, "RemoveResponseHeader=x-r"),
    (V31, "RewriteResponseHeader=X-I, a, b"),
    (V31, "RewriteResponseHeader=X-I, (?<l>[ab]), $\\{l}$\\{l}"),
    (V31, "RewriteResponseHeader=Location, http://[^/]+, https://shop.example"),
    (V31, "DedupeResponseHeader=X-I"),
    (V31, "DedupeResponseHeader=X-I X-R, RETAIN_LAST"),
    (V31, "DedupeResponseHeader=X-I, RETAIN_UNIQUE"),
    (V31, "RewriteLocationResponseHeader"),
    (V31, "RewriteLocationResponseHeader=ALWAYS_STRIP"),
    (V31, "RewriteLocationResponseHeader=NEVER_STRIP, Location, new.example"),
    (V31, "SecureHeaders"),
    (V31, "SetStatus=201"),
    (V31, "SetStatus=NOT_FOUND"),
    (V31, "SetStatus=204"),
    (V31, "RequestSize=3B"),
    (V31, "RequestSize=1KB"),
    (V31, "RequestHeaderSize=400B"),
    (V31, "RequestHeaderSize=20B"),
    (V31, "RedirectTo=302, https://new.example"),
    (V31, "RedirectTo=301, http://new.example/path"),
    (V43, "RedirectTo=302, https://new.example, true"),
    (V31, "SaveSession"),
    (V31, "Retry=2"),
    (V31, "CacheRequestBody=java.lang.String"),
];

/// With the variables `a`, `b`, `n`, `rest` in place of `VAR`.
const WITH_VARIABLES: [&str; 10] = [
    "AddRequestHeader=X-A, VAR",
    "AddRequestHeader=X-A, <VAR>",
    "SetRequestHeader=X-P, VAR",
    "AddResponseHeader=X-R, VAR",
    "SetResponseHeader=X-R, got VAR",
    "AddRequestParameter=n, VAR",
    "PrefixPath=/api/VAR",
    "SetPath=/set/VAR",
    "SetPath=/VAR/x",
    "SetRequestHostHeader=VAR.example",
];

/// For all routes of a document.
pub(super) fn default(draw: &mut Draw) -> &'static str {
    DEFAULTS[draw.below(DEFAULTS.len())]
}

/// For one route.
pub(super) fn any(variables: &[&str], draw: &mut Draw) -> (crate::release::Release, String) {
    if !variables.is_empty() && draw.percent(60) {
        let variable = format!("{{{}}}", draw.pick(variables));
        return (V31, WITH_VARIABLES[draw.below(WITH_VARIABLES.len())].replace("VAR", &variable));
    }
    let (since, text) = FILTERS[draw.below(FILTERS.len())];
    (since, text.to_owned())
}
