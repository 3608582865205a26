use std::sync::Arc;

use gray_document::{Documents, check};
use gray_settings::GraySettings;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::{FactPlan, RequestFacts};

const ON: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";

fn rules(text: &str) -> RuleSet {
    let read =
        |documents: &Documents| RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"));
    check(&[("gray-rules.yaml", &format!("{ON}{text}"))], read)
        .unwrap_or_else(|problems| panic!("{text}\n{problems}"))
        .0
}

fn record(rules: &RuleSet, sent: &[(&str, &str)], facts: RequestFacts<'_>) -> Option<FactRecord> {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("name"), HeaderValue::from_bytes(value.as_bytes()).expect("value"))
    };
    let headers: HeaderMap = sent.iter().map(pair).collect();
    FactRecord::new(&Arc::new(FactPlan::new(rules)), &RequestFacts { headers: &headers, ..facts }, false)
}

fn nowhere(headers: &HeaderMap) -> RequestFacts<'_> {
    RequestFacts::new(headers)
}

#[test]
fn the_numbers_are_right() {
    let ramp = |percent: u32| {
        rules(&format!(
            "gray: {{ lanes: {{ v2: {{ select: V2 }} }}, rules: [
               {{ name: beta, when: {{ header.x: beta }}, lane: v2 }},
               {{ name: ramp, share: {{ percent: {percent}, key: header.uid }}, lane: v2 }}] }}"
        ))
    };
    let (old, new) = (ramp(0), ramp(5));
    let none = HeaderMap::new();
    let records: Vec<_> = (0..2000)
        .map(|user| {
            let uid = user.to_string();
            let sent: &[(&str, &str)] = if user < 100 { &[("x", "beta"), ("uid", &uid)] } else { &[("uid", &uid)] };
            record(&old, sent, nowhere(&none)).expect("short")
        })
        .collect();
    let replay = Replay::run(&records, &old, &new);
    let ramped = replay.moved;
    assert!((60..=140).contains(&ramped), "{ramped} of 1900 are about 5 %");
    assert_eq!((replay.requests, replay.unanswerable), (2000, 0));
    assert_eq!(replay.moves, [Move { from: "baseline".into(), to: "v2".into(), count: ramped }]);
    let counts: Vec<_> = replay.by_rule.iter().map(|one| (one.rule.as_str(), one.before, one.after)).collect();
    assert_eq!(counts, [("beta", 100, 100), ("ramp", 0, ramped), ("default", 1900, 1900 - ramped)]);
    let back = Replay::run(&records, &new, &old);
    assert_eq!(back.moves, [Move { from: "v2".into(), to: "baseline".into(), count: ramped }]);
    assert_eq!(Replay::run(&records, &old, &old).moved, 0);
    assert!(replay.changed_lanes.is_empty());
}

#[test]
fn only_requests_that_need_a_missing_fact_are_unanswerable() {
    let old = rules("gray.rules: [{ name: a, when: { header.x: 1 }, lane: gray }]");
    let new = rules(
        "gray.rules: [{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: { query.q: 1, path: { prefix: /o } }, lane: gray },
           { name: c, when: { path: /c, city: 杭州 }, lane: gray }]",
    );
    let none = HeaderMap::new();
    let at = |path, sent: &[(&str, &str)]| record(&old, sent, RequestFacts { path, ..nowhere(&none) }).expect("short");
    let records = [at("/o", &[("x", "1")]), at("/o", &[]), at("/p", &[]), at("/c", &[])];
    let replay = Replay::run(&records, &old, &new);
    assert_eq!((replay.requests, replay.moved, replay.unanswerable), (4, 0, 2));
    let missing: Vec<_> = replay.missing_facts.iter().map(|one| (one.fact.as_str(), one.requests)).collect();
    assert_eq!(missing, [("city", 1), ("query.q", 1)]);
}

#[test]
fn every_kind_of_fact_is_decided_as_it_was() {
    let text = "gray:
  jwt: { key: 0123456789abcdef, algorithm: HS256 }
  facts: { user: [header.uid, cookie.uid] }
  lanes: { exact: { select: { version: $header.v } } }
  rules:
    - { name: query, when: { query.q: 'a b' }, lane: gray }
    - { name: cookie, when: { cookie-json.info.id: 7 }, lane: gray }
    - { name: agent, when: { user-agent.os: android }, lane: gray }
    - { name: host, when: { host: beta.example.com, method: PUT }, lane: gray }
    - { name: ip, when: { ip: 10.0.0.0/8 }, lane: gray }
    - { name: city, when: { city: 杭州 }, lane: gray }
    - { name: time, when: { time: { from: '09:00', to: '10:00' } }, lane: gray }
    - { name: user, when: { user: u1 }, lane: gray }
    - { name: exact, when: { header.v: { exists: true } }, lane: exact }
    - { name: random, when: { path: /r }, share: { percent: 50, key: random }, lane: gray }
    - { name: claim, when: { jwt.sub: u }, lane: gray }";
    let rules = rules(text);
    let none = HeaderMap::new();
    let base = nowhere(&none);
    // Request, headers, the rule that matches.
    type Case<'c> = (RequestFacts<'c>, &'c [(&'c str, &'c str)], &'c str);
    let cases: &[Case<'_>] = &[
        (RequestFacts { query: Some("q=a+b"), ..base }, &[], "query"),
        (base, &[("cookie", "a=1; info={\"id\":7}")], "cookie"),
        (base, &[("user-agent", "Linux; Android 14")], "agent"),
        (RequestFacts { host: Some("BETA.example.com"), method: "PUT", ..base }, &[], "host"),
        (RequestFacts { client_ip: "10.9.9.9".parse().ok(), ..base }, &[], "ip"),
        (RequestFacts { city: Some("杭州市"), ..base }, &[], "city"),
        (RequestFacts { now: 9 * 3600, city: Some("上海"), ..base }, &[], "time"),
        (RequestFacts { city: Some("上海"), ..base }, &[("cookie", "uid=u1")], "user"),
        (RequestFacts { city: Some("上海"), ..base }, &[("v", "V7")], "exact"),
        (RequestFacts { city: Some("上海"), path: "/r", ..base }, &[], "random"),
        (RequestFacts { city: Some("上海"), path: "/r", random: u64::MAX, ..base }, &[], "default"),
    ];
    for (facts, sent, expect) in cases {
        let record = record(&rules, sent, *facts).expect("short");
        let replay = Replay::run(&[&record], &rules, &rules);
        let hit: Vec<_> = replay.by_rule.iter().filter(|one| one.after > 0).map(|one| one.rule.as_str()).collect();
        assert_eq!(hit, [*expect], "{sent:?} {:?}", replay.missing_facts);
    }
}

#[test]
fn a_record_has_what_rules_name_and_nothing_else() {
    let rules = rules(
        "gray: { jwt: { key: 0123456789abcdef, algorithm: HS256 }, rules: [
           { name: a, when: { cookie.vip: 1 }, lane: gray }, { name: b, when: { jwt.sub: u1 }, lane: gray }] }",
    );
    let none = HeaderMap::new();
    let sent = [
        ("authorization", "Bearer secret-token"),
        ("cookie", "session=secret-session; vip=secret-vip"),
        ("x-other", "secret-other"),
    ];
    let facts = RequestFacts { path: "/secret-path", query: Some("q=secret-query"), ..nowhere(&none) };
    let record = record(&rules, &sent, facts).expect("short");
    let kept: Vec<_> = record.values.iter().flatten().map(|value| String::from_utf8_lossy(value)).collect();
    assert_eq!(kept, ["secret-vip"], "one cookie, no token, no other header, no query");
    assert!(!format!("{record:?}").contains("secret"), "{record:?}");
    let named = self::rules("gray.rules: [{ name: a, when: { header.authorization: x }, lane: gray }]");
    let record = self::record(&named, &sent, nowhere(&none)).expect("short");
    assert_eq!(record.values.iter().flatten().count(), 1, "a rule that names it gets it");
    assert!(!format!("{record:?}").contains("secret"));
}

#[test]
fn long_records_are_not_kept() {
    let rules = rules("gray.rules: [{ name: a, when: { header.x: 1 }, lane: gray }]");
    let none = HeaderMap::new();
    let long = "x".repeat(FactRecord::MAX_BYTES);
    assert!(record(&rules, &[("x", &long)], nowhere(&none)).is_none());
    assert!(record(&rules, &[("y", &long)], nowhere(&none)).is_some(), "not what nobody asks for");
    assert!(record(&rules, &[], RequestFacts { path: &format!("/{long}"), ..nowhere(&none) }).is_none());
}

#[test]
fn lanes_that_change_under_their_name_are_told() {
    let lane = |version: &str| rules(&format!("gray.lanes: {{ two: {{ select: {version} }} }}"));
    assert_eq!(Replay::run(&[] as &[FactRecord], &lane("V2"), &lane("V3")).changed_lanes, ["two"]);
}
