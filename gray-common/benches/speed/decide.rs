//! Decisions: rules of several kinds, none of which matches, so that all are evaluated.

use std::{fmt::Write as _, hint::black_box};

use gray_document::{Documents, check};
use gray_rules::{RequestFacts, RuleSet};
use gray_settings::GraySettings;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::harness::Cases;

const ON: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, \
                  gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 } }\n";

/// A document with so many rules of a kind.
fn document(kind: &str, count: usize) -> String {
    let mut text = format!("{ON}gray.rules:\n");
    for i in 0..count {
        let kind = match (kind, i % 3) {
            ("mixed", 0) => "header",
            ("mixed", 1) => "ip",
            ("mixed", _) => "share",
            (kind, _) => kind,
        };
        let rule = match kind {
            "header" => format!("when: {{ header.x-user: U{i:04} }}"),
            "distinct" => format!("when: {{ header.x-fact-{i}: v }}"),
            "in" => {
                format!("when: {{ header.x-user: [U{i:04}, A{i}, B{i}, C{i}, D{i}, E{i}, F{i}, G{i}, H{i}, I{i}] }}")
            }
            "ip" => format!("when: {{ ip: [10.{}.{}.0/24, 10.9.{}.7] }}", i / 250, i % 250, i % 250),
            "share" => "share: { percent: 0.01, key: header.x-user }".to_owned(),
            "regex" => format!("when: {{ header.x-user: {{ regex: 'V[0-9]+{i}' }} }}"),
            "match" => "when: { header.x-user: U9999 }".to_owned(),
            other => panic!("{other}"),
        };
        writeln!(text, "  - {{ name: r{i}, {rule}, lane: gray }}").expect("written");
    }
    text
}

fn read(documents: &Documents) -> RuleSet {
    RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"))
}

fn compile(text: &str) -> RuleSet {
    check(&[("gray-rules.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// What a browser sends, and a user who is in no list.
fn headers() -> HeaderMap {
    let sent = [
        ("host", "shop.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
        ),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-language", "zh-CN,zh;q=0.9"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("x-user", "U9999"),
        ("x-request-id", "6f1c2d"),
    ];
    sent.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).into_iter().collect()
}

fn decide(cases: &mut Cases, name: String, text: String, rule: &'static str) {
    cases.add(name, move || {
        let (rules, headers) = (compile(&text), headers());
        move || {
            let client_ip = Some([203, 0, 113, 9].into());
            let facts = RequestFacts { client_ip, random: u64::MAX, ..RequestFacts::new(&headers) };
            let decision = rules.decide(black_box(&facts));
            assert_eq!(decision.rule.len(), rule.len());
            black_box(decision);
        }
    });
}

pub(crate) fn cases(cases: &mut Cases) {
    decide(cases, "decide/off".into(), "a: 1".into(), "default");
    for kind in ["header", "ip", "share", "regex", "mixed", "in", "distinct"] {
        for count in [1, 100, 1000] {
            if count == 100 || matches!(kind, "mixed" | "header") {
                decide(cases, format!("decide/{kind}/{count}"), document(kind, count), "default");
            }
        }
    }
    // Of a thousand rules the hundredth matches.
    let tail = document("mixed", 1000);
    let hundredth =
        tail.replace("name: r99, when: { header.x-user: U0099 }", "name: r99, when: { header.x-user: U9999 }");
    assert_ne!(hundredth, tail);
    decide(cases, "decide/mixed/100-of-1000".into(), hundredth.clone(), "r99");
    let end = hundredth.find("  - { name: r100,").expect("a rule");
    decide(cases, "decide/mixed/100-of-100".into(), hundredth[..end].to_owned(), "r99");

    cases.add_slow("compile/mixed/1000", || {
        let text = document("mixed", 1000);
        move || drop(black_box(compile(&text)))
    });
    cases.add_slow("compile/ip-list/10000", || {
        let list: Vec<_> = (0..10_000u32).map(|i| format!("10.{}.{}.{}", i % 7, i % 251, i / 251)).collect();
        let text = format!("{ON}gray.rules: [{{ name: ips, when: {{ ip: [{}] }}, lane: gray }}]", list.join(", "));
        move || drop(black_box(compile(&text)))
    });
    cases.add("decide/networks/10000", || {
        let list: Vec<_> = (0..10_000u32).map(|i| format!("10.{}.{}.0/24", i / 250, i % 250)).collect();
        let text = format!("{ON}gray.rules: [{{ name: ips, when: {{ ip: [{}] }}, lane: gray }}]", list.join(", "));
        let (rules, headers) = (compile(&text), headers());
        move || {
            let facts = RequestFacts { client_ip: Some([203, 0, 113, 9].into()), ..RequestFacts::new(&headers) };
            black_box(rules.decide(black_box(&facts)));
        }
    });
}
