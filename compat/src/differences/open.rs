//! Faults, until they are mended: their rows go then.

use super::Known;

/// What ours does not do yet.
pub const OPEN: &[Known] = &[
    Known {
        name: "what a fallback is told of the failure, and of the client",
        explains: |found| {
            const TOLD: [&str; 5] = [
                "sent execution-exception-",
                "sent root-cause-exception-",
                "sent x-type",
                "sent forwarded",
                "sent x-forwarded-",
            ];
            found.case.document.name == "circuit-breaker"
                && (TOLD.iter().any(|told| found.aspect().starts_with(told)) || found.spring() == "no answer")
        },
    },
    Known {
        name: "`forward:` as the target of a route",
        explains: |found| found.case.document.name == "forward" && found.is_refused(),
    },
    Known {
        name: "retries on the same instance",
        explains: |found| found.has("Retry") && (found.aspect() == "attempts" || found.spring().ends_with(" instance")),
    },
    Known { name: "x-forwarded.* settings", explains: |found| found.case.document.name == "forwarded-settings" },
    Known {
        name: "path parameters behind the last slash",
        explains: |found| found.is_status("404 gateway", "200") && found.path().contains("/;"),
    },
];
