use gray_document::Profiles;

use super::*;

const SETTINGS: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 } }\n\
                        spring.cloud.gateway.httpclient.response-timeout: 5s\n";

/// What is said of a document beside good settings.
fn said(document: &str, profiles: &str) -> (Counts, Vec<String>) {
    let reading = Reading::from(profiles.parse::<Profiles>().expect("profiles"));
    let verdict = judge(&Question {
        sources: &[("common-config.yaml", SETTINGS), ("g.yaml", document)],
        reading: &reading,
        prefix: "kerwin.tool.gray",
        environment: &|_| None,
        now: 0,
        routes_in: Some("g.yaml"),
    });
    (verdict.counts(), verdict.lines())
}

fn route(id: &str, more: &str) -> String {
    format!("- {{ id: {id}, uri: 'lb://s', predicates: [Path=/{id}/**]{more} }}\n")
}

fn routes(routes: &[String]) -> String {
    format!("spring.cloud.gateway.routes:\n{}", routes.concat())
}

#[test]
fn counts_are_grammar() {
    for (errors, warnings, notes, expect) in [
        (0, 0, 0, "no errors, no warnings, no notes"),
        (0, 2, 1, "no errors, 2 warnings, 1 note"),
        (1, 1, 12, "1 error, 1 warning, 12 notes"),
    ] {
        assert_eq!(Counts { errors, warnings, notes }.to_string(), expect);
    }
}

#[test]
fn a_good_document_is_in_order_and_warnings_count_when_they_shall() {
    let (counts, lines) = said(&routes(&[route("a", "")]), "");
    assert_eq!((counts, lines), (Counts::default(), vec![]));
    let reading = Reading::default();
    let verdict = |text: &str| {
        judge(&Question {
            sources: &[("g.yaml", &format!("{SETTINGS}{text}"))],
            reading: &reading,
            prefix: "kerwin.tool.gray",
            environment: &|_| None,
            now: 0,
            routes_in: Some("g.yaml"),
        })
    };
    let warned = verdict("spring.cloud.gateway.routes: []");
    assert!(warned.is_good(false) && !warned.is_good(true), "{:?}", warned.lines());
    let report = warned.report(true, "g.yaml from here");
    assert_eq!(report[0], "the settings have warnings, which count (--strict):");
    assert_eq!(report.last().map(String::as_str), Some("no errors, 1 warning, no notes (g.yaml from here)"));
    let noted = verdict(
        "spring.cloud.gateway: { metrics.enabled: true, routes: [{ id: a, uri: 'lb://a', predicates: [Path=/**] }] }",
    );
    assert!(noted.is_good(true), "{:?}", noted.lines());
    assert_eq!(noted.report(true, "here")[0], "the settings are in order:");
    assert!(!verdict("spring.cloud.gateway.route: []").is_good(false));
}

#[test]
fn rules_and_routes_are_judged_together() {
    let rules = "gray.rules: [{ name: a, when: { header.x: 1 }, lane: gray }, { name: b, when: { header.x: 1 }, lane: gray }]\n";
    let lanes = ", metadata: { lanes: { nowhere: 'lb://t' } }";
    let (counts, lines) = said(&format!("{}{rules}", routes(&[route("a", "")])), "");
    assert_eq!(counts, Counts { warnings: 1, ..Counts::default() });
    assert!(
        lines[0].starts_with("warning  rule `b`: never reached") && lines[0].ends_with("[unreachable-rule]"),
        "{lines:?}"
    );
    let (counts, lines) = said(&format!("{}{rules}", routes(&[route("a", lanes)])), "");
    assert_eq!(counts.errors, 1, "{lines:?}");
    assert!(lines[0].starts_with("error    g.yaml:1: ") && lines[0].contains("no lane `nowhere`"), "{lines:?}");
}

/// Two routes lead to services of one name in different places; more spaces than are followed are an error, and one that says what the
/// settings say is not needed.
#[test]
fn spaces_of_routes() {
    let with = |id: &str, space: &str| route(id, &format!(", metadata: {{ space: '{space}' }}"));
    let both = routes(&[with("a", "@A"), with("b", "ns@B"), route("c", "")]);
    let mesh = |text: &str| format!("{both}kerwin.tool.gray: {{ {text} }}\n");
    assert_eq!(said(&both, ""), (Counts::default(), vec![]));
    assert_eq!(said(&mesh("spaces: { s: '@C', t: '@A' }"), "").1, Vec::<String>::new());
    let (counts, lines) = said(&mesh("spaces: { s: '@A' }"), "");
    assert_eq!(counts, Counts { warnings: 1, ..Counts::default() }, "{lines:?}");
    assert!(lines[0].contains("`@A` of a route to s says what `spaces.s` says already"), "{lines:?}");
    for (count, expect) in [(14, 0), (15, 1)] {
        let names: Vec<_> = (0..count).map(|n| format!("n{n}")).collect();
        let (counts, lines) = said(&mesh(&format!("namespaces: [{}]", names.join(", "))), "");
        assert_eq!(counts.errors, expect, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("name 17 namespaces and groups") && line.contains("follows 16")));
    }
}

#[test]
fn routes_that_stand_in_parts_for_profiles_alone_are_a_warning() {
    let part = |profile: &str, ids: &[&str]| {
        let all: Vec<_> = ids.iter().map(|id| route(id, "")).collect();
        format!("---\nspring.config.activate.on-profile: {profile}\n{}", routes(&all))
    };
    for (document, expect) in [
        (part("prod", &["a", "b"]), "no routes without a profile; with --profile prod there are 2"),
        (
            part("dev", &["a"]) + &part("prod", &["b", "c"]),
            "no routes without a profile; with --profile dev there is 1, with --profile prod there are 2",
        ),
        (
            part("a | b", &["a"]) + &part("(c & !d) | e", &["b"]),
            "no routes without a profile; with --profile a there is 1, with --profile b there is 1, with --profile c there is 1, and so on for 1 more",
        ),
    ] {
        let (counts, lines) = said(&document, "");
        assert_eq!((counts.errors, counts.warnings), (0, 1), "{lines:#?}");
        assert_eq!(lines[0], format!("warning  g.yaml: spring.cloud.gateway.routes: {expect}"), "{lines:#?}");
    }
    // As it would be started it is an error.
    let (counts, lines) = said(&part("prod", &["a"]), "dev");
    assert!(counts.errors == 1 && lines[0].contains("no document has it"), "{lines:#?}");
    let (counts, _) = said(&part("prod", &["a"]), "prod");
    assert_eq!(counts, Counts::default());
    let (counts, lines) = said("other: 1", "");
    assert!(counts.errors == 1 && lines[0].contains("write `spring.cloud.gateway.routes: []`"), "{lines:#?}");
}

#[test]
fn what_is_wrong_in_a_part_for_a_profile_is_told_with_its_profile() {
    let part = "---\nspring.profiles: prod\nspring.cloud.gateway.default-filters: [ 'StripPrefix=x' ]\n";
    let (counts, lines) = said(&format!("{}{part}", routes(&[route("a", "")])), "");
    assert_eq!((counts.errors, counts.warnings), (1, 0), "{lines:#?}");
    assert!(lines[0].contains("g.yaml:5: spring.cloud.gateway.default-filters[0]"), "{lines:#?}");
    assert!(lines[0].ends_with("found `x` (with --profile prod)"), "{lines:#?}");
    // What is wrong everywhere is told once, what is wrong in two with both.
    let both =
        format!("{}spring.cloud.gateway.route: 1\n{part}{}", routes(&[route("a", "")]), part.replace("prod", "dev"));
    let (counts, lines) = said(&both, "");
    assert_eq!(counts.errors, 3, "{lines:#?}");
    assert!(lines.iter().filter(|line| line.contains("(with --profile")).count() == 2, "{lines:#?}");
    // A part that only one of them has use for.
    let auth = "gray.spring.filters: { Auth: refuse }\n---\nspring.profiles: prod\nspring.cloud.gateway.default-filters: [ Auth ]\n";
    let (counts, lines) = said(&format!("{}{auth}", routes(&[route("a", "")])), "");
    assert_eq!((counts.errors, counts.warnings), (0, 1), "{lines:#?}");
    assert!(lines[0].ends_with("the entry can go (without a profile)"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with("403 (in 1 place) (with --profile prod)")), "{lines:#?}");
    let many: String = (0..20).map(|number| format!("---\nspring.profiles: p{number:02}\nx: 1\n")).collect();
    let (_, lines) = said(&format!("{}{many}", routes(&[route("a", "")])), "");
    assert!(lines.iter().any(|line| line.contains("parts for more than 8 profiles: check p08, p09")), "{lines:#?}");
}

#[test]
fn placeholders_without_a_value_are_warnings_and_nothing_follows_from_them() {
    let limit = "{ name: RequestRateLimiter, args: { redis-rate-limiter.replenishRate: '${rate}', redis-rate-limiter.burstCapacity: '${burst}' } }";
    let document = routes(&[
        "- { id: a, uri: '${where}', predicates: [Path=/a] }\n".to_owned(),
        "- { id: b, uri: 'http://${host}:80', predicates: ['Path=/${part}/**'], metadata: { response-timeout: '${wait}' } }\n".into(),
        route("c", &format!(", filters: [ {limit}, 'AddRequestHeader=X-A, ${{value}}' ]")),
        route("d", ""),
    ]);
    let (counts, lines) = said(&document, "");
    assert_eq!((counts.errors, counts.warnings), (0, 7), "{lines:#?}");
    for key in ["where", "host", "part", "wait", "rate", "burst", "value"] {
        let line = lines.iter().find(|line| line.contains(&format!("`${{{key}}}`"))).expect(key);
        assert!(
            line.starts_with("warning  g.yaml:") && line.contains("the gateway will not start without it"),
            "{line}"
        );
    }
}
