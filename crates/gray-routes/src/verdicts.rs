//! Settings of Spring that nothing here reads: what each of them means for a gateway that takes over.
//!
//! One table, from pattern to verdict. What changes an answer, or who may have one, is an error until the mapping document says
//! what stands for it or why it can go ([`Acknowledged`]); what changes nothing is a note. A key that is in no row is judged as
//! before: a warning. Rows are tried in order, and what is read elsewhere is never in question.

use gray_document::{Item, Section, boolean};

use crate::{
    mapping::{Acknowledged, KEY},
    read::OLD,
};

/// How much a key matters that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Answers differ, or requests get through that did not.
    Error,
    /// Something differs that most systems do not depend on.
    Warning,
    /// Nothing differs.
    Note,
}

use Verdict::{Error, Note, Warning};

/// Under which key the pattern stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Under {
    /// `spring.cloud.gateway`, or its newer name.
    Gateway,
    /// The root.
    Root,
}

/// One row: a pattern of keys (`*` is any one), the value that it is for (none: any), and what to say.
type Row = (Under, &'static str, Option<bool>, Verdict, &'static str);

const G: Under = Under::Gateway;
const R: Under = Under::Root;
const TABLE: &[Row] = &[
    // Who may pass.
    (
        R,
        "spring.security.oauth2.client",
        None,
        Error,
        "Spring Security's login at the gateway: there is no login here, and every request is let through. Put the login in front, \
         or let clients send tokens that the filter JsonWebToken checks (`default-filters`)",
    ),
    (
        R,
        "spring.security.oauth2.resourceserver",
        None,
        Error,
        "Spring Security checks tokens by this, and here every request is let through: let the filter JsonWebToken check them \
         (`default-filters`)",
    ),
    (
        R,
        "spring.security.*",
        None,
        Error,
        "Spring Security keeps requests out by this and by Java code, and here every request is let through: let the filter \
         JsonWebToken or predicates such as RemoteAddr keep them out, or the services",
    ),
    // How many may pass.
    (R, "spring.cloud.sentinel.enabled", None, Note, "Sentinel does not run here"),
    (
        R,
        "spring.cloud.sentinel.datasource",
        None,
        Error,
        "rules of Sentinel (flow, API groups) limit requests in Java, and no limit is in force here: write them as filters \
         RequestRateLimiter, or as `metadata.max-in-flight`",
    ),
    (
        R,
        "spring.cloud.sentinel.scg",
        None,
        Note,
        "how Sentinel answers what it blocks; limits here answer 429 (RequestRateLimiter) and 503 (`max-in-flight`)",
    ),
    (
        R,
        "spring.cloud.sentinel.*",
        None,
        Warning,
        "Sentinel does not run here: limits that are set in its dashboard are not in force; write them as filters \
         RequestRateLimiter",
    ),
    // What paths mean.
    (
        R,
        "spring.webflux.base-path",
        None,
        Error,
        "Spring's paths all begin with this prefix; here they do not: put it into the patterns of Path, and a StripPrefix behind",
    ),
    (R, "spring.codec.max-in-memory-size", None, Note, "bodies are not held in memory here"),
    // Where requests go.
    (
        G,
        "httpclient.proxy",
        None,
        Error,
        "Spring connects to instances through this proxy, and this gateway directly: take the proxy out, or give its address \
         as the `uri`",
    ),
    (
        G,
        "httpclient.ssl.use-insecure-trust-manager",
        Some(true),
        Warning,
        "certificates of instances are verified here all the same, and one that is not trusted is a 502: give its CA by \
         --upstream-ca (GRAY_UPSTREAM_CA); no flag turns the check off",
    ),
    (G, "httpclient.ssl.use-insecure-trust-manager", None, Note, "certificates of instances are verified, as set"),
    (
        G,
        "httpclient.ssl.trusted-x509-certificates",
        None,
        Warning,
        "certificates that are to be trusted are given by --upstream-ca (GRAY_UPSTREAM_CA), a PEM file; it counts beside \
         Mozilla's, where Spring trusts these alone",
    ),
    (G, "httpclient.ssl.handshake-timeout", None, Note, "the handshake is a part of `connect-timeout` here"),
    (G, "httpclient.ssl.close-notify-flush-timeout", None, Note, "how Netty ends a connection; answers are the same"),
    (G, "httpclient.ssl.close-notify-read-timeout", None, Note, "how Netty ends a connection; answers are the same"),
    (G, "httpclient.ssl.default-configuration-type", None, Note, "how Netty is set up; answers are the same"),
    (
        G,
        "httpclient.ssl.*",
        None,
        Error,
        "a certificate that the gateway shows to instances: none is shown here, and instances that ask for one refuse the \
         connection",
    ),
    // How Netty works.
    (G, "httpclient.pool", None, Note, "the pool of connections is kept without settings here"),
    (G, "httpclient.wiretap", None, Note, "a log of bytes for debugging; answers are the same"),
    (G, "httpclient.compression", None, Note, "bodies are passed on as instances send them"),
    (G, "httpclient.max-header-size", None, Note, "heads of answers may have 64 KiB here"),
    (
        G,
        "httpclient.max-initial-line-length",
        None,
        Note,
        "heads of answers may have 64 KiB here, the first line included",
    ),
    (G, "httpclient.websocket", None, Note, "frames of websockets are passed on as they come, however long"),
    (G, "httpserver", None, Note, "a log of bytes for debugging; answers are the same"),
    (G, "streaming-media-types", None, Note, "answers are passed on as they come, whatever their type"),
    // What instances see.
    (G, "x-forwarded.order", None, Note, "X-Forwarded-* are always written last"),
    (
        G,
        "forwarded.by-enabled",
        Some(true),
        Warning,
        "`Forwarded` is written without `by`: the address of a gateway says nothing that instances need",
    ),
    (G, "forwarded.by-enabled", None, Note, "`Forwarded` is written without `by`, as this says"),
    (
        G,
        "filter.remove-hop-by-hop.headers",
        None,
        Warning,
        "hop-by-hop fields are removed, these by name too: RemoveRequestHeader removes others",
    ),
    (G, "filter.remove-hop-by-hop.order", None, Note, "hop-by-hop fields are always removed last"),
    // Defaults of filters.
    (
        G,
        "filter.request-rate-limiter.*",
        None,
        Warning,
        "a request without the key is counted by the client's address, where Spring answers 403 unless this says otherwise",
    ),
    (
        G,
        "redis-rate-limiter.*",
        None,
        Warning,
        "limits are counted in the gateway's process, with the usual names of the header fields (X-RateLimit-*)",
    ),
    (G, "filter.local-response-cache", None, Note, "answers are not kept here: each comes from an instance"),
    // Switches of Spring's own parts.
    (
        G,
        "enabled",
        Some(false),
        Warning,
        "`false` switches Spring's gateway off, and this gateway serves its routes all the same; write `routes: []` for none",
    ),
    (G, "enabled", None, Note, "this gateway is on as long as it runs"),
    (G, "filter.*.enabled", None, Note, "filters are there where a route has them"),
    (G, "filter.*.order", None, Note, "filters go in the order of the document"),
    (G, "predicate.*.enabled", None, Note, "predicates are there where a route has them"),
    (
        G,
        "global-filter",
        None,
        Note,
        "what Spring's global filters do is done here, or is judged where they are set up",
    ),
    (G, "fail-on-route-definition-error", Some(false), Note, "a document with an error is refused whole here"),
    (G, "fail-on-route-definition-error", None, Note, "a document with an error is refused whole here, as set"),
    (G, "route-filter-cache-enabled", None, Note, "routes are compiled once here"),
    (G, "route-refresh-listener", None, Note, "changes of routes and services are followed here"),
    (G, "restrictive-property-accessor", None, Note, "expressions of Java see nothing here"),
    (G, "handler-mapping", None, Note, "where a route is looked for is not a choice here"),
    (G, "proxy-exchange", None, Note, "for Java code of the system's own"),
    (G, "function", None, Note, "for Java code of the system's own"),
    (G, "metrics", None, Note, "metrics are those of docs/metrics.md, always on"),
    (G, "observability", None, Note, "metrics are those of docs/metrics.md, always on"),
    (G, "actuator", None, Note, "routes are shown by the admin side: /status, /explain"),
    // Spring's servers and clients around the gateway.
    (R, "server.ssl", None, Warning, "clients are spoken TLS to with --tls-cert and --tls-key; this says nothing here"),
    (
        R,
        "server.servlet.context-path",
        None,
        Warning,
        "has no meaning for Spring's gateway either: a prefix stands in the patterns of Path",
    ),
    (
        R,
        "server",
        None,
        Note,
        "where and how Spring's server listens; here --port and --bind say that, and the limits of docs/config.md",
    ),
    (R, "logging", None, Note, "how Spring logs; here --log says that"),
    (R, "management", None, Note, "Spring's actuator; here it is the admin side (--admin-port)"),
    (
        R,
        "spring.cloud.nacos.discovery",
        None,
        Note,
        "where services are is said by --nacos, --namespace, --group and --cluster",
    ),
    (R, "spring.cloud.nacos.config.*", None, Note, "where documents are is said by --nacos, --namespace and --group"),
    (
        R,
        "spring.cloud.nacos.*",
        None,
        Note,
        "which Nacos is asked is said by --nacos (GRAY_NACOS), with which user by --nacos-username",
    ),
    (
        R,
        "eureka",
        None,
        Note,
        "where Eureka is is said by --eureka (with zones: `a=URL,b=URL`), the own zone by --cluster, metadata by --metadata",
    ),
    (R, "info", None, Note, "what Spring's actuator shows; answers are the same"),
    (R, "spring.cloud.loadbalancer.retry", None, Note, "the filter Retry decides whether another instance is asked"),
    (R, "spring.cloud.loadbalancer.cache", None, Note, "instances are pushed by the registry here"),
    (R, "spring.main.web-application-type", None, Note, "for Spring's own start"),
    (R, "spring.main.allow-bean-definition-overriding", None, Note, "for Spring's own start"),
    (R, "spring.main.allow-circular-references", None, Note, "for Spring's own start"),
    (R, "spring.main.banner-mode", None, Note, "for Spring's own start"),
    (R, "spring.output", None, Note, "for Spring's own start"),
];

/// Sentinel's switch: with `false` none of its settings says anything.
const SENTINEL: &str = "spring.cloud.sentinel";

/// Judges what is left over under the root and these two places of the gateway's settings.
pub(super) fn judge(root: &Section<'_>, gateway: [&Section<'_>; 2], acknowledged: &Acknowledged) {
    let switch = root.peek(&format!("{SENTINEL}.enabled"));
    let sentinel_is_off = switch.is_some_and(|item| item.is_text() && item.text().and_then(boolean) == Some(false));
    for &(under, pattern, value, verdict, text) in TABLE {
        let is_it = |item: &Item<'_>| match value {
            None => true,
            Some(value) => item.is_text() && item.text().and_then(boolean) == Some(value),
        };
        let found: Vec<_> = match under {
            Under::Root => root.take_unread(pattern, &is_it),
            Under::Gateway => gateway.iter().flat_map(|section| section.take_unread(pattern, &is_it)).collect(),
        };
        for item in found {
            let path = plain(&item.path());
            match (verdict, acknowledged.reason(&path)) {
                (Note, _) => item.note(text),
                (_, Some(reason)) => item.note(format!("acknowledged, {reason}: {text}")),
                _ if sentinel_is_off && pattern.starts_with(SENTINEL) => {
                    item.note("Sentinel is off by `enabled: false`")
                }
                (Warning, None) => item.warn(text),
                (Error, None) => {
                    let path: String = path.chars().take(80).collect();
                    item.error(format!(
                        "{text}. Once that is settled, say so under {KEY}: `acknowledge: {{ {path}: \"why\" }}`"
                    ));
                }
            }
        }
    }
}

/// A path by its older name.
fn plain(path: &str) -> String {
    match path.strip_prefix("spring.cloud.gateway.server.webflux") {
        Some(rest) => format!("{OLD}{rest}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
