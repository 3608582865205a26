use gray_document::Documents;

use super::*;
use crate::RouteTable;

const ROUTE: &str = "spring.cloud.gateway.routes: [ { id: a, uri: 'lb://a', predicates: [Path=/**] } ]\n";

/// Problems of documents beside one good route.
fn problems(texts: &[&str]) -> Vec<String> {
    let texts: Vec<_> = std::iter::once(&ROUTE).chain(texts).map(|text| ("g.yaml", *text)).collect();
    let documents = Documents::parse(&texts, &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{texts:?}"));
    RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    problems.iter().map(|problem| format!("{:?} {}: {}", problem.severity, problem.path, problem.message)).collect()
}

/// A key that a pattern is for.
fn key(under: Under, pattern: &str, gateway: &str) -> String {
    let pattern = pattern.replace('*', "something");
    match under {
        Under::Gateway => format!("{gateway}.{pattern}"),
        Under::Root => pattern,
    }
}

#[test]
fn every_row_is_the_one_that_judges_its_keys() {
    for &(under, pattern, value, verdict, text) in TABLE {
        for gateway in [OLD, "spring.cloud.gateway.server.webflux"] {
            let key = key(under, pattern, gateway);
            let value = value.map_or("x".to_owned(), |value| value.to_string());
            for written in [format!("{key}: {value}"), format!("{key}: {{ some: thing }}")] {
                if written.ends_with('}') && value != "x" {
                    continue;
                }
                let problems = problems(&[&written]);
                let [problem] = &*problems else { panic!("{written}: {problems:#?}") };
                assert!(problem.starts_with(&format!("{verdict:?} {key}: {text}")), "{written}: {problem}");
                assert_eq!(problem.contains("`acknowledge: {"), verdict == Error, "{problem}");
            }
        }
    }
}

#[test]
fn what_is_acknowledged_is_a_note_and_the_rest_stays_an_error() {
    for (written, acknowledge) in [
        ("spring.security.user.name: u", "{ spring.security: the services check }"),
        ("spring.security.user.name: u", "{ 'spring.security.user': the services check }"),
        ("spring.security.user.name: u", "{ spring: { security: the services check } }"),
        (
            "spring.cloud.sentinel.datasource.ds1.nacos.rule-type: gw-flow",
            "{ spring.cloud.sentinel.dataSource: the services check }",
        ),
        (
            "spring.cloud.gateway.server.webflux.httpclient.proxy.host: h",
            "{ spring.cloud.gateway.httpclient.proxy: the services check }",
        ),
        ("spring.cloud.gateway.enabled: false", "{ spring.cloud.gateway.enabled: the services check }"),
    ] {
        let problems = problems(&[written, &format!("gray.spring.acknowledge: {acknowledge}")]);
        let [problem] = &*problems else { panic!("{written}: {problems:#?}") };
        assert!(problem.starts_with("Note") && problem.contains("acknowledged, the services check: "), "{problem}");
    }
    let both = "spring.security: { user: { name: u }, oauth2.resourceserver.jwt.jwk-set-uri: 'https://h' }";
    let problems = problems(&[both, "gray.spring.acknowledge: { spring.security.user: x }"]);
    let [one, other] = &*problems else { panic!("{problems:#?}") };
    assert!(one.starts_with("Error spring.security.oauth2.resourceserver: "), "{one}");
    assert!(other.starts_with("Note spring.security.user: acknowledged, x: "), "{other}");
}

#[test]
fn acknowledgements_need_a_reason_and_something_to_acknowledge() {
    let long = format!("{{ spring.security: {} }}", "x".repeat(400));
    let many: String = (0..300).map(|number| format!("k{number}: x, ")).collect();
    for (acknowledge, severity, words) in [
        ("{ spring.security: x }", "Warning", "acknowledge.spring.security: no document has anything there"),
        ("{ spring.security: '' }", "Error", "expected a reason"),
        ("{ spring.security: [x] }", "Error", "expected a reason"),
        ("x", "Error", "expected a map"),
        (&*long, "Error", "at most 300 characters"),
        (&*format!("{{ {many} }}"), "Error", "at most 256 entries"),
    ] {
        let problems = problems(&[&format!("gray.spring.acknowledge: {acknowledge}")]);
        let found = problems.iter().any(|problem| problem.starts_with(severity) && problem.contains(words));
        assert!(found, "{acknowledge}: {problems:#?}");
    }
}

#[test]
fn sentinel_that_is_off_is_not_in_question() {
    let problems =
        problems(&["spring.cloud.sentinel: { enabled: false, datasource.a.nacos.rule-type: gw-flow, eager: true }"]);
    assert!(problems.len() == 3 && problems.iter().all(|problem| problem.starts_with("Note")), "{problems:#?}");
}

#[test]
fn what_no_row_has_is_a_warning_as_ever() {
    let problems = problems(&["spring.cloud.gateway.httpclient.something: x"]);
    let expect =
        "Warning spring.cloud.gateway.httpclient.something: this gateway does not know this setting; it has no effect";
    assert_eq!(problems, [expect]);
}

#[test]
fn harmless_ones_do_not_sound_as_if_something_were_lost() {
    for &(_, pattern, _, _, text) in TABLE {
        assert!(!["no effect", "not used", "does not know"].iter().any(|words| text.contains(words)), "{pattern}");
    }
}
