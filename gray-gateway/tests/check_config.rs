//! What `--check-config` says beside problems.

use std::process::Command;

/// Exit code and report for a document with this under `spring.cloud.gateway`.
fn check(gateway: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("spring.cloud.gateway:\n{gateway}");
    std::fs::write(directory.path().join("gateway-app.yaml"), text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_gray-gateway"))
        .args(["--check-config", "--config-dir"])
        .arg(directory.path())
        .output()
        .expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_document_that_sets_no_response_timeout_is_told_of_ours() {
    let route =
        |metadata: &str| format!("- {{ id: a, uri: 'lb://a', predicates: [Path=/**], metadata: {{ {metadata} }} }}\n");
    let bare = format!("  routes:\n  {}", route(""));
    let (code, report) = check(&bare);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("no errors") && report.contains(": no response timeout is set for route `a`"), "{report}");
    assert!(report.contains("30 s is a 504") && report.contains("httpclient.response-timeout"), "{report}");
    for told in [
        format!("  httpclient: {{ response-timeout: 5s }}\n{bare}"),
        format!("  routes:\n  {}", route("response-timeout: 300")),
        format!("  routes:\n  {}", route("response-timeout: -1")),
        "  routes:\n  - { id: files, uri: 'file:///srv', predicates: [Path=/**] }\n".into(),
    ] {
        let (code, report) = check(&told);
        assert_eq!((code, report.contains("note ")), (Some(0), false), "{report}");
    }
}

#[test]
fn what_only_the_flags_can_allow_is_noted() {
    let document = |filter: &str| {
        format!(
            "  httpclient: {{ response-timeout: 5s }}\n  routes:\n  - {{ id: a, uri: 'lb://a', predicates: [Path=/**], filters: [{filter}] }}\n\
             spring.data.redis.host: redis\n"
        )
    };
    for (filter, note) in [
        (
            "{ name: JsonWebToken, args: { jwks-uri: 'http://keycloak/keys' } }",
            Some("keys of tokens will not be fetched: http://keycloak/keys is http://"),
        ),
        ("{ name: JsonWebToken, args: { jwks-uri: 'https://keycloak/keys' } }", None),
        ("RequestRateLimiter=1", Some("rates are counted per gateway process; --redis")),
    ] {
        let (code, report) = check(&document(filter));
        assert_eq!(code, Some(0), "{report}");
        let told = ["keys of tokens will not", "rates are counted per"].iter().any(|text| report.contains(text));
        assert_eq!(told, note.is_some(), "{report}");
        assert!(note.is_none_or(|note| report.contains(note)), "{report}");
    }
}

#[test]
fn an_egress_is_judged_by_the_documents_of_its_service() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    let check = |listen: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gray-gateway"))
            .args(["--check-config", "--egress", listen, "--service", "order-app", "--config-dir"])
            .arg(directory.path())
            .args(more)
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The gateway's own are not read.
    write("gateway-app.yaml", "spring.cloud.gateway.routes: nonsense\n");
    let (code, report) = check("15001", &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("there is no common-config.yaml"), "{report}");
    write("common-config.yaml", "kerwin.tool.gray:\n  load: true\n  version: { prodVersion: V1, grayVersion: V2 }\n");
    let (code, report) = check("15001", &[]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("in order") && report.contains("no errors"), "{report}");
    write("order-app.yaml", "kerwin.tool.gray:\n  fallback: never\n");
    let (code, report) = check("15001", &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("order-app.yaml:2") && report.contains("would be refused"), "{report}");
    write("order-app.yaml", "server.port: 7100\n");
    for (more, expect) in [(&[][..], 0), (&["--strict"], 1)] {
        let (code, report) = check("15001", more);
        assert_eq!(code, Some(expect), "{report}");
        assert!(report.contains("1 warning") && report.contains("server: not used"), "{report}");
    }
    // Flags are judged as at a start.
    let (code, report) = check("0.0.0.0:15001", &[]);
    assert_eq!(code, Some(2), "{report}");
    assert!(report.contains("--egress-open"), "{report}");
}
