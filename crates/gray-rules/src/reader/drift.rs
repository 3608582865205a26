//! The reader asks for the keys that the schema has, no more and no fewer.

use std::collections::BTreeSet;

use gray_document::{Documents, check};
use gray_settings::GraySettings;
use serde_json::Value;

use super::{lanes, rule, schema, source, when};
use crate::RuleSet;

const EVERY_KEY: &str = include_str!("../../tests/every-key.yaml");
const SETTINGS: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, namespaces: [gray-ns], \
                        gateway: { enabled: true } }\n";

fn set<'k>(keys: impl IntoIterator<Item = &'k str>) -> BTreeSet<String> {
    keys.into_iter().map(str::to_owned).collect()
}

fn properties(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().expect("properties").keys().cloned().collect()
}

#[test]
fn reader_and_schema_have_the_same_keys() {
    let schema: Value = serde_json::from_str(&schema::json()).expect("JSON");
    let known = |name: &str| properties(&schema["$defs"][name]);
    let read = |documents: &Documents| {
        RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"));
        let gray = documents.root().section("gray");
        // First: looking further asks for keys as well.
        let asked = gray.asked();
        let rules: Vec<_> = gray.items("rules").iter().map(|rule| rule.section()).collect();
        let share = rules.iter().flat_map(|rule| rule.section("share").asked()).collect();
        let window = rules[0].section("when.time").asked();
        [asked, gray.section("jwt").asked(), gray.section("layers.checkout").asked(), share, window]
    };
    let [gray, jwt, layer, share, mut window] =
        check(&[("settings", SETTINGS), ("rules", EVERY_KEY)], read).unwrap_or_else(|problems| panic!("{problems}")).0;
    assert_eq!(gray, known("Rules"));
    assert_eq!(jwt, known("Jwt"));
    assert_eq!(layer, known("Layer"));
    assert_eq!(share, known("Share"));
    assert!(window.remove("not"), "in place of the window");
    assert_eq!(window, known("Window"));
    assert_eq!(set(rule::RULE_KEYS), known("Rule"));
    assert_eq!(set(lanes::LANE_KEYS), known("Lane"));
    assert_eq!(set(lanes::BASELINE_KEYS), known("Baseline"));
    assert_eq!(set(when::TESTS), known("Tests"));
    assert_eq!(set(lanes::SERVICE_KEYS), properties(&schema["$defs"]["ServiceOnLane"]["anyOf"][1]));
    assert_eq!(set(source::FIRST_PARTS.into_iter().filter(|part| *part != "random")), known("Block"));
}
