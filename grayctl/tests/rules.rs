//! `grayctl rules` as a process: what it prints, and its exit codes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    thread,
};

const GOOD: &str = "gray:
  lanes: { v2: { select: V2 } }
  rules: [{ name: beta, when: { header.x: 1 }, lane: v2 }]
";
const ODD: &str = "gray:
  lanes: { v2: { select: V2 } }
  rules:
    - { name: beta, when: { header.x: 1 }, lane: v2 }
    - { name: never, when: { header.x: 1, path: /p }, lane: v2 }
";
const BAD: &str = "gray:\n  ruls: []\n  default: v9\n";

/// Standard output, standard error, exit code.
fn grayctl(args: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grayctl"));
    command
        .arg("rules")
        .args(args)
        .env_remove("GRAY_ADMIN_TOKEN")
        .env_remove("GRAY_GATEWAY_ADMIN")
        .env_remove("GRAY_PREFIX");
    let output = command.output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr), output.status.code().expect("ends by itself"))
}

fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// A gateway that answers one request; gives its address, and the request once it came.
fn gateway(status: &'static str, answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("asked");
        let mut reader = BufReader::new(socket.try_clone().expect("clones"));
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let from = head.len();
            reader.read_line(&mut head).expect("reads");
            if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("reads");
        let bytes = answer.len();
        write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n{answer}")
            .expect("answers");
        head + &String::from_utf8(body).expect("UTF-8")
    });
    (address, serving)
}

#[test]
fn check_tells_good_from_odd_and_bad() {
    let directory = tempfile::tempdir().expect("a directory");
    let [good, odd, bad] =
        [("good.yaml", GOOD), ("odd.yaml", ODD), ("bad.yaml", BAD)].map(|(name, text)| file(&directory, name, text));
    let (out, _, code) = grayctl(&["check", &good]);
    assert_eq!((out, code), (format!("{good}: in order (1 rule, 4 lanes)\n"), 0));

    let (out, _, code) = grayctl(&["check", &good, &odd, &bad]);
    assert_eq!(code, 1, "{out}");
    for expect in [
        format!("{good}: in order"),
        format!(
            "{odd}: no errors, 1 warning, no notes (2 rules, 4 lanes)\n  warning  rule `never`: never reached: rule"
        ),
        format!("{bad}: 2 errors, no warnings, no notes\n"),
        format!("  error    {bad}:3: gray.default: there is no lane `v9`"),
        format!("  error    {bad}:2: gray.ruls: unknown key; did you mean `rules`?"),
    ] {
        assert!(out.contains(&expect), "{out}\nlacks: {expect}");
    }

    for (code, args) in
        [(0, &["check", &odd][..]), (1, &["check", &odd, "--strict"]), (0, &["check", &good, "--strict"])]
    {
        let (out, _, was) = grayctl(args);
        assert_eq!(was, code, "{args:?}: {out}");
    }
    let (out, _, code) = grayctl(&["check", &odd, &bad, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &json[0]["findings"][0]["code"], &json[1]["problems"][0]["severity"]),
        (1, &"unreachable-rule".into(), &"error".into())
    );
}

#[test]
fn check_goes_by_the_settings_it_is_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let rules =
        file(&directory, "rules.yaml", "gray.lanes: { n: { namespace: gray-ns, tag: PROD } }\ngray.default: n\n");
    let settings = file(&directory, "common-config.yaml", "kerwin.tool.gray.namespaces: [gray-ns]\nother: 1\n");
    let (out, _, code) = grayctl(&["check", &rules]);
    assert_eq!((code, out.contains("add it to the `namespaces`")), (1, true), "{out}");
    let (out, _, code) = grayctl(&["check", &rules, "--settings", &settings]);
    assert_eq!((code, out.contains("gray release is off by the settings")), (0, true), "{out}");
}

#[test]
fn check_judges_rules_and_routes_together_and_so_does_config_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = file(
        &directory,
        "common-config.yaml",
        "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 } }\n",
    );
    let route = "spring.cloud.gateway.routes: [{ id: a, uri: 'lb://a', predicates: [Path=/**], filters: [Auth] }]\n";
    let routes = file(&directory, "gateway-app.yaml", route);
    let config = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grayctl"));
        command.args(["config", "check", "--config-dir"]).arg(directory.path());
        let output = command.env_remove("GRAY_PREFIX").env_remove("GRAY_PROFILE").output().expect("runs");
        (String::from_utf8(output.stdout).expect("UTF-8"), output.status.code())
    };
    for (rules, code, says) in [
        (
            "gray: {}\n",
            1,
            "error    AT/gateway-app.yaml:1: spring.cloud.gateway.routes[0].filters[0]: `Auth` is not a filter",
        ),
        (
            "gray.spring.filters: { Auth: { drop: the services check } }\n",
            0,
            "note     AT/gray-rules.yaml:1: gray.spring.filters.Auth: dropped in 1 place: the services check",
        ),
        (
            "gray.spring.filters: { Auth: refuse, Other: refuse }\n",
            0,
            "warning  AT/gray-rules.yaml:1: gray.spring.filters.Other: no route has a filter `Other`",
        ),
    ] {
        let rules = file(&directory, "gray-rules.yaml", rules);
        let at = directory.path().to_str().expect("UTF-8");
        let (out, _, was) = grayctl(&["check", &rules, "--settings", &settings, "--settings", &routes]);
        assert!(was == code && out.contains(&says.replace("AT", at)), "{was}: {out}\nlacks {says}");
        let (out, was) = config();
        assert!(was == Some(code) && out.contains(&says.replace("AT/", "")), "{was:?}: {out}\nlacks {says}");
        let last = out.lines().last().expect("a line");
        assert!(
            last.contains(" error") && last.contains("(common-config.yaml, gateway-app.yaml, gray-rules.yaml from"),
            "{last}"
        );
    }
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &["check"][..],
        &["check", "/nonexistent.yaml"],
        &["check", "/dev/null", "--settings", "/nonexistent.yaml"],
        &["explain"],
        &["explain", "--path", "/", "-H", "no colon"],
        &["replay", "/nonexistent.yaml"],
        &["lint", "/nonexistent.yaml"],
        &["nonsense"],
    ] {
        let (_, error, code) = grayctl(args);
        assert_eq!((code, error.is_empty()), (2, false), "{args:?}: {error}");
    }
}

#[test]
fn a_file_in_another_encoding_is_said_to_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gbk.yaml");
    std::fs::write(&path, b"a: 1\nb: \xba\xbc\xd6\xdd").expect("written");
    let (_, errors, code) = grayctl(&["check", path.to_str().expect("UTF-8")]);
    assert_eq!(code, 1);
    assert!(errors.contains("gbk.yaml: line 2: not UTF-8 (GBK, perhaps); save"), "{errors}");
}

#[test]
fn nobody_there_is_1_and_says_where() {
    let (_, error, code) = grayctl(&["lint", "--gateway", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(error.contains("no gateway answers at http://127.0.0.1:1 (Connection refused"), "{error}");
    assert!(error.contains("--admin-port") && error.matches("127.0.0.1:1").count() == 1, "{error}");
}

#[test]
fn replay_prints_the_moves_and_sends_document_and_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = file(&directory, "good.yaml", GOOD);
    let answer = r#"{"requests":10000,"moved":312,"moves":[{"from":"baseline","to":"v2","count":290},{"from":"v2","to":"baseline","count":22}],
        "byRule":[{"rule":"beta","before":22,"after":290}],"changedLanes":[],"unanswerable":0,"missingFacts":[],"warnings":[]}"#;
    let (address, serving) = gateway("200 OK", answer);
    let (out, error, code) = grayctl(&["replay", "--gateway", &address, "--token", "the-token-of-tests", &good]);
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("moves 312 of 10,000 requests: baseline->v2 290, v2->baseline 22\n"), "{out}");
    let request = serving.join().expect("served");
    assert!(request.starts_with("POST /replay ") && request.ends_with(GOOD), "{request}");
    assert!(request.contains("Bearer the-token-of-tests"), "{request}");

    let (address, serving) = gateway("200 OK", answer);
    let (out, _, code) = grayctl(&["replay", "--gateway", &address, "--json", &good]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["moved"]), (0, &312.into()));
    assert!(!serving.join().expect("served").contains("authorization"));
}

#[test]
fn refusals_are_1_and_tell_every_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let bad = file(&directory, "bad.yaml", BAD);
    let answer = r#"{"error":"gray-rules.yaml would be refused","problems":[{"severity":"error","document":"gray-rules.yaml","line":2,"path":"gray.ruls","message":"unknown key"}]}"#;
    let (address, _serving) = gateway("400 Bad Request", answer);
    let (_, error, code) = grayctl(&["replay", "--gateway", &address, &bad]);
    assert_eq!(code, 1);
    assert!(error.contains("would be refused\n  error    gray-rules.yaml:2: gray.ruls: unknown key"), "{error}");
    for (status, answer, expect) in [
        ("401 Unauthorized", r#"{"error":"no"}"#, "give --token (GRAY_ADMIN_TOKEN)"),
        ("403 Forbidden", r#"{"error":"set a token"}"#, "set a token"),
        ("404 Not Found", "", "a gateway of this release"),
    ] {
        let (address, _serving) = gateway(status, answer);
        let (_, error, code) = grayctl(&["lint", "--gateway", &address]);
        assert_eq!((code, error.contains(expect)), (1, true), "{status}: {error}");
    }
}

#[test]
fn a_wrong_token_is_not_a_missing_one() {
    let (address, _serving) = gateway("401 Unauthorized", r#"{"error":"no"}"#);
    let (_, error, code) = grayctl(&["lint", "--gateway", &address, "--token", "another-token-of-tests"]);
    assert_eq!((code, error.contains("refuses the token")), (1, true), "{error}");
}

#[test]
fn lint_is_1_only_for_more_than_notes() {
    for (severity, expect) in [("note", 0), ("warning", 1), ("error", 1)] {
        let answer = format!(
            r#"{{"revision":"8f3a11c0","findings":[{{"severity":"{severity}","code":"unused-lane","about":"lane","name":"v2","message":"nothing leads to it"}}]}}"#
        );
        let (address, _serving) = gateway("200 OK", answer.leak());
        let (out, _, code) = grayctl(&["lint", "--gateway", &address]);
        assert_eq!(code, expect, "{out}");
        assert!(out.starts_with("rules 8f3a11c0 in effect: 1 finding\n"), "{out}");
    }
}
