//! Faults, until they are mended: their rows go then.

use super::Known;

/// What ours does not do yet.
pub const OPEN: &[Known] = &[
    Known { name: "circuit breakers", explains: |found| found.case.document.name == "circuit-breaker" },
    Known {
        name: "expressions of java.util.regex",
        explains: |found| found.is_refused() && found.ours().contains("not a regular expression"),
    },
    Known {
        name: "`\\w` and `\\d` are ASCII",
        explains: |found| found.case.document.name == "expressions" && found.is_status("404 gateway", "200"),
    },
    Known {
        name: "`Host` with a port",
        explains: |found| found.is_refused() && found.ours().contains("a port cannot"),
    },
    Known { name: "`forward:`", explains: |found| found.case.document.name == "forward" },
    Known {
        name: "retries on the same instance",
        explains: |found| found.has("Retry") && (found.aspect() == "attempts" || found.spring().ends_with(" instance")),
    },
    Known { name: "x-forwarded.* settings", explains: |found| found.case.document.name == "forwarded-settings" },
    Known {
        name: "a variable twice in a pattern",
        explains: |found| found.spring().contains("Not allowed to capture"),
    },
    Known {
        name: "path parameters behind the last slash",
        explains: |found| found.is_status("404 gateway", "200") && found.path().contains("/;"),
    },
];
