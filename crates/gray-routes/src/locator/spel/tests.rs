use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Spel, String> {
    Spel::parse(text, &Budget::default())
}

fn metadata() -> Metadata {
    [("edge", "true"), ("version", "V2"), ("a-b", "x")].into_iter().collect()
}

#[test]
fn truths() {
    let metadata = metadata();
    let root = Root { service_id: "order-app", metadata: Some(&metadata) };
    for (text, expect) in [
        ("true", true),
        ("false", false),
        ("serviceId == 'order-app'", true),
        ("serviceId=='user-app'", false),
        ("serviceId != 'user-app'", true),
        ("'order-app'.equals(serviceId)", true),
        ("serviceId.startsWith('order')", true),
        ("!serviceId.endsWith('-app')", false),
        ("serviceId.contains('er-') and not serviceId.contains('x')", true),
        ("serviceId matches 'order-.*'", true),
        ("serviceId matches 'order'", false),
        ("metadata['edge']=='true'", true),
        ("metadata['edge'] == true", false),
        ("metadata.version eq 'V2'", true),
        ("metadata.get('a-b') ne null", true),
        ("metadata['none'] != null", false),
        ("metadata['none'] == null || false", true),
        ("(serviceId == 'a' or serviceId == 'order-app') && !(metadata['edge'] == 'false')", true),
        ("serviceId.toUpperCase() == 'ORDER-APP'", true),
        ("'true'", false),
        ("serviceId", false),
    ] {
        assert_eq!(parse(text).expect(text).holds(root), expect, "{text}");
    }
}

/// Services of which it is not known whether they are meant have no route, however the expression asks.
#[test]
fn what_takes_too_many_steps_does_not_hold() {
    let name = "a".repeat(60);
    let expensive = "serviceId matches '(?!ok)(?:a+)+b'";
    for (text, expect) in [
        (expensive.to_owned(), false),
        (format!("!({expensive})"), false),
        (format!("not ({expensive}) and serviceId != 'b'"), false),
        (format!("({expensive}) == false"), false),
        (format!("({expensive}) or true"), false),
        (format!("true or {expensive}"), true),
        ("!(serviceId matches '(?!ok)a+b')".to_owned(), true),
    ] {
        assert_eq!(parse(&text).expect(&text).holds(Root { service_id: &name, metadata: None }), expect, "{text}");
    }
}

#[test]
fn texts() {
    let metadata = metadata();
    let root = Root { service_id: "Order", metadata: Some(&metadata) };
    for (text, expect) in [
        ("'/'+serviceId+'/**'", "/Order/**"),
        ("'/services/' + serviceId.toLowerCase() + '/?(?<remaining>.*)'", "/services/order/?(?<remaining>.*)"),
        ("'it''s'", "it's"),
        ("\"'/${remaining}'\"", "'/${remaining}'"),
        ("metadata['none']", "null"),
        ("2", "2"),
    ] {
        assert_eq!(parse(text).expect(text).text(root), expect, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    for text in [
        "",
        "host == 'a'",
        "T(java.lang.Runtime).getRuntime().exec('x')",
        "@bean.allows(serviceId)",
        "#root",
        "serviceId.length() > 3",
        "serviceId.startsWith('a'",
        "serviceId startsWith 'a'",
        "metadata",
        "metadata[edge",
        "'a",
        "true true",
        "serviceId matches metadata['a']",
        "serviceId matches '('",
        "new String('a')",
        "a ? b : c",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse(&"(".repeat(500)).is_err());
    assert!(parse(&"!".repeat(500)).is_err());
    assert!(parse(&format!("'{}'", "a".repeat(LONGEST))).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-zA-Z'\"()\\[\\].+!=&| ]{0,60}") {
        let metadata = metadata();
        if let Ok(spel) = parse(&text) {
            spel.text(Root { service_id: "a", metadata: Some(&metadata) });
        }
    }
}
