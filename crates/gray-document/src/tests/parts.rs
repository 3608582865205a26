//! Parts of documents that are for profiles.

use crate::{Documents, Outline, Profiles, Reading};

fn reading(profiles: &str) -> Reading {
    Reading::from(profiles.parse::<Profiles>().expect("profiles"))
}

const PARTS: &str = "\
x: all
list: [1, 2]
map: { a: 1, b: 1 }
---
spring.profiles: dev, test
x: dev
list: [3]
map: { b: 2 }
---
spring:
  config:
    activate:
      on-profile: '!dev & (prod | eu)'
x: prod
list[0]: 4
---
spring.config.activate.on-profile: [dev, us]
y: dev or us
";

#[test]
fn a_part_is_used_when_its_profile_is_active_and_the_later_one_wins() {
    for (profiles, expect) in [
        ("", "x=all list=1,2 a=1 b=1 y=-"),
        ("dev", "x=dev list=3 a=1 b=2 y=dev or us"),
        ("test", "x=dev list=3 a=1 b=2 y=-"),
        ("prod", "x=prod list=4 a=1 b=1 y=-"),
        ("test,eu", "x=prod list=4 a=1 b=2 y=-"),
        ("dev,prod", "x=dev list=3 a=1 b=2 y=dev or us"),
        ("us", "x=all list=1,2 a=1 b=1 y=dev or us"),
        ("default", "x=all list=1,2 a=1 b=1 y=-"),
    ] {
        for (name, text) in [("a.yaml", PARTS.to_owned()), ("a.properties", properties())] {
            let documents = Documents::parse_for(&[(name, &text)], &reading(profiles), &|_| None).expect("good");
            let root = documents.root();
            let list: Vec<_> = root.items("list").iter().filter_map(|item| item.text()).map(str::to_owned).collect();
            let one = |key: &str| root.string(key).unwrap_or_else(|| "-".to_owned());
            let found =
                format!("x={} list={} a={} b={} y={}", one("x"), list.join(","), one("map.a"), one("map.b"), one("y"));
            assert_eq!(found, expect, "{name} {profiles}");
        }
    }
}

fn properties() -> String {
    "x=all\nlist[0]=1\nlist[1]=2\nmap.a=1\nmap.b=1\n#---\nspring.profiles=dev, test\nx=dev\nlist=3\nmap.b=2\n#---\n\
     spring.config.activate.on-profile=!dev & (prod | eu)\nx=prod\nlist[0]=4\n!---\n\
     spring.config.activate.on-profile[0]=dev\nspring.config.activate.on-profile[1]=us\ny=dev or us\n"
        .to_owned()
}

#[test]
fn a_part_that_is_left_out_is_told_and_hides_nothing() {
    let left_out = |text: &str| {
        let documents = Documents::parse_for(&[("a.yaml", text)], &reading("prod"), &|_| None).expect("good");
        documents.take_problems().to_string()
    };
    assert_eq!(
        left_out("a: 1\n---\nspring.profiles: dev\na: 2"),
        "a.yaml:3: spring.profiles: this part is skipped: it is for the profile `dev`; active (--profile): prod"
    );
    assert!(left_out("spring.config.activate.on-cloud-platform: kubernetes").contains("use a profile"));
    assert_eq!(
        left_out("spring.profiles.active: dev\nspring.profiles.include: [x]"),
        "",
        "which says nothing of the part"
    );
    for (text, expect) in [
        ("spring.profiles: dev\na: 1\na: 2", "a.yaml:3: a: duplicate key"),
        ("spring.profiles: dev\n---\nb: 1\nb: 2", "a.yaml:4: b: duplicate key"),
        ("spring.profiles: dev\n---\nb: [", "not valid YAML"),
        ("spring.profiles: 'dev | x & y'\na: 1", "`&` and `|` side by side need parentheses"),
        ("spring.profiles: '${WHICH}'\na: 1", "is not an expression of profiles"),
    ] {
        let problems =
            Documents::parse_for(&[("a.yaml", text)], &reading("prod"), &|_| None).expect_err(text).to_string();
        assert!(problems.contains(expect), "{text}: {problems}");
    }
}

#[test]
fn a_document_for_others_says_nothing_but_is_not_blank() {
    let outline = |text: &str, profiles: &str| Outline::of("a.yaml", text, &reading(profiles)).expect("well formed");
    let text = "spring.profiles: dev\nroutes: [1]";
    assert!(outline(text, "dev").states("routes"));
    let other = outline(text, "prod");
    assert!(!other.states("routes") && !other.has_values() && !other.is_blank());
    assert!(outline("# routes=[]", "").is_blank());
    let properties = |text: &str| Outline::of("a.properties", text, &Reading::default()).expect("well formed");
    assert!(properties("# none\na=\n").is_blank() && !properties("{}").is_blank() && !properties("a=1").is_blank());
    assert!(properties("routes: []").states("routes") && !properties("routes: []").has("routes"));
}

#[test]
fn a_list_has_a_key_where_it_may_be_one() {
    let reading = Reading { lists: vec![("routes.json".into(), "routes-document".into())], ..Reading::default() };
    let text = r#"[{ "id": "a" }, { "id": "b" }]"#;
    let documents = Documents::parse_for(&[("routes.json", text)], &reading, &|_| None).expect("a list");
    assert_eq!(documents.root().items("routes-document").len(), 2);
    let problems = Documents::parse_for(&[("other.json", text)], &reading, &|_| None).expect_err("no list");
    assert!(problems.to_string().contains("expected `key: value` lines, found a list"), "{problems}");
    let outline = Outline::of("routes.json", "[]", &reading).expect("well formed");
    assert!(!outline.is_blank() && outline.states("routes-document") && !outline.has("routes-document"));
}
