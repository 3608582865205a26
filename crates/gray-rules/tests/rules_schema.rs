//! The JSON Schema of rule documents: it is the one in docs, knows every key of the reader and no other, and judges as the
//! reader does wherever a schema can.

use std::{fs, path::Path};

use gray_document::{Documents, check};
use gray_rules::{RuleSet, schema};
use gray_settings::GraySettings;
use jsonschema::Validator;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

const EVERY_KEY: &str = include_str!("every-key.yaml");
const SETTINGS: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, namespaces: [gray-ns], \
                        gateway: { enabled: true } }\n";

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&schema::json()).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

/// What an editor makes of YAML.
fn yaml(text: &str) -> Value {
    let mut open: Vec<Value> = Vec::new();
    let mut keys: Vec<Option<String>> = Vec::new();
    let mut done = None;
    for event in Parser::new_from_str(text) {
        let value = match event.expect("YAML").0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => match &*text {
                "" | "~" | "null" => Value::Null,
                "true" => true.into(),
                "false" => false.into(),
                text => text.parse().ok().map_or_else(|| text.into(), |number: f64| json!(number)),
            },
            Event::Scalar(text, ..) => text.as_ref().into(),
            Event::MappingStart(..) => {
                open.push(Value::Object(Map::new()));
                keys.push(None);
                continue;
            }
            Event::SequenceStart(..) => {
                open.push(Value::Array(Vec::new()));
                keys.push(None);
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                keys.pop();
                open.pop().expect("open")
            }
            _ => continue,
        };
        match (open.last_mut(), keys.last_mut()) {
            (Some(Value::Array(items)), _) => items.push(value),
            (Some(Value::Object(map)), Some(key)) => match key.take() {
                Some(name) => drop(map.insert(name, value)),
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
            _ => done = Some(value),
        }
    }
    done.unwrap_or_default()
}

/// What is wrong with a document, warnings left out.
fn refused(text: &str) -> Option<String> {
    let read = |documents: &Documents| {
        RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"));
        documents.root().section("gray").reject_unknown();
    };
    check(&[("settings", SETTINGS), ("gray-rules.yaml", text)], read).err().map(|problems| problems.to_string())
}

#[test]
fn the_schema_in_docs_is_this_one() {
    let file = fs::read_to_string(docs().join("gray-rules.schema.json")).unwrap_or_default();
    let advice = "docs/gray-rules.schema.json is out of date: grayctl schema > docs/gray-rules.schema.json";
    assert!(file == schema::json(), "{advice}");
}

#[test]
fn every_example_fits() {
    let validator = validator();
    let mut count = 0;
    for entry in fs::read_dir(docs().join("examples")).expect("a directory") {
        let mut path = entry.expect("an entry").path();
        if path.is_dir() {
            path.push("gray-rules.yaml");
        }
        let document = yaml(&fs::read_to_string(&path).expect("readable"));
        let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        count += 1;
    }
    assert!(count >= 15);
}

#[test]
fn mistakes_do_not_fit_and_are_refused_by_the_reader() {
    let validator = validator();
    for text in [
        "gray: { ruls: [] }",
        "gray: { kill: maybe }",
        "gray: { rules: { name: a } }",
        "gray: { rules: [{ name: r, when: { header.x: a } }] }",
        "gray: { rules: [{ name: r, lane: gray }] }",
        "gray: { rules: [{ name: a b, when: { header.x: a }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: {}, lane: gray }] }",
        "gray: { rules: [{ name: r, when: [], lane: gray }] }",
        "gray: { rules: [{ name: r, when: { headr.x: a }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { header.x: { matches: a } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { header.x: { not: {} } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { header.x: { exists: maybe } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { header.x: { below: five } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { ip: { prefix: '10.' } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { user-agent: { version: 7 } }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { time: { from: '09:00' } }, lane: gray }] }",
        "gray: { rules: [{ name: r, share: { key: ip }, lane: gray }] }",
        "gray: { rules: [{ name: r, share: { percent: 101, key: ip }, lane: gray }] }",
        "gray: { rules: [{ name: r, when: { header.x: a }, lane: gray, weight: 5 }] }",
        "gray: { lanes: { v2: { select: V2, fallback: prod } } }",
        "gray: { lanes: { v2: { select: 'V 2' } } }",
        "gray: { lanes: { v2: { select: { a: 1, b: 2 } } } }",
        "gray: { lanes: { v2: {} } }",
        "gray: { lanes: { v2: { select: V2, tag: gray } } }",
        "gray: { lanes: { v2: { services: { a: { select: V2, fallbak: any } } } } }",
        "gray: { baseline: { selct: V2 } }",
        "gray: { layers: { one: { salt: a } } }",
        "gray: { layers: { one: { key: ip, slot: 0..5 } } }",
        "gray: { jwt: { token: [a] } }",
        "gray: { sprung: {} }",
    ] {
        assert!(!validator.is_valid(&yaml(text)), "the schema takes {text}");
        assert!(refused(text).is_some(), "the reader takes {text}");
    }
}

/// Where names are the document's own: below these nothing is misspelt.
const FREE: [&str; 7] = ["lanes", "facts", "layers", "services", "header", "query", "cookie"];

/// Every way to misspell one key, with the path to it.
fn misspelt(value: &Value, path: &[String]) -> Vec<(Vec<String>, Value)> {
    let step = |key: &str| [path, &[key.to_owned()]].concat();
    match value {
        Value::Object(map) => {
            let parent = path.last().map_or("", String::as_str);
            let is_selector = parent == "select" || parent == "old";
            // A test that is misspelt there is one more member.
            let is_member =
                path.iter().any(|part| part == "cookie-json") || path.windows(2).any(|pair| pair == ["when", "jwt"]);
            let is_inside = is_selector || is_member || FREE.contains(&parent);
            let mut all = Vec::new();
            for (key, below) in map {
                if !is_inside && !key.contains('.') && key != "user" {
                    let mut other = map.clone();
                    let moved = other.remove(key).expect("there");
                    other.insert(format!("{key}x"), moved);
                    all.push((step(key), Value::Object(other)));
                }
                // That part is read with the routes.
                if parent == "gray" && key == "spring" {
                    continue;
                }
                for (path, below) in misspelt(below, &step(key)) {
                    let mut other = map.clone();
                    other.insert(key.clone(), below);
                    all.push((path, Value::Object(other)));
                }
            }
            all
        }
        Value::Array(items) => {
            let mut all = Vec::new();
            for (place, item) in items.iter().enumerate() {
                for (path, below) in misspelt(item, path) {
                    let mut other = items.clone();
                    other[place] = below;
                    all.push((path, Value::Array(other)));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_key_is_known_to_both_and_no_misspelt_one_to_either() {
    let validator = validator();
    let document = yaml(EVERY_KEY);
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(refused(EVERY_KEY), None);
    assert_eq!(refused(&document.to_string()), None, "JSON is YAML");

    let mut mutants = misspelt(&document, &[]);
    mutants.retain(|(path, _)| path.len() > 1);
    assert!(mutants.len() > 60, "{}", mutants.len());
    for (path, mutant) in mutants {
        // As far as a schema can know, a block asks for facts that the document names.
        let is_block = path[path.len() - 2] == "when";
        assert!(is_block || !validator.is_valid(&mutant), "the schema takes {path:?} misspelt");
        assert!(refused(&mutant.to_string()).is_some(), "the reader takes {path:?} misspelt");
    }
}
