//! How documents are written: lists, placeholders, filters that are not Spring's.

use super::{document, errors::check, read};

#[test]
fn elements_of_a_list_are_not_split() {
    let (table, problems) = read(&document("{ name: Path, args: { patterns: ['/a,b', '/c'] } }", ""));
    assert!(problems.is_empty(), "{problems:#?}");
    let taken = |path: &str| super::taken(&table, &super::Request::get(path)).to_owned();
    assert_eq!([taken("/a,b"), taken("/c"), taken("/a")], ["one", "one", "-"]);
}

#[test]
fn a_login_that_token_relay_would_need() {
    let login = "spring.security.oauth2.client.registration.a.client-id: b\n";
    let text = format!("spring.cloud.gateway:\n  default-filters: [ TokenRelay ]\n{login}");
    let (_, problems) = read(&text);
    let [relay, login] = &*problems else { panic!("{problems:#?}") };
    assert!(relay.starts_with("Error g.yaml:2") && relay.contains("this gateway has no login"), "{relay}");
    assert!(login.starts_with("Error g.yaml:3: spring.security.oauth2.client: "), "{login}");
    // Once it is said that the login is elsewhere, there is none here to pass on from.
    let (_, problems) = read(&format!("{text}gray.spring.acknowledge: {{ spring.security: the login is in front }}\n"));
    assert!(problems.iter().all(|problem| !problem.starts_with("Error")), "{problems:#?}");
}

#[test]
fn own_filters_do_not_hide_what_else_is_wrong() {
    let (_, problems) = read(&document("Path=/**, 'Method=G T'", "OwnFilter1, 'StripPrefix=x', OwnFilter22=1"));
    assert_eq!(problems.len(), 4, "{problems:#?}");
    let own = problems.iter().filter(|problem| problem.contains("system's own Java class (OwnFilter"));
    assert_eq!(own.count(), 2, "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.contains("did you mean")), "{problems:#?}");
}

#[test]
fn too_many_filters_are_refused() {
    let many = "'AddRequestHeader=X, y', ".repeat(65);
    check(
        &document("Path=/**", many.trim_end_matches(", ")),
        "Error",
        4,
        &["65 filters of header fields of requests", "at most 64"],
    );
}

/// A document whose placeholders are filled in from this environment.
fn read_in(text: &str, env: &dyn Fn(&str) -> Option<String>) -> (super::RouteTable, Vec<String>) {
    let documents = gray_document::Documents::parse(&[("g.yaml", text)], env).expect("well formed");
    let table = super::RouteTable::read(&documents.root());
    (table, documents.take_problems().iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect())
}

#[test]
fn a_placeholder_in_rewrite_path_may_be_a_group() {
    let env = |name: &str| matches!(name, "PATH" | "VERSION").then(|| "/from/env".to_owned());
    for (filter, path, expect, said) in [
        ("'RewritePath=/docs/(?<path>.*), /${path}/docs'", "/docs/x", "/x/docs", Some("Spring would put the variable")),
        ("'RewritePath=/docs/(?<rest>.*), /${rest}'", "/docs/x", "/x", Some("no document sets `${rest}`")),
        (
            "{ name: RewritePath, args: { regexp: '/api/(?<x>.*)', replacement: '/${x}/z' } }",
            "/api/q",
            "/q/z",
            Some("`$\\{x}`"),
        ),
        // What a document or the environment sets is filled in, as ever.
        ("'RewritePath=/docs/(?<rest>.*), /${base}/$\\{rest}'", "/docs/x", "/set/x", None),
        ("'RewritePath=/docs/(?<rest>.*), ${version}/$\\{rest}'", "/docs/x", "/from/env/x", None),
        ("'RewritePath=/docs/(?<rest>.*), /${other:v1}/$\\{rest}'", "/docs/x", "/v1/x", None),
    ] {
        let text = format!("base: set\n{}", document("Path=/**", filter));
        let (table, problems) = read_in(&text, &env);
        let route = table.routes().first().unwrap_or_else(|| panic!("{filter}: {problems:#?}"));
        assert_eq!(route.filters.rewrite(path, &Default::default()).expect("short").path, expect, "{filter}");
        match said {
            None => assert!(problems.is_empty(), "{problems:#?}"),
            Some(said) => {
                let [problem] = &*problems else { panic!("{filter}: {problems:#?}") };
                assert!(problem.starts_with("Warning g.yaml:5: ") && problem.contains(said), "{problem}");
            }
        }
    }
    // Everywhere else it is an error as before.
    let (_, problems) = read_in(&document("Path=/**", "'AddRequestHeader=X, ${rest}'"), &|_| None);
    assert!(problems.len() == 1 && problems[0].contains("nothing to put for `${rest}`"), "{problems:#?}");
}
