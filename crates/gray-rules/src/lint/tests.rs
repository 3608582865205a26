//! Every code with documents that have it and documents that do not.

use gray_core::instance::Instance;
use gray_document::{Documents, check};
use gray_settings::GraySettings;

use super::*;

const ON: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";
/// 2026-06-01.
const NOW: u64 = 1_780_272_000;

fn rules(text: &str) -> RuleSet {
    let read =
        |documents: &Documents| RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"));
    check(&[("gray-rules.yaml", &format!("{ON}{text}"))], read)
        .unwrap_or_else(|problems| panic!("{text}\n{problems}"))
        .0
}

/// `order-app: V1 V2; user-app: V1`; a service without versions has no instance.
fn fleet(text: &str) -> Fleet {
    let service = |part: &str| {
        let (name, versions) = part.split_once(':').expect("a service");
        let versions = versions.split_whitespace().zip(1..);
        let instances: Vec<_> =
            versions.map(|(version, port)| Instance::new("10.0.0.1", port).with_version(version)).collect();
        (name.trim().into(), Arc::new(InstanceSet::new(&instances, None)))
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(service).collect()
}

fn found(text: &str, services: &str) -> Vec<String> {
    found_in(text, &fleet(services))
}

fn found_in(text: &str, fleet: &Fleet) -> Vec<String> {
    let findings = rules(text).lint(fleet, NOW);
    findings.iter().map(|finding| format!("{} {}", finding.code, finding.name)).collect()
}

#[test]
fn rules_have_their_findings_and_no_others() {
    // (rules, findings)
    let cases: &[(&str, &[&str])] = &[
        ("{ name: a, when: { header.x: 1 }, lane: gray }", &[]),
        // unreachable-rule
        ("{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: { header.x: 2 }, lane: gray }", &[]),
        (
            "{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: { header.x: 1, path: /p }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, when: { header.x: 1, path: /p }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &[],
        ),
        (
            "{ name: a, when: { header.x: [1, 2] }, lane: gray }, { name: b, when: { header.x: 2 }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, when: { header.x: { exists: true } }, lane: gray }, { name: b, when: { header.x: { not: 2 } }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, when: { path: { prefix: /o } }, lane: gray }, { name: b, when: { path: { prefix: /order } }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, when: { path: { prefix: /order } }, lane: gray }, { name: b, when: { path: { prefix: /o } }, lane: any }",
            &[],
        ),
        (
            "{ name: a, when: { header.x: { exists: false } }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &[],
        ),
        (
            "{ name: a, when: { header.x: 1 }, share: { percent: 50, key: ip }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &[],
        ),
        (
            "{ name: a, share: { percent: 100, key: random }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, share: { percent: 100, key: header.uid }, lane: gray }, { name: b, when: { header.uid: 1 }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, share: { percent: 100, key: header.uid }, lane: gray }, { name: b, share: { percent: 5, key: header.uid }, lane: any }",
            &["unreachable-rule b"],
        ),
        (
            "{ name: a, share: { percent: 100, key: header.uid }, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &[],
        ),
        (
            "{ name: a, when: { header.x: 1 }, until: 2030-01-01T00:00:00Z, lane: gray }, { name: b, when: { header.x: 1 }, lane: any }",
            &[],
        ),
        // shadowed-block
        (
            "{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: [{ header.x: 1 }, { header.x: 2 }], lane: any }",
            &["shadowed-block b"],
        ),
        ("{ name: a, when: [{ header.x: 1 }, { header.x: 1, path: /p }], lane: gray }", &["shadowed-block a"]),
        ("{ name: a, when: [{ header.x: 1, path: /p }, { header.x: 1 }], lane: gray }", &["shadowed-block a"]),
        ("{ name: a, when: [{ header.x: 1 }, { header.x: 1 }], lane: gray }", &["shadowed-block a"]),
        ("{ name: a, when: [{ header.x: 1 }, { header.y: 1 }], lane: gray }", &[]),
        // duplicate-condition
        ("{ name: a, when: { header.x: { exact: 1, in: [1] } }, lane: gray }", &["duplicate-condition a"]),
        ("{ name: a, when: { header.x: { prefix: 1, suffix: 1 } }, lane: gray }", &[]),
        // rule-expired, rule-pending
        ("{ name: a, when: { header.x: 1 }, until: 2026-05-01T00:00:00Z, lane: gray }", &["rule-expired a"]),
        ("{ name: a, when: { header.x: 1 }, since: 2026-07-01T00:00:00Z, lane: gray }", &["rule-pending a"]),
        (
            "{ name: a, when: { header.x: 1 }, since: 2026-05-01T00:00:00Z, until: 2026-07-01T00:00:00Z, lane: gray }",
            &[],
        ),
        // share-empty, share-unreachable
        ("{ name: a, share: { percent: 0, key: ip }, lane: gray }", &["share-empty a"]),
        (
            "{ name: a, share: { percent: 5, key: ip, salt: s }, lane: gray }, { name: b, share: { percent: 5, key: ip, salt: s }, lane: any }",
            &["share-unreachable b"],
        ),
        (
            "{ name: a, share: { percent: 5, key: ip, salt: s }, lane: gray }, { name: b, share: { percent: 6, key: ip, salt: s }, lane: any }",
            &[],
        ),
        (
            "{ name: a, share: { percent: 5, key: ip }, lane: gray }, { name: b, share: { percent: 5, key: ip }, lane: any }",
            &[],
        ),
        (
            "{ name: a, share: { percent: 5, key: random }, lane: gray }, { name: b, share: { percent: 5, key: random }, lane: any }",
            &["share-unreachable b"],
        ),
        (
            "{ name: a, when: { path: /p }, share: { percent: 5, key: ip, salt: s }, lane: gray }, { name: b, share: { percent: 5, key: ip, salt: s }, lane: any }",
            &[],
        ),
        // plain-regex
        ("{ name: a, when: { header.x: { regex: beta } }, lane: gray }", &["plain-regex a"]),
        ("{ name: a, when: { header.x: { regex: 'beta.*' } }, lane: gray }", &[]),
        // reserved-header
        ("{ name: a, when: { header.gray-lane: 1 }, lane: gray }", &["reserved-header a"]),
        (
            "{ name: a, share: { percent: 5, key: [header.uid, header.gray-caller] }, lane: gray }",
            &["reserved-header a"],
        ),
        ("{ name: a, when: { header.gray: 1 }, lane: gray }", &[]),
    ];
    for (rules, expect) in cases {
        assert_eq!(found(&format!("gray.rules: [{rules}]"), ""), *expect, "{rules}");
    }
}

#[test]
fn facts_under_two_names_are_one_fact() {
    let text = "gray:
  facts: { user: [header.uid] }
  rules: [{ name: a, when: { user: 1 }, lane: gray }, { name: b, when: { header.uid: 1 }, lane: gray }]";
    assert_eq!(found(text, ""), ["unreachable-rule b"]);
}

#[test]
fn a_lane_that_may_stay_unfilled_hides_nobody() {
    let text = "gray:
  lanes: { exact: { select: { version: $header.v } } }
  rules: [{ name: a, when: { header.v: { exists: true } }, lane: exact }, { name: b, when: { header.v: x/y }, lane: gray }]";
    assert_eq!(found(text, ""), [""; 0]);
}

#[test]
fn lanes_have_their_findings_and_no_others() {
    let rule = "rules: [{ name: r, when: { header.x: 1 }, lane: two }]";
    // (lanes and more, services, findings)
    let cases: &[(&str, &str, &[&str])] = &[
        ("lanes: { two: { select: V2 } }", "", &[]),
        // unused-lane
        ("lanes: { two: { select: V2 }, three: { select: V3 } }", "", &["unused-lane three"]),
        // lane-equals-baseline
        ("lanes: { two: { select: V1 } }", "", &["lane-equals-baseline two"]),
        ("lanes: { two: { select: V1 }, green: { select: V2 } }, default: green", "", &[]),
        ("lanes: { two: { services: { user-app: V1 } } }", "", &["lane-equals-baseline two"]),
        ("lanes: { two: { services: { user-app: V2 } } }", "", &[]),
        // default-lane-gray
        ("lanes: { two: { select: V2, tag: GRAY } }, default: two", "", &["default-lane-gray two"]),
        ("lanes: { two: { select: V2 } }, default: two", "", &[]),
        // lane-without-instance
        ("lanes: { two: { services: { a: V2 } } }", "a: V1 V2", &[]),
        ("lanes: { two: { services: { a: V2 } } }", "a: V1", &["lane-without-instance two"]),
        ("lanes: { two: { services: { a: V2 }, fallback: fail } }", "a: V1; b: V1 V2", &["lane-without-instance two"]),
        ("lanes: { two: { select: V2 } }", "a: V1; b: V1", &["lane-without-instance two"]),
        ("lanes: { two: { select: V2 } }", "a: V1; b: V1 V2", &[]),
        ("lanes: { two: { select: V2 } }, baseline: { services: { a: V0 } }", "a: V0; b: V1 V2", &[]),
        ("lanes: { two: { select: { version: $header.v } } }", "a: V1", &[]),
        ("lanes: { two: { select: { gray-tag: true } } }", "a: V1", &["lane-without-instance two"]),
        // unknown-service
        ("lanes: { two: { services: { a: V2 } } }", "a: ; b: V1", &["unknown-service two"]),
        ("lanes: { two: { services: { a: V2 } } }", "b: V1", &[]),
        // baseline-without-instance
        ("lanes: { two: { services: { a: V2 } } }", "a: V2", &["baseline-without-instance baseline"]),
        ("lanes: { two: { services: { a: V2 } } }", "a: V1 V2; b: ", &["baseline-without-instance baseline"]),
    ];
    for (text, services, expect) in cases {
        assert_eq!(found(&format!("gray: {{ {text}, {rule} }}"), services), *expect, "{text} / {services}");
    }
}

#[test]
fn a_service_without_versions_is_a_note() {
    let plain = |names: &[&str]| -> Fleet {
        let set = || Arc::new(InstanceSet::new(&[Instance::new("10.0.0.1", 1)], None));
        names.iter().map(|name| ((*name).into(), set())).collect()
    };
    let lane = "lanes: { two: { select: V2 } }, rules: [{ name: r, when: { header.x: 1 }, lane: two }]";
    let findings = rules(&format!("gray: {{ {lane} }}")).lint(&plain(&["pay"]), NOW);
    let shown: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["note[unversioned-service] lane `baseline`: pay is outside gray release: no instance has what `version:V1` \
          asks for, so every instance serves every lane; give its instances a version, or name it on a lane, to change that"]
    );
    let named = "lanes: { two: { services: { pay: V2 } } }, rules: [{ name: r, when: { header.x: 1 }, lane: two }]";
    let codes = found_in(&format!("gray: {{ {named} }}"), &plain(&["pay"]));
    assert_eq!(codes, ["baseline-without-instance baseline", "lane-without-instance two"]);
}

#[test]
fn a_lane_that_ends_at_a_service_of_another_kind_is_said() {
    let fleet = |source: &str| -> Fleet {
        let instance = |port, version| {
            Instance::new("10.0.0.1", port).with_version(version).with_metadata("preserved.register.source", source)
        };
        let set = || Arc::new(InstanceSet::new(&[instance(1, "V1"), instance(2, "V2"), instance(3, "V3")], None));
        ["order", "user"].into_iter().map(|name| (name.into(), set())).collect()
    };
    let rule = "rules: [{ name: r, when: { header.x: 1 }, lane: two }]";
    for (lane, source, expect) in [
        ("services: { order: V2 }", "SPRING_CLOUD", &["lane-beyond-tag two"][..]),
        ("services: { order: V3, user: V3 }", "SPRING_CLOUD", &["lane-beyond-tag two"]),
        ("services: { order: V3, user: V3 }", "GRAY_CHAIN", &[]),
        ("services: { order: V3, user: V3 }, tag: PROD", "SPRING_CLOUD", &[]),
        ("select: V2", "SPRING_CLOUD", &[]),
    ] {
        let text = format!("gray: {{ lanes: {{ two: {{ {lane} }} }}, {rule} }}");
        assert_eq!(found_in(&text, &fleet(source)), *expect, "{lane}, {source}");
    }
    let text = format!("gray: {{ lanes: {{ two: {{ services: {{ order: V3, user: V3 }} }} }}, {rule} }}");
    let message = rules(&text).lint(&fleet("SPRING_CLOUD"), NOW)[0].to_string();
    assert!(message.contains("instances of order and 1 more") && message.contains("they are told PROD"), "{message}");
}

#[test]
fn severities_and_messages_say_what_happens() {
    let lint = |text: &str, services: &str| rules(text).lint(&fleet(services), NOW)[0].to_string();
    let lane = |fallback: &str| {
        format!(
            "gray: {{ lanes: {{ two: {{ services: {{ a: V2 }}, fallback: {fallback} }} }}, \
             rules: [{{ name: r, when: {{ header.x: 1 }}, lane: two }}] }}"
        )
    };
    assert_eq!(
        lint(&lane("baseline"), "a: V1"),
        "warning[lane-without-instance] lane `two`: no live instance of a is `version:V2`: requests fall back to \
         `version:V1`; start one, or select another"
    );
    let failing = lint(&lane("fail"), "a: V1");
    assert!(failing.starts_with("error[") && failing.contains("requests get 503"), "{failing}");
    let json = serde_json::to_value(&rules(&lane("fail")).lint(&fleet("a: V1"), NOW)[0]).expect("serializes");
    assert_eq!((&json["severity"], &json["about"], &json["name"]), (&"error".into(), &"lane".into(), &"two".into()));
}

#[test]
fn off_says_nothing_of_instances() {
    let read = |documents: &Documents| RuleSet::read(documents, &GraySettings::default());
    let text = "gray.rules: [{ name: a, when: { header.x: { regex: b } }, lane: gray }]";
    let rules = check(&[("gray-rules.yaml", text)], read).expect("good").0;
    let codes: Vec<_> = rules.lint(&fleet("a: V9; b: "), NOW).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["plain-regex"]);
}

#[test]
fn very_many_blocks_are_not_compared() {
    let rule = |n| format!("{{ name: r{n}, when: {{ header.x: 1 }}, lane: gray }}");
    let text = format!("gray.rules: [{}]", (0..2001).map(rule).collect::<Vec<_>>().join(", "));
    assert_eq!(found(&text, ""), ["not-compared r0"]);
}

#[test]
fn instances_that_cannot_be_reached_are_none() {
    use gray_core::balance::{Outcome, OutlierPolicy};
    let mut policy = OutlierPolicy::default();
    policy.consecutive_failures = 1;
    let text = "gray: { lanes: { v2: { services: { order-app: V2, user-app: V2 } } }, rules: [{ name: a, when: { header.x: 1 }, lane: v2 }] }";
    let (rules, fleet) = (rules(text), fleet("order-app: V1 V2 V2; user-app: V1 V2"));
    let report = |service: &str, port, outcome| {
        let set = fleet.get(service).expect("one");
        let endpoint = set.endpoints().find(|one| one.instance().port == port).expect("one");
        endpoint.load().report(outcome, false, &policy, 1);
    };
    let found = || {
        let findings = rules.lint(&fleet, NOW).into_iter().filter(Finding::is_about_instances).collect::<Vec<_>>();
        assert_eq!(findings, rules.lint_instances(&fleet));
        let shown = findings.iter().map(|one| format!("{} {} {}", one.severity.as_str(), one.code, one.name));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(found(), [""; 0]);
    report("order-app", 2, Outcome::Unreachable);
    report("user-app", 2, Outcome::Failed);
    assert_eq!(found(), [""; 0], "another one is there; failing answers are answers");
    report("order-app", 3, Outcome::Unreachable);
    assert_eq!(found(), ["warning instances-ejected v2"]);
    report("order-app", 1, Outcome::Unreachable);
    assert_eq!(found(), ["error instances-ejected baseline", "error instances-ejected v2"]);
}
