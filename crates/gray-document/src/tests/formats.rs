//! Flat keys, `.properties` and JSON: the same content is the same tree, and none costs more than it may.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use crate::{
    Documents, Item,
    tree::{Node, Value},
};

fn parse(name: &str, text: &str) -> Documents {
    Documents::parse(&[(name, text)], &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn refused(name: &str, text: &str) -> String {
    Documents::parse(&[(name, text)], &|_| None).expect_err("refused").to_string()
}

/// The tree without its lines.
fn dump(node: &Node) -> String {
    match &node.value {
        Value::Missing => "~".to_owned(),
        Value::Scalar(scalar) => format!("{:?}", scalar.raw()),
        Value::List(items) => format!("[{}]", items.iter().map(dump).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let mut entries: Vec<_> = map.entries().map(|(key, node)| format!("{key:?}:{}", dump(node))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
    }
}

fn tree(name: &str, text: &str) -> String {
    let documents = parse(name, text);
    assert!(documents.take_problems().is_empty(), "{name}\n{text}");
    dump(documents.root_node())
}

#[test]
fn routes_are_the_same_in_every_spelling() {
    let nested = "\
spring:
  cloud:
    gateway:
      routes:
        - id: a
          uri: lb://a
          predicates: ['Path=/a/**', { name: Header, args: { header: X, regexp: '\\d+' } }]
        - id: b
          uri: lb://b
          predicates: [Path=/b]
";
    let flat = "\
spring.cloud.gateway.routes[0].id: a
spring.cloud.gateway.routes[0].uri: lb://a
spring.cloud.gateway.routes[0].predicates[0]: Path=/a/**
spring.cloud.gateway.routes[0].predicates[1].name: Header
spring.cloud.gateway.routes[0].predicates[1].args[header]: X
spring.cloud.gateway.routes[0].predicates[1].args[regexp]: \\d+
spring.cloud.gateway.routes[1].id: b
spring.cloud.gateway.routes[1].uri: lb://b
spring.cloud.gateway.routes[1].predicates[0]: Path=/b
";
    let mixed = "\
spring.cloud.gateway:
  routes[1]: { id: b, uri: lb://b, 'predicates[0]': Path=/b }
  routes[0].predicates: ['Path=/a/**']
  routes[0].predicates[1]: { name: Header, args: { header: X } }
spring.cloud.gateway.routes[0].predicates[1].args.regexp: \\d+
spring:
  cloud.gateway.routes[0].id: a
  cloud:
    gateway.routes[0]:
      uri: lb://a
";
    let properties = flat.replace(": ", "=").replace("\\d", "\\\\d");
    let json = r#"{"spring":{"cloud":{"gateway":{"routes":[
	{"id":"a","uri":"lb:\/\/a","predicates":["Path=/a/**",{"name":"Header","args":{"header":"X","regexp":"\\d+"}}]},
	{"id":"b","uri":"lb://b","predicates":["Path=/b"]}]}}}}"#;
    let expect = tree("a.yaml", nested);
    for (name, text) in [
        ("a.yaml", flat),
        ("a.yml", mixed),
        ("a.properties", &*properties),
        ("a", &properties),
        ("a@GROUP", &properties),
        ("a.properties@GROUP", &properties),
        ("./some.dir/a.properties", &properties),
        ("a.json", json),
        ("a", json),
        ("a", nested),
    ] {
        assert_eq!(tree(name, text), expect, "{name}\n{text}");
    }
}

#[test]
fn lists_that_are_written_flat() {
    for (text, expect) in [
        ("a[1]: y\na[0]: x", r#"{"a":["x","y"]}"#),
        ("a: [x]\nb: 1\na[1]: y", r#"{"a":["x","y"],"b":"1"}"#),
        ("a[1]: y\na: [x]", r#"{"a":["x","y"]}"#),
        ("a[0].b: x\na: [{ c: y }]", r#"{"a":[{"b":"x","c":"y"}]}"#),
        ("a[0][0]: x\na[0][1]: y\na[1][0]: z", r#"{"a":[["x","y"],["z"]]}"#),
        ("a[0]: x\na.b: y", r#"{"a":{"0":"x","b":"y"}}"#),
        ("a[b.c]: x\na: { '[d.e]': y }", r#"{"a":{"b.c":"x","d.e":"y"}}"#),
        ("a: { '[0]': x, '[1]': y }", r#"{"a":["x","y"]}"#),
        ("x: &x { 'b[0]': 1 }\ny: *x", r#"{"x":{"b":["1"]},"y":{"b":["1"]}}"#),
        ("a[0]: x\n---\na[1]: y\na[0]: z", r#"{"a":["z","y"]}"#),
        ("a[0]: x\na[1]: y\n---\na[0]: z", r#"{"a":["z"]}"#),
        ("a[1]: x", r#"{"a":{"[1]":"x"}}"#),
        ("a[4000000000]: x", r#"{"a":{"[4000000000]":"x"}}"#),
    ] {
        assert_eq!(tree("a.yaml", text), expect, "{text}");
    }
    for (text, expect) in [
        ("a[0]: x\na[0]: y", "a.yaml:2: a[0]: duplicate key: already set at line 1"),
        ("a[0]: x\n'a.[0]': y", "a.yaml:2: [0]: duplicate key: already set at line 1"),
        ("a: [x]\na[0]: y", "a.yaml:2: [0]: duplicate key: already set at line 1"),
        ("a: { '0': x, b: 1 }\na[0]: y", "a.yaml:2: 0: duplicate key: already set at line 1"),
    ] {
        assert!(refused("a.yaml", text).starts_with(expect), "{text}: {}", refused("a.yaml", text));
    }
}

#[test]
fn a_gap_is_told_to_those_who_read_the_list() {
    let documents = parse("a.yaml", "logging[3]: x\na[0]: x\na[2]: z\nb: { '[4000000000]': x }");
    let root = documents.root();
    assert!(documents.take_problems().is_empty(), "not asked for");
    assert!(root.items("a").is_empty() && root.items("b").is_empty());
    assert_eq!(
        documents.take_problems().to_string(),
        "a.yaml:2: a: the entry `[1]` is missing; number them from 0, without a gap\n\
         a.yaml:4: b: the entry `[0]` is missing; number them from 0, without a gap"
    );
    let documents = parse("a.yaml", "a[0]: x\na[2].y: z");
    documents.root().section("a").reject_unknown();
    let problems = documents.take_problems().to_string();
    assert!(problems.contains("a.yaml:1: a[0]: unknown key"), "{problems}");
}

#[test]
fn an_empty_key_is_judged_by_whose_it_is() {
    let text = "logging.level: { '': debug }\n.x: 1\nours: { '': 1, a: 2 }\nfree: { '': 1, b: 2 }\na..b: 1";
    let documents = parse("a.yaml", text);
    let root = documents.root();
    assert_eq!(root.section("ours").u64("a"), Some(2));
    root.section("ours").reject_unknown();
    let free: Vec<_> = root.section("free").keys().into_iter().map(|(key, _)| key).collect();
    assert_eq!(free, ["b"]);
    root.warn_unknown("not used");
    let problems = documents.take_problems();
    let errors: Vec<_> = problems.errors().map(|error| (error.origin.line, error.message.as_str())).collect();
    let empty = "a key, or a part of one between dots, is empty; give it a name";
    assert_eq!(errors, [(3, empty), (4, empty)], "{problems}");
    assert_eq!(problems.warnings().count(), 3, "{problems}");
}

#[test]
fn placeholders_go_through_lists() {
    let text =
        "names: [a, b]\nr: [{ id: x }]\nv: '${names[1]}${r[0].id}'\nw: '${names[7]:none}'\nx: '${names[1].y:none}'";
    let documents = parse("a.yaml", text);
    let read = |key: &str| documents.root().string(key);
    assert_eq!(read("v").as_deref(), Some("bx"));
    assert_eq!((read("w").as_deref(), read("x").as_deref()), (Some("none"), Some("none")));
    let documents = parse("a.properties", "names[0]=a\nv=${names[0]}");
    assert_eq!(documents.root().string("v").as_deref(), Some("a"));
}

#[test]
fn properties_say_what_is_odd_about_them_with_the_line() {
    let documents = parse("a.properties", "# none\na=1\nb.c=2\nA = 3\nlist=x, y\nnone=\nempty=[]\nmap={}");
    let root = documents.root();
    assert_eq!((root.u64("a"), root.u64("b.c"), root.string("none")), (Some(3), Some(2), None));
    assert_eq!(root.items("list").iter().filter_map(Item::text).collect::<Vec<_>>(), ["x", "y"]);
    assert!(root.has("empty") && root.items("empty").is_empty() && root.section("map").exists());
    assert_eq!(
        documents.take_problems().to_string(),
        "a.properties:2: a: set again in line 4, and that counts; remove one"
    );
    for (name, text, expect) in [
        ("a.properties", "a=1\nb=\\u12", "a.properties:2: `\\u` needs four hexadecimal digits"),
        ("a.properties", "spring:\n  cloud:\n    x: 1", "a.properties:1: this is YAML, and the document is named as"),
        ("a.properties", "routes:\n- id: a", "a.properties:2: this is YAML"),
        ("a.yaml", "a.b=1\nc=2", "a.yaml:1: this is a .properties document, and it is named as YAML"),
        ("a.properties", "a=1\n\0=2", "a.properties:2: the text holds a NUL character"),
        ("a.json", "{\"a\": 1, \"a\": 2}", "a.json:1: a: duplicate key"),
        ("a.json", "{\"a\": ", "a.json:2: not valid JSON at column 1"),
    ] {
        assert!(refused(name, text).starts_with(expect), "{text:?}: {}", refused(name, text));
    }
    let problems = Documents::parse(&[("a.properties", "spring.profiles=a&b|c\nx=1")], &|_| None).expect_err("mixed");
    assert!(problems.to_string().starts_with("a.properties:1: spring.profiles: `a&b|c`"), "{problems}");
}

#[test]
fn hostile_texts_are_bounded() {
    let deep = |count: usize| vec!["a"; count].join(".");
    for (name, text, expect) in [
        ("a.properties", (0..120_000).map(|n| format!("k{n}=\n")).collect::<String>(), "more than 100000 values"),
        ("a.properties", "a=\n".repeat(300_000), "more than 100000 values"),
        ("a.properties", format!("{}=1", deep(200)), "nested more than 64 deep"),
        ("a.properties", format!("a{}=1", "[0]".repeat(100)), "nested more than 64 deep"),
        ("a.properties", format!("{}=1", "k".repeat(1_000)), "has more than 512 bytes"),
        ("a.properties", format!("a={}", "x".repeat(2 << 20)), "at most 1048576 (1 MiB) are read"),
        ("a.yaml", (0..60_000).map(|n| format!("a.b.c.d[{n}]: \n")).collect(), "more than 100000 values"),
        ("a.json", format!("{{\"a\": {}", "[".repeat(10_000)), "nested more than 64 deep"),
    ] {
        let start = Instant::now();
        let said = refused(name, &text);
        assert!(said.contains(expect) && said.len() < 20_000, "{expect}: {said:.300}");
        assert!(start.elapsed() < Duration::from_secs(5), "{expect} took {:?}", start.elapsed());
    }
    let start = Instant::now();
    let far: String = (0..20_000).map(|n| format!("a[{}]: x\n", 4_000_000_000_u64 - n * 7)).collect();
    assert!(parse("a.yaml", &far).root().items("a").is_empty());
    let reversed: String = (0..20_000).rev().map(|n| format!("a[{n}].b: x\n")).collect();
    assert_eq!(parse("a.yaml", &reversed).root().items("a").len(), 20_000);
    let brackets: String = (0..1_000).map(|n| format!("{}{n}=\n", "[".repeat(500))).collect();
    drop(Documents::parse(&[("a.properties", &brackets)], &|_| None));
    drop(Documents::parse(&[("a.properties", &"\\\n".repeat(400_000))], &|_| None));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// Content, before it is written in one format or another.
#[derive(Clone, Debug)]
enum Content {
    Text(String),
    List(Vec<Content>),
    Map(BTreeMap<String, Content>),
}

fn content() -> impl Strategy<Value = BTreeMap<String, Content>> {
    let key = || "[a-d]{1,2}|[a-c]\\.[x-z]";
    let leaf = "v[a-z0-9杭😀 ,:=#!\\\\'\"$.\\[\\]\t-]{0,6}".prop_map(Content::Text);
    let inner = leaf.prop_recursive(3, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Content::List),
            proptest::collection::btree_map(key(), inner, 1..4).prop_map(Content::Map),
        ]
    });
    proptest::collection::btree_map(key(), inner, 1..5)
}

/// A text as JSON and, nearly the same, YAML have it.
fn quoted(text: &str, halves: bool) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            c if halves && u32::from(c) > 0xffff => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| write!(quoted, "\\u{unit:04x}").expect("written"));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn bracketed(key: &str) -> String {
    if key.contains('.') { format!("[{key}]") } else { key.to_owned() }
}

fn json(content: &Content) -> String {
    match content {
        Content::Text(text) => quoted(text, true),
        Content::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",\n\t")),
        Content::Map(map) => {
            let entries = map.iter().map(|(key, below)| format!("{}:\t{}", quoted(&bracketed(key), true), json(below)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

fn yaml(content: &Content, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match content {
        Content::Text(text) => writeln!(out, "{pad}{}", quoted(text, false)).expect("written"),
        Content::List(items) => items.iter().for_each(|item| {
            writeln!(out, "{pad}-").expect("written");
            yaml(item, indent + 2, out);
        }),
        Content::Map(map) => map.iter().for_each(|(key, below)| {
            writeln!(out, "{pad}{}:", quoted(&bracketed(key), false)).expect("written");
            yaml(below, indent + 2, out);
        }),
    }
}

fn flat(content: &Content, path: &str, out: &mut Vec<(String, String)>) {
    match content {
        Content::Text(text) => out.push((path.to_owned(), text.clone())),
        Content::List(items) => {
            items.iter().enumerate().for_each(|(place, item)| flat(item, &format!("{path}[{place}]"), out));
        }
        Content::Map(map) => map.iter().for_each(|(key, below)| {
            let dot = if path.is_empty() || key.contains('.') { "" } else { "." };
            flat(below, &format!("{path}{dot}{}", bracketed(key)), out);
        }),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\\' | ':' | '=' | '#' | '!' | ' ' => escaped.extend(['\\', c]),
            c if !c.is_ascii() => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| write!(escaped, "\\u{unit:04x}").expect("written"));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

proptest! {
    #[test]
    fn the_same_content_is_the_same_tree_in_every_format(content in content()) {
        let content = Content::Map(content);
        let (mut block, mut entries) = (String::new(), Vec::new());
        yaml(&content, 0, &mut block);
        flat(&content, "", &mut entries);
        let lines = |line: &dyn Fn(&(String, String)) -> String| entries.iter().map(line).collect::<String>();
        let flat_yaml = lines(&|(key, value)| format!("{}: {}\n", quoted(key, false), quoted(value, false)));
        let properties = lines(&|(key, value)| format!("{} = {}\n", escaped(key), escaped(value)));
        let reversed: String = properties.lines().rev().map(|line| format!("{line}\r\n")).collect();
        let expect = tree("a.json", &json(&content));
        prop_assert_eq!(&tree("a.yaml", &block), &expect, "{}", block);
        prop_assert_eq!(&tree("a.yaml", &flat_yaml), &expect, "{}", flat_yaml);
        prop_assert_eq!(&tree("a.properties", &properties), &expect, "{}", properties);
        prop_assert_eq!(&tree("a.properties", &reversed), &expect, "{}", reversed);
    }

    #[test]
    fn no_text_panics_in_any_format(text in any::<String>(), lines in proptest::collection::vec(
        prop_oneof![
            Just("a"), Just("[0]"), Just("[1]"), Just("[b.c]"), Just("."), Just("="), Just(": "), Just("\n"), Just("\\"),
            Just("\\u00e9"), Just("\\ud83d"), Just("\r\n"), Just("#"), Just("#---\n"), Just("---\n"), Just("!"), Just("["),
            Just("]"), Just("{"), Just("}"), Just("\""), Just(","), Just("\t"), Just("spring.profiles: "), Just("a & b"),
            Just("(a | !b)"), Just("${a[0]}"), Just("- "), Just("杭州"),
        ],
        0..60,
    )) {
        for name in ["a", "a.yaml", "a.json", "a.properties"] {
            for text in [&text, &lines.concat()] {
                if let Ok(documents) = Documents::parse(&[(name, text), (name, text)], &|_| None) {
                    let root = documents.root();
                    for (key, item) in root.keys() {
                        root.bool(&key);
                        item.items().iter().for_each(|item| drop(item.section().keys()));
                    }
                    root.reject_unknown();
                    drop(documents.take_problems().to_string());
                }
            }
        }
    }
}
