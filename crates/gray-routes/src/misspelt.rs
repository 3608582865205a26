//! Keys beside the routes that can only be meant for something that decides where requests go and who may pass: they must
//! not be without effect.

use gray_document::Section;

use super::{definition::relaxed, text::suggestion};

const KNOWN: [&str; 10] = [
    "routes",
    "default-filters",
    "httpclient",
    "loadbalancer",
    "globalcors",
    "discovery",
    "filter",
    "set-status",
    "predicate",
    "trusted-proxies",
];

/// What Spring Cloud Gateway has besides, from 2.0 to 5.0: keys that are none of these never did anything there.
const SPRINGS: [&str; 19] = [
    "actuator",
    "enabled",
    "fail-on-route-definition-error",
    "forwarded",
    "function",
    "global-filter",
    "handler-mapping",
    "httpserver",
    "metrics",
    "mvc",
    "observability",
    "proxy-exchange",
    "redis-rate-limiter",
    "restrictive-property-accessor",
    "route-filter-cache-enabled",
    "route-refresh-listener",
    "server",
    "streaming-media-types",
    "x-forwarded",
];

/// Notes an error at each of them, and a warning at what is not a setting of Spring's either.
pub(super) fn refuse(sections: &[&Section<'_>]) {
    let is_known = |name: &str| KNOWN.iter().any(|known| relaxed(known) == relaxed(name));
    let is_springs = |name: &str| SPRINGS.iter().any(|known| relaxed(known) == relaxed(name));
    let keys = sections.iter().flat_map(|section| section.peek_keys().into_iter().map(move |key| (section, key)));
    for (section, (key, item)) in keys {
        let refuse = |message: String| {
            item.error(message);
            // Said once is enough: it counts as known from here on.
            section.has(&key);
        };
        let hint = if is_known(&key) { String::new() } else { suggestion(&key, KNOWN) };
        if !hint.is_empty() {
            refuse(format!("unknown key{hint}"));
        } else if !is_known(&key) && !is_springs(&key) {
            item.warn("not a setting of Spring Cloud Gateway: it never did anything; the key can go");
            section.has(&key);
        }
    }
}
