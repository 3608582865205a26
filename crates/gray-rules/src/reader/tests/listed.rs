//! A rule that asks for one of a list which stands elsewhere in the documents.

use super::{lane, problems, rules};

const RULE: &str = "gray: { facts: { uid: [header.uid, query.uid] }, rules: [{ name: r, when: { uid: { listed: shop.grayUids } }, lane: gray }] }\n";

#[test]
fn a_list_under_any_key_however_it_is_written() {
    for list in [
        "shop: { grayUids: [1001, 1002] }",
        "shop: { gray-uids: '1001, 1002' }",
        "shop.grayUids[0]: 1001\nshop.grayUids[1]: 1002",
        "shop.grayUids: ${uids}\nuids: 1001,1002",
    ] {
        let rules = rules(&format!("{RULE}{list}\n"));
        for (uid, expect) in
            [("1001", "r gray"), ("1002", "r gray"), ("1003", "default baseline"), ("", "default baseline")]
        {
            assert_eq!(lane(&rules, "/", &[("uid", uid)]), expect, "{list}: {uid}");
        }
        assert_eq!(lane(&rules, "/?uid=1002", &[]), "r gray", "{list}");
    }
}

#[test]
fn an_empty_list_matches_nothing() {
    for list in ["", "shop:", "shop.grayUids:", "shop.grayUids: []", "shop.grayUids: ''", "shop.other: 1"] {
        let rules = rules(&format!("{RULE}{list}\n"));
        assert_eq!(lane(&rules, "/", &[("uid", "1001")]), "default baseline", "{list}");
        assert_eq!(lane(&rules, "/", &[("uid", "")]), "default baseline", "{list}");
    }
    let rules = rules("gray.rules: [{ name: r, when: { header.uid: { not: { listed: shop.uids } } }, lane: gray }]");
    assert_eq!(lane(&rules, "/", &[("uid", "1001")]), "r gray");
    assert_eq!(lane(&rules, "/", &[]), "default baseline");
}

#[test]
fn addresses_and_networks_as_well() {
    let rules = rules(
        "shop.nets: [10.0.0.0/8, 192.0.2.1]
gray: { facts: { client: [header.x-client, ip] }, rules: [{ name: r, when: { client: { listed: shop.nets } }, lane: gray }] }",
    );
    for (client, expect) in [("10.1.2.3", "r gray"), ("192.0.2.1", "r gray"), ("192.0.2.2", "default baseline")] {
        assert_eq!(lane(&rules, "/", &[("x-client", client)]), expect, "{client}");
    }
}

#[test]
fn what_is_not_a_list_is_refused() {
    for (text, expect) in [
        ("shop: { grayUids: { a: 1 } }", "expected a list"),
        ("shop: { grayUids: [{ a: 1 }] }", "expected a value"),
        ("shop: { grayUids: ['${nowhere}'] }", "nothing to put for `${nowhere}`"),
    ] {
        let seen = problems(&format!("{RULE}{text}\n"));
        assert!(seen.contains(expect), "{text}: {seen}");
    }
    for (key, expect) in [
        ("''", "the key of a list in these documents"),
        ("[a, b]", "the key of a list in these documents"),
        ("kerwin.tool.gray.signing.key", "sounds like a secret"),
        ("shop.password", "sounds like a secret"),
    ] {
        let seen =
            problems(&format!("gray.rules: [{{ name: r, when: {{ header.x: {{ listed: {key} }} }}, lane: gray }}]"));
        assert!(seen.contains(expect), "{key}: {seen}");
    }
}
