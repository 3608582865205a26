//! Shares, weights and layers.

use http::HeaderMap;
use proptest::prelude::*;

use super::{lane, problems, rules};
use crate::{RequestFacts, RuleSet};

#[test]
fn layers_exclude_each_other() {
    let layer = |second: &str| {
        format!(
            "gray:
  layers: {{ checkout: {{ key: header.uid }} }}
  rules:
    - {{ name: one, share: {{ layer: checkout, slot: 0..50, percent: 50 }}, lane: gray }}
    - {{ name: two, share: {{ layer: checkout, slot: {second} }}, lane: gray }}"
        )
    };
    assert!(problems(&layer("40..60, percent: 5")).contains("overlaps the slot of rule `one`"));
    assert!(problems(&layer("50..60, percent: 11")).contains("room for (10 %)"));
    let rules = rules(&layer("50..100, percent: 50"));
    for user in 0..2000 {
        let uid = user.to_string();
        assert_ne!(lane(&rules, "/", &[("uid", &uid)]), "default baseline", "together they have everybody");
    }
}

fn share(percent: &str, extra: &str) -> RuleSet {
    rules(&format!(
        "gray.rules: [{{ name: ramp, share: {{ percent: {percent}, key: header.uid{extra} }}, lane: gray }}]"
    ))
}

fn is_in(rules: &RuleSet, user: u32) -> bool {
    lane(rules, "/", &[("uid", &format!("user-{user}"))]) == "ramp gray"
}

#[test]
fn a_share_is_about_its_size_and_exact_at_its_ends() {
    for (percent, least, most) in
        [("0", 0, 0), ("1", 120, 280), ("5", 850, 1150), ("50", 9700, 10300), ("100", 20000, 20000)]
    {
        let rules = share(percent, "");
        let inside = (0..20_000).filter(|user| is_in(&rules, *user)).count();
        assert!((least..=most).contains(&inside), "{percent} %: {inside} of 20000");
    }
}

#[test]
fn the_points_of_users_never_change() {
    // Every replica and every future release must agree with these.
    let points = |salt: &str| {
        use crate::{Share, ShareKey, Value};
        let share = Share::new(ShareKey::Random, salt, 0, 0);
        ["", "U0001", "用户1"].map(|user| share.point(&Value::Text(user.as_bytes().into())))
    };
    assert_eq!(points("rel-42"), points("rel-42"));
    assert_ne!(points("rel-42"), points("rel-43"));
    assert_eq!(points("rel-42"), POINTS);
}
const POINTS: [u32; 3] = [4291, 4716, 7045];

#[test]
fn weights_and_rules_combine() {
    let rules = rules(
        "gray.rules:
  - { name: testers, when: { header.x: a }, lane: gray }
  - { name: weight, when: { path: { prefix: /order } }, share: { percent: 25, key: random }, lane: gray }",
    );
    assert_eq!(lane(&rules, "/order", &[("x", "a")]), "testers gray");
    let headers = HeaderMap::new();
    let at = |random, path| RequestFacts { random, path, ..RequestFacts::new(&headers) };
    assert_eq!(rules.decide(&at(0, "/order")).rule, "weight");
    assert_eq!(rules.decide(&at(u64::MAX / 4, "/order")).rule, "weight");
    assert_eq!(rules.decide(&at(u64::MAX / 4 + (1 << 50), "/order")).rule, "default");
    assert_eq!(rules.decide(&at(0, "/user")).rule, "default");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn raising_a_share_never_moves_a_user_out(low in 0u32..=100, more in 0u32..=100, users in prop::collection::vec(any::<u32>(), 50)) {
        let high = (low + more).min(100);
        let (low, high) = (share(&low.to_string(), ", salt: s"), share(&high.to_string(), ", salt: s"));
        for user in users {
            prop_assert!(!is_in(&low, user) || is_in(&high, user), "user {user}");
        }
    }
}
