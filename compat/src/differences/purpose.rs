//! On purpose.

use std::collections::BTreeSet;

use super::{FORWARDED, Found, Known};
use crate::release::Release::{V31, V43, V50};

/// In the order of the page.
pub const KNOWN: &[Known] = &[
    Known {
        name: "Headers of the gray release",
        explains: |found| match found.sent() {
            Some("baggage") => found.spring().is_empty() && found.ours().starts_with("gray-lane="),
            name => name.is_some_and(|name| name.starts_with("gray")),
        },
    },
    Known {
        name: "Targets that are not URIs",
        explains: |found| found.is_status("400 gateway", "") && is_no_uri(found.target()),
    },
    Known {
        name: "Ambiguous and unsafe paths",
        explains: |found| found.is_status("", "400") && is_ambiguous(found.path()),
    },
    Known { name: "Queries", explains: is_query },
    Known {
        name: "Bytes beyond ASCII in a target",
        explains: |found| !found.target().is_ascii() && matches!(found.aspect(), "target" | "status"),
    },
    Known {
        name: "Variables beyond ASCII in headers",
        explains: |found| found.sent().or(found.answer()).is_some() && found.spring().contains('\u{fffd}'),
    },
    Known { name: "Who writes `Forwarded` and `X-Forwarded-*`", explains: is_forwarding },
    Known {
        name: "What a fallback is told",
        explains: |found| {
            const TOLD: [&str; 3] = ["sent execution-exception-", "sent root-cause-exception-", "sent x-type"];
            let is_told = TOLD.iter().any(|told| found.aspect().starts_with(told));
            let is_origin = found.sent().is_some_and(|name| FORWARDED.contains(&name));
            found.has("CircuitBreaker") && (is_told || is_origin) && !found.path().starts_with("/fallback")
        },
    },
    Known {
        name: "Bodies of failed requests",
        explains: |found| found.has("CircuitBreaker") && found.is_status("no answer", "200 instance"),
    },
    Known {
        name: "`host` in `Forwarded`",
        explains: |found| found.sent() == Some("forwarded") && found.has("SetRequestHostHeader"),
    },
    Known {
        name: "`X-Forwarded-Prefix` is not decoded",
        explains: |found| found.sent() == Some("x-forwarded-prefix") && found.path().contains('%'),
    },
    Known {
        name: "`RemoteAddr` is the peer",
        explains: |found| found.has("RemoteAddr=") && found.is_forwarded() && found.aspect() == "status",
    },
    Known {
        name: "`Host` without port and case",
        explains: |found| found.has("Host=") && found.is_status("404 gateway", "") && !found.is_refused(),
    },
    Known {
        name: "Slashes at the end",
        explains: |found| found.release >= V50 && found.is_status("404", "") && found.path().ends_with('/'),
    },
    Known {
        name: "Invalid hosts",
        explains: |found| found.has("SetRequestHostHeader={") && found.is_status("", "400 "),
    },
    Known {
        name: "Fields in two spellings",
        explains: |found| {
            found.sent() == Some("x-p") && found.case.request.fields.iter().any(|(name, _)| name == "x-p")
        },
    },
    Known {
        name: "Added fields come behind the instance's",
        explains: |found| {
            let is_early = found.release == V31 || found.release < V43 && found.has("SecureHeaders");
            is_early && found.answer().is_some_and(is_added)
        },
    },
    Known {
        name: "Escapes are kept",
        explains: |found| {
            let is_twice = found.release < V43 && found.has("RequestParameter");
            is_twice && found.aspect() == "target" && found.path().contains('%')
        },
    },
    Known { name: "`Vary` and `Access-Control-Expose-Headers`", explains: is_same_list },
    Known { name: "`errorMessage`", explains: |found| found.answer() == Some("errormessage") },
    Known {
        name: "`Retry-After`",
        explains: |found| found.answer() == Some("retry-after") && found.spring().is_empty(),
    },
    Known {
        name: "Paths of requests that are sent again",
        explains: |found| {
            found.has("Retry")
                && found.has("PrefixPath")
                && (found.aspect() == "target" || found.sent() == Some("x-forwarded-prefix"))
        },
    },
    Known { name: "Instances that cannot be reached", explains: |found| found.is_status("500 gateway", "502 gateway") },
    Known {
        name: "Bodies are not read",
        explains: |found| {
            found.has("CacheRequestBody") && (found.is_status("415 gateway", "") || found.is_status("500 gateway", ""))
        },
    },
    Known {
        name: "`RequestSize` in the short form",
        explains: |found| found.has("RequestSize=") && found.is_status("", "413 gateway"),
    },
    Known {
        name: "`{*rest}` in `SetPath` and `PrefixPath`",
        explains: |found| found.has("{*rest}") && found.has("Path=/") && found.aspect() == "target",
    },
    Known {
        name: "Lenient predicates",
        explains: |found| {
            let is_empty = found.has("Header=X-P'") && found.case.request.all("x-p").contains(&"");
            found.is_status("404 gateway", "") && (is_empty || found.has("Method=get"))
        },
    },
    Known {
        name: "Rewritten paths without their slash",
        explains: |found| found.has("RewritePath") && found.is_status("500 gateway", "200 instance"),
    },
    Known {
        name: "Any origin with credentials",
        explains: |found| is_allowing(found) && found.ours() != found.spring() && found.has("allowedOriginPatterns"),
    },
    Known {
        name: "`Access-Control-*` of the instance",
        explains: |found| is_allowing(found) && found.spring().starts_with(&format!("{} && ", found.ours())),
    },
    Known {
        name: "Preflights without settings",
        explains: |found| {
            found.case.request.has("access-control-request-method")
                && found.aspect() == "status"
                && !found.target().starts_with("/public")
        },
    },
    Known {
        name: "Several patterns of CORS",
        explains: |found| found.has("[/public/**]") && found.target().starts_with("/public"),
    },
    Known {
        name: "Plain requests to `ws://`",
        explains: |found| found.has("ws://") && found.is_status("400 gateway", "200"),
    },
    Known {
        name: "Methods in one text",
        explains: |found| found.has("methods: 'GET,POST'") && found.aspect() == "status",
    },
    Known {
        name: "Documents with mistakes",
        explains: |found| {
            let is_useless = found.is_status("404 gateway", "") || found.is_status("500 gateway", "");
            let is_mistake =
                found.case.document.name.starts_with("odd-") || found.ours().contains("a user or password");
            found.is_refused() && (is_useless || is_mistake)
        },
    },
];

/// What `java.net.URI` does not take.
fn is_no_uri(target: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = target.as_bytes();
    let is_bad_escape =
        |(at, byte): (usize, &u8)| *byte == b'%' && !(is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)));
    target.contains(['"', '^', '|', '`', '{', '}', '[', ']', '\\', '<', '>'])
        || bytes.iter().enumerate().any(is_bad_escape)
}

/// What servers read in several ways, or what leaves the path of its route.
fn is_ambiguous(path: &str) -> bool {
    ["//", "/.", "\\", ";", "%2", "%5", "%0", "%3"].iter().any(|form| path.contains(form))
}

/// What no filter names stays as it came.
fn is_query(found: &Found<'_>) -> bool {
    let before = |text: &str| text.split('?').next().unwrap_or_default().to_owned();
    let is_same_path = before(found.spring()) == before(found.ours());
    let is_edited = found.has("RequestParameter");
    matches!(found.aspect(), "target" | "answer location") && is_same_path
        || is_edited && found.is_status("500 gateway", "")
}

/// Spring writes none for those it does not believe, nor where a believed one names another; and leaves what they say.
fn is_forwarding(found: &Found<'_>) -> bool {
    let is_believed = found.has("trustedHops") || found.release < V43;
    found.sent().is_some_and(|name| FORWARDED.contains(&name)) && (found.is_forwarded() || !is_believed)
}

/// Whether CORS says who may read an answer.
fn is_allowing(found: &Found<'_>) -> bool {
    let name = found.answer().and_then(|name| name.strip_prefix("access-control-allow-"));
    matches!(name, Some("origin" | "credentials"))
}

/// The same names, in another order or spelling; of `Vary`, none where nothing is said of CORS.
fn is_same_list(found: &Found<'_>) -> bool {
    let list = |text: &str| -> BTreeSet<String> {
        let names = text.replace(" && ", ", ").to_ascii_lowercase();
        names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (spring, ours) = (list(found.spring()), list(found.ours()));
    match found.answer() {
        Some("vary") => ours.is_subset(&spring),
        Some("access-control-expose-headers") => ours == spring,
        _ => false,
    }
}

/// Fields that filters of the answers here add.
fn is_added(name: &str) -> bool {
    name.starts_with("x-")
        || matches!(name, "content-security-policy" | "referrer-policy" | "strict-transport-security")
}
