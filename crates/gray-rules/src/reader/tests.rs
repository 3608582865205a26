//! Documents, requests, and the lanes they lead to: each row of docs/rules.md.

use gray_core::tag::GrayStatus;
use gray_document::{Documents, check};
use gray_settings::GraySettings;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::{Reason, RequestFacts, RuleSet, Verdict};

mod bounds;
mod listed;
mod mistakes;
mod shares;

const ON: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, namespaces: [gray-ns], \
                  gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 } }\n";

fn read(documents: &Documents) -> RuleSet {
    let settings = GraySettings::read(&documents.root(), "kerwin.tool.gray");
    RuleSet::read(documents, &settings)
}

fn rules(text: &str) -> RuleSet {
    check(&[("gray-rules.yaml", &format!("{ON}{text}"))], read)
        .unwrap_or_else(|problems| panic!("{text}\n{problems}"))
        .0
}

fn problems(text: &str) -> String {
    match check(&[("gray-rules.yaml", &format!("{ON}{text}"))], read) {
        Ok((_, warnings)) => warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("name"), HeaderValue::from_bytes(value.as_bytes()).expect("value"))
    };
    pairs.iter().map(pair).collect()
}

/// A request in short: `GET /path?query` and headers.
fn facts<'r>(line: &'r str, headers: &'r HeaderMap) -> RequestFacts<'r> {
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RequestFacts { method, path, query, ..RequestFacts::new(headers) }
}

fn lane(rules: &RuleSet, line: &str, sent: &[(&str, &str)]) -> String {
    let headers = headers(sent);
    let decision = rules.decide(&facts(line, &headers));
    format!("{} {}", decision.rule, decision.lane.name())
}

fn choice(rules: &RuleSet, sent: &[(&str, &str)], service: &str) -> String {
    let headers = headers(sent);
    rules.decide(&facts("/", &headers)).lane.choice(service).to_string()
}

#[test]
fn without_a_document_the_settings_decide() {
    let rules = rules("");
    assert_eq!(lane(&rules, "/", &[("gray", "gray-996")]), "grayHead gray");
    assert_eq!(lane(&rules, "/", &[]), "default baseline");
    assert_eq!(choice(&rules, &[("gray", "gray-996")], "user-app"), "version:V2|version:V1");
    assert_eq!(choice(&rules, &[], "user-app"), "version:V1");
}

#[test]
fn lanes_name_versions_per_service_with_fallbacks() {
    let rules = rules(
        "gray:
  baseline: { services: { legacy: 3.2.1 } }
  lanes:
    two: { services: { order-app: V2, user-app: { select: V3, fallback: any } }, fallback: fail }
    tagged: { select: { gray-tag: true } }
    space: { namespace: gray-ns }
  rules:
    - { name: two, when: { header.x: 2 }, lane: two }
    - { name: tagged, when: { header.x: t }, lane: tagged }
    - { name: space, when: { header.x: s }, lane: space }",
    );
    let cases = [
        ("2", "order-app", "version:V2"),
        ("2", "user-app", "version:V3|*"),
        ("2", "legacy", "version:3.2.1"),
        ("2", "pay-app", "version:V1"),
        ("t", "pay-app", "gray-tag:true|version:V1"),
        ("t", "legacy", "gray-tag:true|version:3.2.1"),
        ("s", "pay-app", "gray-ns/*|version:V1"),
        ("-", "legacy", "version:3.2.1"),
        ("-", "pay-app", "version:V1"),
    ];
    for (value, service, expect) in cases {
        assert_eq!(choice(&rules, &[("x", value)], service), expect, "{value} {service}");
    }
}

#[test]
fn normal_traffic_can_be_kept_off_tagged_instances() {
    let rules = rules(
        "gray:
  baseline: { select: { gray-tag: ~ } }
  lanes: { gray: { select: { gray-tag: true }, fallback: baseline } }
  facts: { user: [header.uid, query.uid] }
  rules: [{ name: testers, when: { user: [u1, u2] }, lane: gray }]",
    );
    assert_eq!(choice(&rules, &[], "user-app"), "!gray-tag");
    assert_eq!(choice(&rules, &[("uid", "u1")], "user-app"), "gray-tag:true|!gray-tag");
    assert_eq!(lane(&rules, "/?uid=u2", &[]), "testers gray");
    assert_eq!(lane(&rules, "/?uid=u3", &[]), "default baseline");
    assert_eq!(lane(&rules, "/", &[("gray", "gray-996")]), "grayHead gray", "the settings' rules lead to this lane");
}

#[test]
fn a_lane_can_be_filled_from_the_request() {
    let rules = rules(
        "gray:
  facts: { ab: [header.v, query.v] }
  lanes:
    exact: { select: { version: $header.versionId } }
    ab: { select: { v: $ab }, fallback: any }
  rules:
    - { name: exact, when: { header.versionId: { exists: true } }, lane: exact }
    - { name: ab, when: { ab: { exists: true } }, lane: ab }",
    );
    assert_eq!(choice(&rules, &[("versionId", "v7.0.1")], "user-app"), "version:v7.0.1|version:V1");
    assert_eq!(choice(&rules, &[("v", "b")], "user-app"), "v:b|*");
    assert_eq!(lane(&rules, "/?v=b", &[]), "ab ab");
    for bad in ["", "a b", "a|*", "a;b", "V1:x", "é", "*", "{}"] {
        assert_eq!(lane(&rules, "/", &[("versionId", bad)]), "default baseline", "{bad:?} is no version");
    }
    let headers = headers(&[("versionId", "a b")]);
    let (_, explanation) = rules.explain(&facts("/", &headers));
    assert_eq!(explanation.rules[0].verdict, Verdict::NoLaneValue);
}

#[test]
fn conditions() {
    // (condition, request line, headers, whether it matches)
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], bool);
    let cases: &[Case] = &[
        ("header.x: a", "/", &[("X", "a")], true),
        ("header.x: a", "/", &[("x", "A")], false),
        ("header.x: 'a, b'", "/", &[("x", "a, b")], true),
        ("header: { x: [a, b] }", "/", &[("x", "b")], true),
        ("header.x: { prefix: a, suffix: c }", "/", &[("x", "abc")], true),
        ("header.x: { prefix: a, suffix: c }", "/", &[("x", "abd")], false),
        ("header.x: { regex: 'a+' }", "/", &[("x", "aaa")], true),
        ("header.x: { regex: 'a+' }", "/", &[("x", "aab")], false),
        ("header.x: { exists: true }", "/", &[("x", "")], true),
        ("header.x: { exists: true }", "/", &[], false),
        ("header.x: { exists: false }", "/", &[], true),
        ("header.x: { exists: false }", "/", &[("x", "")], false),
        ("header.x: { not: a }", "/", &[("x", "b")], true),
        ("header.x: { not: a }", "/", &[("x", "a")], false),
        ("header.x: { not: a }", "/", &[], false),
        ("header.x: { not: { in: [a, b] } }", "/", &[("x", "c")], true),
        ("header.x: { at-least: 3, below: 5 }", "/", &[("x", "4.5")], true),
        ("header.x: { at-least: 3, below: 5 }", "/", &[("x", "5")], false),
        ("header.x: { version: '>=7.0.1, <8' }", "/", &[("x", "v7.2")], true),
        ("header.x: { version: '>=7.0.1, <8' }", "/", &[("x", "8.0.0")], false),
        ("query.v: b", "/?a=1&v=b&v=c", &[], true),
        ("query.v: 'b c'", "/?v=b+c", &[], true),
        ("query.v: 杭州", "/?v=%E6%9D%AD%E5%B7%9E", &[], true),
        ("query.v: { exists: true }", "/?v", &[], true),
        ("query.v: b", "/", &[], false),
        ("cookie.vip: 1", "/", &[("cookie", "a=2; vip=1; vip=3")], true),
        ("cookie.vip: 1", "/", &[("cookie", "xvip=1; vip=\"1\"")], true),
        ("cookie.vip: 1", "/", &[("cookie", "vipx=1")], false),
        ("cookie-json.info.user.id: 7", "/", &[("cookie", "info=%7B%22user%22%3A%7B%22id%22%3A7%7D%7D")], true),
        ("cookie-json.info.user.id: 7", "/", &[("cookie", "info={broken")], false),
        ("method: [POST, PUT]", "PUT /", &[], true),
        ("method: [POST, PUT]", "GET /", &[], false),
        ("path: { prefix: /order-api }", "/order-api/x", &[], true),
        ("path: { prefix: /order-api }", "/user-api/x", &[], false),
        ("user-agent.os: android", "/", &[("user-agent", "Mozilla (Linux; Android 14)")], true),
        ("user-agent: { family: wechat }", "/", &[("user-agent", "MicroMessenger/8")], true),
        ("query.version: 7", "/?version=7", &[], true),
        ("header: { in: { prefix: a } }", "/", &[("in", "ab")], true),
        ("cookie-json.info.version: 7", "/", &[("cookie", "info={\"version\":7}")], true),
        ("header.x: a, header.y: b", "/", &[("x", "a"), ("y", "b")], true),
        ("header.x: a, header.y: b", "/", &[("x", "a")], false),
    ];
    for (condition, line, sent, expect) in cases {
        let rules = rules(&format!("gray.rules: [{{ name: r, when: {{ {condition} }}, lane: gray }}]"));
        let seen = lane(&rules, line, sent);
        assert_eq!(seen == "r gray", *expect, "{condition}: {line} {sent:?} -> {seen}");
    }
}

#[test]
fn addresses_hosts_and_times() {
    let rules = rules(
        "gray.facts: { client: [header.x-client, ip] }
gray.rules:
  - { name: ip, when: { ip: [10.0.0.0/8, 192.0.2.7] }, lane: gray }
  - { name: named, when: { client: 172.16.0.0/12 }, lane: gray }
  - { name: host, when: { host: Beta.example.com }, lane: gray }
  - { name: city, when: { city: [杭州市] }, lane: gray }
  - { name: office, when: { time: { from: '09:00', to: '18:00', zone: Asia/Shanghai } }, lane: gray }
  - { name: launch, when: { header.x: l }, since: 2026-12-01T00:00:00+08:00, until: 2026-12-02T00:00:00+08:00, lane: gray }",
    );
    let empty = HeaderMap::new();
    let launch = headers(&[("x", "l")]);
    let proxied = headers(&[("x-client", "172.31.0.1")]);
    let base = RequestFacts::new(&empty);
    let midnight = 1_796_054_400; // 2026-11-30T16:00:00Z = 2026-12-01T00:00 in Shanghai
    let at = |now, headers| RequestFacts { now, headers, ..RequestFacts::new(&empty) };
    let cases = [
        (RequestFacts { client_ip: "10.1.1.1".parse().ok(), ..base }, "ip"),
        (RequestFacts { client_ip: "192.0.2.8".parse().ok(), ..base }, "default"),
        (RequestFacts { client_ip: "172.16.1.1".parse().ok(), ..base }, "named"),
        (RequestFacts { headers: &proxied, ..base }, "named"),
        (RequestFacts { host: Some("BETA.example.com"), ..base }, "host"),
        (RequestFacts { city: Some("杭州"), ..base }, "city"),
        (at(midnight - 1, &launch), "default"),
        (at(midnight, &launch), "launch"),
        (at(midnight + 86_399, &launch), "launch"),
        (at(midnight + 86_400, &launch), "default"),
        (at(midnight + 9 * 3600, &empty), "office"),
        (at(midnight + 18 * 3600, &empty), "default"),
    ];
    for (facts, expect) in cases {
        assert_eq!(rules.decide(&facts).rule, expect, "{facts:?}");
    }
}

#[test]
fn the_kill_switch_beats_every_rule_and_off_beats_that() {
    let text = "gray: { kill: true, rules: [{ name: r, when: { header.x: a }, lane: gray }] }";
    let hit = headers(&[("x", "a"), ("gray", "gray-996")]);
    let killed = rules(text);
    let decision = killed.decide(&facts("/", &hit));
    assert_eq!((decision.reason, decision.lane.name(), decision.tag()), (Reason::Killed, "baseline", GrayStatus::Prod));
    let off = text.replace("kill: true, ", "") + "\nkerwin.tool.gray.load: false";
    let off = check(&[("a", ON), ("b", &off)], read).expect("good").0;
    let decision = off.decide(&facts("/", &hit));
    assert_eq!((decision.reason, decision.lane.name(), decision.tag()), (Reason::Off, "any", GrayStatus::All));
}

#[test]
fn blue_green_is_the_default_lane() {
    let text = "gray: { lanes: { blue: { select: V1, fallback: fail }, green: { select: V2, fallback: fail } }, default: green }";
    let rules = rules(text);
    assert_eq!(choice(&rules, &[], "user-app"), "version:V2");
    let none = HeaderMap::new();
    assert_eq!(
        rules.decide(&facts("/", &none)).tag(),
        GrayStatus::Prod,
        "ordinary traffic, for services that know only `gray`"
    );
}

#[test]
fn mistakes_are_told_with_their_line() {
    // (document, part of the message)
    let cases = [
        ("gray.rules: [{ name: r, when: { headr.x: a }, lane: gray }]", "`headr.x` is not a fact"),
        (
            "gray.rules: [{ name: r, when: { header.x: a }, lane: grey }]",
            "there is no lane `grey`; there are any, baseline, gray",
        ),
        ("gray.rules: [{ name: r, when: { header.x: a } }]", "`lane` is missing; there are any, baseline, gray"),
        (
            "gray.rules: [{ name: r, lane: gray }]",
            "`when` or `share` is missing; to catch all other requests, use `default: <lane>`",
        ),
        ("gray.rules: [{ name: default, when: { header.x: a }, lane: gray }]", "a rule cannot be called `default`"),
        ("gray.rules: [{ name: r, when: {}, lane: gray }]", "would match every request"),
        ("gray.rules: [{ name: r, when: { header.x: { regex: '(' } }, lane: gray }]", "unclosed group at character 1"),
        ("gray.rules: [{ name: r, when: { header.x: { regex: 'a)|(b' } }, lane: gray }]", "not a regular expression"),
        ("gray.rules: [{ name: r, when: { header: {} }, lane: gray }]", "nothing is asked here"),
        ("gray.rules: [{ name: r, when: { jwt: { sub: {} } }, lane: gray }]", "nothing is asked here"),
        ("gray.rules: [{ name: r, when: { ip: { prefix: '10.' } }, lane: gray }]", "compared with addresses"),
        ("gray.rules: [{ name: r, when: { header.x: { matches: a } }, lane: gray }]", "`matches` is not a test"),
        ("gray.rules: [{ name: r, when: { ip: 10.0.0.0/99 }, lane: gray }]", "neither an IP address"),
        ("gray.rules: [{ name: r, when: { user-agent.os: droid }, lane: gray }]", "is never the answer"),
        ("gray.rules: [{ name: r, when: { jwt.sub: a }, lane: gray }]", "needs gray.jwt"),
        (
            "gray.rules: [{ name: r, share: { percent: 5 }, lane: gray }]",
            "`key` is missing: the fact that is hashed, such as header.X-User-No, or `random`",
        ),
        (
            "gray.rules: [{ name: r, share: { percent: 5.001, key: ip }, lane: gray }]",
            "`5.001` is not a percentage: expected 0 to 100, at most two decimals",
        ),
        (
            "gray.rules: [{ name: r, share: { percent: 101, key: ip }, lane: gray }]",
            "`101` is not a percentage: expected 0 to 100, at most two decimals",
        ),
        (
            "gray.rules: [{ name: r, share: { percent: 5, key: [ip, random] }, lane: gray }]",
            "`random` cannot be combined with other facts",
        ),
        ("gray.rules: [{ name: r, share: { percent: 5, layer: x, slot: 0..5 }, lane: gray }]", "there is no layer `x`"),
        (
            "gray.rules: [{ name: r, when: { header.x: a }, until: tomorrow, lane: gray }]",
            "`tomorrow` is not a time: expected one such as 2026",
        ),
        ("gray.rules: [{ name: r, when: { header.x: a }, lane: gray, weight: 5 }]", "unknown key"),
        ("gray: { lanes: { v2: { select: { version: $header.x } } }, default: v2 }", "must not depend on the request"),
    ];
    for (text, expect) in cases {
        let seen = problems(text);
        assert!(seen.contains(expect), "{text}\n{seen}\nlacks: {expect}");
        assert!(seen.contains("gray-rules.yaml:2"), "{seen}: no line");
    }
}

#[test]
fn tokens_are_believed_when_signed() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::hmac;
    let token = |secret: &str, claims: &str| {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    };
    let secret = "0123456789abcdef";
    let rules = rules(&format!(
        "gray: {{ jwt: {{ key: '{secret}', algorithm: HS256 }}, rules: [{{ name: r, when: {{ jwt: {{ realm: {{ user: U1 }} }} }}, lane: gray }}] }}"
    ));
    let claims = r#"{"realm":{"user":"U1"},"exp":100}"#;
    let good = token(secret, claims);
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
    let cases = [
        (good.clone(), 99, "r"),
        (good.clone(), 100, "default"),
        (token("another-secret-x", claims), 99, "default"),
        (token(secret, r#"{"realm":{"user":"U2"}}"#), 99, "default"),
        (none, 99, "default"),
        ("Bearer x.y.z".into(), 99, "default"),
        (String::new(), 99, "default"),
    ];
    for (token, now, expect) in cases {
        let headers = headers(&[("authorization", &token)]);
        assert_eq!(rules.decide(&RequestFacts { now, ..RequestFacts::new(&headers) }).rule, expect, "{token} at {now}");
    }
}

#[test]
fn an_explanation_shows_every_rule_and_value() {
    let rules = rules(
        "gray.rules:
  - { name: off, when: { header.x: a }, until: 2020-01-01T00:00:00Z, lane: gray }
  - { name: two, when: [{ header.x: a, header.y: b }, { path: /z }], lane: gray }
  - { name: ramp, share: { percent: 100, key: header.uid }, lane: gray }
  - { name: last, when: { header.y: c }, lane: gray, trace: true }",
    );
    let headers = headers(&[("x", "a"), ("y", "c")]);
    let facts = RequestFacts { now: 1_800_000_000, ..facts("/", &headers) };
    let (decision, explanation) = rules.explain(&facts);
    assert_eq!((decision.rule, decision.traced), ("last", true));
    let verdicts: Vec<_> = explanation.rules.iter().map(|rule| (rule.name.as_str(), rule.verdict)).collect();
    use Verdict::{Matched, NoBlock, NoShareKey, NotCurrent};
    assert_eq!(verdicts, [("off", NotCurrent), ("two", NoBlock), ("ramp", NoShareKey), ("last", Matched)]);
    let condition = &explanation.rules[1].blocks[0].conditions[1];
    assert_eq!((condition.condition.as_str(), condition.value.as_deref()), ("header.y is `b`", Some("c")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the rules test and take shares of: a request that says nothing about itself is never led to gray.
    #[test]
    fn no_rule_leads_an_untagged_request_to_gray(
        tests in prop::collection::vec(("(header\\.x|query\\.q|cookie\\.c|header\\.y)", "(a|\\[a, b\\]|\\{ prefix: a \\}|\\{ not: a \\}|\\{ exists: true \\}|\\{ regex: '\\.\\*' \\}|\\{ below: 9e9 \\})"), 1..6),
        percent in 0u32..=100,
    ) {
        let listed: Vec<_> = tests
            .iter()
            .enumerate()
            .map(|(place, (fact, test))| format!("  - {{ name: r{place}, when: {{ {fact}: {test} }}, lane: gray }}\n"))
            .collect();
        let text = format!(
            "gray.rules:\n{}  - {{ name: s, share: {{ percent: {percent}, key: [header.uid, cookie.id] }}, lane: gray }}",
            listed.concat()
        );
        let rules = rules(&text);
        prop_assert_eq!(lane(&rules, "/order-api/x", &[]), "default baseline");
        prop_assert_eq!(choice(&rules, &[], "any-app"), "version:V1");
    }

    #[test]
    fn no_document_panics(text in "[ -~\n]{0,200}") {
        drop(check(&[("a", &format!("{ON}gray:\n  rules: {text}"))], read));
        drop(check(&[("a", &format!("{ON}gray:\n  lanes: {text}"))], read));
    }
}
