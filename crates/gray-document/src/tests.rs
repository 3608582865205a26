//! Tables of documents and what becomes of them.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

mod formats;
mod parts;

fn env(name: &str) -> Option<String> {
    [("HOME_REGION", "hz"), ("exact.name", "exact"), ("MYAPP_URLBASE", "spring")]
        .into_iter()
        .find_map(|(key, value)| (key == name).then(|| value.to_owned()))
}

fn documents(text: &str) -> Documents {
    Documents::parse(&[("a.yaml", text)], &env).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn refused(text: &str) -> String {
    Documents::parse(&[("a.yaml", text)], &env).expect_err(text).to_string()
}

/// What `read` says about a document, as text.
fn complaints<T>(text: &str, read: impl Fn(&Section<'_>) -> T) -> String {
    let documents = documents(text);
    read(&documents.root());
    documents.take_problems().to_string()
}

#[test]
fn relaxed_and_dotted_keys_meet() {
    for text in [
        "a: {b: {prodVersion: V1}}",
        "a.b.prodVersion: V1",
        "a.b: {prod-version: V1}",
        "A: {b.PROD_VERSION: V1}",
        "a:\n  b.x: 1\na.b:\n  prodversion: V1",
        "\u{feff}a: {b: {prodVersion: V1}}",
        "--- # empty\n---\na: {b: {prodVersion: V0}}\n---\na.b.prodVersion: V1\n",
        "d: &d {prodVersion: V1, x: 1}\na:\n  b:\n    <<: *d\n    x: 2",
        "d: &d {prodVersion: V1}\na: {b: *d}",
    ] {
        let documents = documents(text);
        let section = documents.root().section("a.b");
        assert_eq!(section.string("prodVersion").as_deref(), Some("V1"), "{text}");
        assert_eq!(section.string("prod-version").as_deref(), Some("V1"), "{text}");
        assert!(documents.take_problems().is_empty(), "{text}");
    }
}

#[test]
fn later_documents_win_key_by_key_and_lists_as_a_whole() {
    let one = "a: {x: 1, list: [1, 2, 3], keep: k, gone: g}\nm: {inner: 1}";
    let two = "a:\n  x: 2\n  list: [9]\n  gone:\nm:";
    let documents = Documents::parse(&[("one.yaml", one), ("two.yaml", two)], &env).expect("good");
    let a = documents.root().section("a");
    assert_eq!(a.u64("x"), Some(2));
    assert_eq!(a.string("keep").as_deref(), Some("k"));
    assert_eq!(a.string("gone"), None, "an empty key takes a value back");
    assert_eq!(a.items("list").iter().filter_map(Item::text).collect::<Vec<_>>(), ["9"]);
    assert_eq!(documents.root().u64("m.inner"), Some(1), "but not a whole map");
    a.error("x", "here");
    a.error("keep", "there");
    let text = documents.take_problems().to_string();
    assert_eq!(text, "two.yaml:2: a.x: here\none.yaml:1: a.keep: there");
}

#[test]
fn values_are_read_as_spring_reads_them() {
    let documents = documents(
        "t: [true, yes, On, 'TRUE', 1, '1']\nf: [false, no, OFF, 0]\ne: {a: , b: ~, c: null, d: '', e: '  ', f: '${nix:}'}\n\
         n: {u: 7, f: 0.5, s: 007, q: 'null'}\nd: {a: 500ms, b: 5s, c: 1m, d: 250, e: PT0.5S, f: 2h}\n\
         l: {a: 'x, y ,,z', b: [x, 1], c: , d: one}",
    );
    let root = documents.root();
    for (key, expect) in [("t", true), ("f", false)] {
        for item in root.items(key) {
            let text = format!("v: {}", item.text().expect("text"));
            assert_eq!(self::documents(&text).root().bool("v"), Some(expect), "{text}");
        }
    }
    for key in ["a", "b", "c", "d", "e", "f", "not-there"] {
        let e = root.section("e");
        assert_eq!((e.bool(key), e.string(key), e.u64(key), e.duration(key)), (None, None, None, None), "{key}");
        assert!(!e.has(key), "{key}");
    }
    let n = root.section("n");
    assert_eq!((n.u64("u"), n.f64("f")), (Some(7), Some(0.5)));
    assert_eq!((n.string("s").as_deref(), n.string("q").as_deref()), (Some("007"), Some("null")));
    let millis = [("a", 500), ("b", 5_000), ("c", 60_000), ("d", 250), ("e", 500), ("f", 7_200_000)];
    for (key, expect) in millis {
        assert_eq!(root.section("d").duration(key), Some(Duration::from_millis(expect)), "{key}");
    }
    for (key, expect) in [("a", &["x", "y", "z"][..]), ("b", &["x", "1"]), ("c", &[]), ("d", &["one"]), ("nix", &[])] {
        let l = root.section("l");
        assert_eq!(l.items(key).iter().filter_map(Item::text).collect::<Vec<_>>(), expect, "{key}");
    }
    assert_eq!(documents.take_problems().to_string(), "");
}

#[test]
fn placeholders() {
    for (value, expect) in [
        ("${x}", "1"),
        ("a${x}b${y}c", "a1b1-2c"),
        ("${nix:default}", "default"),
        ("${nix:a:b}", "a:b"),
        ("${nix:${nax:deep}}", "deep"),
        ("${nix:}", ""),
        ("${${name}}", "1"),
        ("${X}", "1"),
        ("${empty:d}", "d"),
        ("${home.region}", "hz"),
        ("${home-region}", "hz"),
        ("${exact.name}", "exact"),
        ("${myApp.urlBase}", "spring"),
        ("$\\{x}", "$\\{x}"),
        ("/(?<rest>.*) $1 {y}", "/(?<rest>.*) $1 {y}"),
        ("${x:${never.looked.at}}", "1"),
    ] {
        let text = format!("x: 1\ny: ${{x}}-2\nname: x\nempty:\nv: '{value}'");
        let documents = documents(&text);
        let items = documents.root().keys();
        let found = items.iter().find(|(key, _)| key == "v").and_then(|(_, item)| item.text());
        assert_eq!(found, Some(expect), "{value}");
        assert!(documents.take_problems().is_empty(), "{value}");
    }
}

#[test]
fn placeholders_that_cannot_be_resolved_count_when_read() {
    for (text, expect) in [
        ("k: 1\nv: ${nix.da}", "a.yaml:2: v: nothing to put for `${nix.da}`: no document and no environment"),
        ("v: ${v}", "a.yaml:1: v: the placeholder refers to itself"),
        ("v: ${w}\n\nw: ${v}", "a.yaml:1: v: the placeholder refers to itself"),
        ("v: x${y", "a.yaml:1: v: `${` is never closed in `x${y`"),
        ("m: {a: 1}\nv: ${m}", "a.yaml:2: v: `${m}` stands for a map, not for a single value"),
    ] {
        assert_eq!(complaints(text, |_| ()), "", "not read: none of our business");
        let said = complaints(text, |root| root.string("v"));
        assert!(said.starts_with(expect), "{text}: {said}");
    }
    let deep: String = (0..1_000).map(|n| format!("k{n}: ${{k{}}}\n", n + 1)).collect();
    assert!(complaints(&deep, |root| root.string("k0")).contains("32 deep"));
    let nested = format!("v: '{}x{}'", "${".repeat(5_000), "}".repeat(5_000));
    assert!(complaints(&nested, |root| root.string("v")).contains("32 deep"));
    let mut bomb = String::from("k30: xxxxxxxxxx\n");
    (0..30).for_each(|n| bomb += &format!("k{n}: ${{k{0}}}${{k{0}}}\n", n + 1));
    assert!(complaints(&bomb, |root| root.string("k0")).contains("4 MiB"));
}

fn ignore<T>(_: T) {}

#[test]
fn wrong_types_are_named_with_the_value() {
    let text = "b: maybe\nn: -1\nf: nan\nd: 5 parsecs\nl: [x]\nm: {x: 1}\ns: text\np: 10.0.0.300\nw: \"x\\ny\"";
    for (read, expect) in [
        ((|s| ignore(s.bool("b"))) as fn(&Section<'_>), "a.yaml:1: b: expected true or false, found `maybe`"),
        (|s| ignore(s.u64("n")), "a.yaml:2: n: expected a whole number, 0 or more, found `-1`"),
        (|s| ignore(s.f64("f")), "a.yaml:3: f: expected a number, found `nan`"),
        (
            |s| ignore(s.duration("d")),
            "a.yaml:4: d: expected a duration such as 500ms, 5s or 1m (a bare number is milliseconds), found `5 parsecs`",
        ),
        (|s| ignore(s.string("l")), "a.yaml:5: l: expected a text, found a list"),
        (|s| ignore(s.bool("m")), "a.yaml:6: m: expected true or false, found a map"),
        (|s| ignore(s.items("m")), "a.yaml:6: m: expected a list, found a map"),
        (|s| ignore(s.section("s").bool("x")), "a.yaml:7: s: expected a map, found `text`"),
        (|s| ignore(s.bool("s.x")), "a.yaml:7: s: expected a map, found `text`"),
        (|s| ignore(s.items("l")[0].section()), "a.yaml:5: l[0]: expected a map, found `x`"),
        (
            |s| ignore(s.parsed::<std::net::IpAddr>("p")),
            "a.yaml:8: p: `10.0.0.300` cannot be used: invalid IP address syntax",
        ),
        (|s| ignore(s.bool("w")), "a.yaml:9: w: expected true or false, found `x\\ny`"),
        (|s| s.section("m").error("y", "is missing"), "a.yaml:6: m.y: is missing"),
    ] {
        assert_eq!(complaints(text, read), expect);
    }
}

#[test]
fn unknown_keys_are_reported_once_with_line_and_suggestion() {
    let text = "load: true\nlaod: true\nzzz: 1\nversion:\n  prodVersion: V1\n  grayVersoin: V2\nunvisited: {q: 1}\n\
                list:\n  - {id: a, ur: b}";
    let read = |root: &Section<'_>| {
        root.bool("load");
        root.section("version").string("prod-version");
        root.section("version").string("grayVersion");
        root.section("unvisited");
        for item in root.items("list") {
            item.section().string("id");
            item.section().string("uri");
        }
        root.section("version").reject_unknown();
        root.reject_unknown();
        root.warn_unknown("again");
    };
    assert_eq!(
        complaints(text, read),
        "a.yaml:6: version.grayVersoin: unknown key; did you mean `grayVersion`?\n\
         a.yaml:2: laod: unknown key; did you mean `load`?\n\
         a.yaml:3: zzz: unknown key\n\
         a.yaml:9: list[0].ur: unknown key; did you mean `uri`?"
    );
    let by_placeholder = complaints("prefix: /x\npath: ${prefix}/y\n", |root| {
        root.string("path");
        root.reject_unknown();
    });
    assert_eq!(by_placeholder, "", "a key that a placeholder uses is used");
}

#[test]
fn bad_documents_are_refused_with_the_line() {
    for (text, expect) in [
        ("a: 1\nb: [1, 2\nc: 3", "a.yaml:3: not valid YAML at column"),
        ("a: 1\n\tb: 2", "a.yaml:"),
        ("a: 'x", "a.yaml:"),
        ("- 1\n- 2", "a.yaml:1: expected `key: value` lines, found a list"),
        ("text", "a.yaml:1: expected `key: value` lines, found a single value"),
        ("a: 1\nb: 2\na: 3", "a.yaml:3: a: duplicate key: already set at line 1"),
        ("prodVersion: 1\nprod-version: 3", "a.yaml:2: prod-version: duplicate key: already set at line 1"),
        ("a: {x: 1}\na: {y: 2}", "a.yaml:2: a: duplicate key: already set at line 1"),
        ("a: {x: 1}\na.x: 2", "a.yaml:2: x: duplicate key: already set at line 1"),
        ("? [a, b]\n: 1", "a.yaml:1: a list or a map cannot be a key"),
        ("a: &a [*a]", "a.yaml:1: an alias inside the very value"),
        ("a: *nobody", "a.yaml:1: not valid YAML"),
        ("a: !java.lang.Runtime x", "a.yaml:1: the tag `!java.lang.Runtime` is not supported"),
        ("<<: 1", "a.yaml:1: <<: expected a map, or a list of maps"),
        (
            "a: 1\n---\nspring.config.activate.on-profile: a & b | c",
            "a.yaml:3: spring.config.activate.on-profile: `a & b | c` is not an expression of profiles",
        ),
        ("a: \u{0}", "a.yaml:1: the text holds a NUL character"),
    ] {
        let said = refused(text);
        assert!(said.starts_with(expect), "{text}\n{said}");
    }
    let both = refused("a: 1\na: 2\nb: 1\nb: 2");
    assert_eq!(both.lines().count(), 2, "all of them at once: {both}");
}

#[test]
fn a_value_beside_keys_below_it_is_only_a_warning() {
    let text = "logging.level.com.x: debug\nlogging.level.com.x.y: info";
    assert!(complaints(text, |_| ()).starts_with("a.yaml:2: x: has a value and keys below it (line 1)"));
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    let chain: String = (0..500).fold(String::from("a0: &a0 [x]\n"), |text, n| {
        format!("{text}a{}: &a{} {}*a{n}{}\n", n + 1, n + 1, "[".repeat(40), "]".repeat(40))
    });
    let anchors = format!(
        "v: {}{}{}",
        (0..60).map(|n| format!("&x{n} [")).collect::<String>(),
        "a,".repeat(90_000),
        "]".repeat(60)
    );
    for (text, expect) in [
        (bomb, "more than 100000 values"),
        (chain, "nested more than 64 deep"),
        (anchors, "more than 100000 values"),
        (format!("a: {}", "[".repeat(10_000)), "nested more than 64 deep"),
        (format!("a: {}1{}", "{a: ".repeat(10_000), "}".repeat(10_000)), "nested more than 64 deep"),
        ((0..10_000).map(|n| format!("{}a:\n", " ".repeat(n % 90))).collect(), ""),
        (format!("{}: 1", vec!["a"; 200].join(".")), "nested more than 64 deep"),
        (format!("{}: 1", "k".repeat(1_000)), "has more than 512 bytes"),
        (format!("a: {}", "x".repeat(10 << 20)), "at most 1048576 (1 MiB) are read"),
        (format!("a: [{}]", "1,".repeat(200_000)), "more than 100000 values"),
    ] {
        let start = Instant::now();
        let said = refused(&text);
        assert!(said.contains(expect), "{said}");
        assert!(said.len() < 20_000, "a message of {} bytes", said.len());
        assert!(start.elapsed() < Duration::from_secs(5), "{expect} took {:?}", start.elapsed());
    }
    // The same large text many times over is there once, but its reader may copy it.
    let shared = format!("a: &a '{}'\nb: [{}]", "x".repeat(500_000), vec!["*a"; 50_000].join(","));
    assert!(refused(&shared).contains("more than 4 MiB of text"));
}

#[test]
fn a_missing_section_reads_as_nothing() {
    let documents = Documents::parse(&[], &env).expect("nothing is fine");
    let section = documents.root().section("a.b.c");
    assert!(!section.exists() && section.keys().is_empty() && section.items("x").is_empty());
    assert_eq!((section.path().as_str(), section.bool("x")), ("a.b.c", None));
    section.reject_unknown();
    section.error("x", "is missing");
    assert_eq!(documents.take_problems().to_string(), "(no document): a.b.c.x: is missing");
    assert!(documents.take_problems().is_empty(), "taken");
}

fn exercise(text: &str) {
    if let Ok(documents) = Documents::parse(&[("a.yaml", text), ("b.yaml", text)], &env) {
        let root = documents.root();
        for (key, item) in root.keys() {
            root.bool(&key);
            root.duration(&key);
            item.items().iter().for_each(|item| drop(item.section().keys()));
        }
        root.reject_unknown();
        drop(documents.take_problems().to_string());
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn no_yaml_like_text_panics(parts in proptest::collection::vec(
        prop_oneof![
            Just("a"), Just("b-c"), Just(": "), Just("\n"), Just("  "), Just("- "), Just("["), Just("]"), Just("{"),
            Just("}"), Just(","), Just("&x "), Just("*x"), Just("<<"), Just("'"), Just("\""), Just("|\n"), Just(">"),
            Just("? "), Just("#"), Just("---\n"), Just("!t "), Just("${"), Just(":"), Just("."), Just("%TAG"), Just("\t"),
            Just("\r\n"), Just("~"), Just("杭州"), Just("\\"), Just("\u{feff}"),
        ],
        0..60,
    )) {
        exercise(&parts.concat());
    }

    #[test]
    fn parsing_is_deterministic(keys in proptest::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2})?", 0..8)) {
        let text: String = keys.iter().map(|key| format!("{key}: 1\n")).collect();
        let read = |text: &str| match Documents::parse(&[("a.yaml", text)], &env) {
            Ok(documents) => {
                documents.root().reject_unknown();
                documents.take_problems().to_string()
            }
            Err(problems) => problems.to_string(),
        };
        prop_assert_eq!(read(&text), read(&text));
    }
}

/// What no part of a document comes to, all of them together may not either.
#[test]
fn all_documents_together_are_bounded() {
    let list = |count: usize| format!("a: [{}]", "1,".repeat(count));
    let text = format!("a: '{}'", "x".repeat(900_000));
    let commas = format!("a: '{}'", "x,".repeat(130_000));
    let copies = format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a,".repeat(9));
    for (what, one, expect) in [
        ("values", list(80_000), "150000 values in all documents"),
        ("text", text, "4 MiB of text in all documents"),
        ("commas", commas, "250000 commas in all documents"),
        ("copies", copies, "4 MiB of text in all documents"),
    ] {
        let sources = [("a.yaml", &*one), ("b.yaml", &one), ("c.yaml", &one), ("d.yaml", &one), ("e.yaml", &one)];
        let problems = Documents::parse(&sources, &env).expect_err(what).to_string();
        assert!(problems.contains(expect) && problems.contains(".yaml:"), "{what}: {problems:.300}");
    }
    let commas =
        format!("x: '{}'\n{}", "x,".repeat(50_000), (0..6).map(|n| format!("a{n}: '${{x}}'\n")).collect::<String>());
    let found = complaints(&commas, |root| ["a0", "a5"].map(|key| root.string(key)));
    assert!(found.contains("a5: placeholders expand to more than 250000 commas"), "{found:.300}");
}

/// Every way to make us look at something again and again: none takes time that grows with the square.
#[test]
fn many_unknown_keys_and_far_values_take_their_time_once() {
    let began = Instant::now();
    let unknown: String = (0..40_000).map(|number| format!("k{number}: 1\n")).collect();
    let found = documents(&unknown);
    for _ in 0..3 {
        found.root().warn_unknown("not used");
    }
    let referred: String = (0..6_000)
        .map(|number| format!("{}{number}: 1\nr{number}: '${{{}{number}:}}'\n", "k".repeat(60), "k".repeat(60)))
        .collect();
    documents(&referred).root().warn_unknown("not used");
    let deep: String = (0..50).map(|depth| format!("{}{}:\n", " ".repeat(depth), "k".repeat(500))).collect();
    let deep = format!("{deep}{}- [{}]", " ".repeat(50), "1,".repeat(50_000));
    let found = documents(&deep);
    let mut section = found.root();
    for _ in 0..49 {
        section = section.section(&"k".repeat(500));
    }
    let items = section.items(&"k".repeat(500));
    assert_eq!(items[0].items().len(), 50_000);
    assert!(items[0].items()[49_999].path().ends_with("[0][49999]"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
