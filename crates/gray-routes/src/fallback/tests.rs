use gray_document::Documents;

use crate::RouteTable;

/// The table of a document, and its problems as they are shown.
fn read(text: &str) -> (RouteTable, Vec<String>) {
    let documents =
        Documents::parse(&[("g.yaml", text)], &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let table = RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    (table, problems.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect())
}

#[test]
fn answers_by_path() {
    let (table, problems) = read(
        r#"
gray.spring.fallbacks:
  "forward:/fallback/**": { status: 200, body: all }
  /fallback/user: { body: '{"code":503}' }
  '/fallback/{name}': { status: GONE, body: <p>, contentType: text/html }
  /list: { status: "404", body: "[]" }"#,
    );
    assert_eq!(problems, Vec::<String>::new());
    let shown = |path: &str| {
        table.fallback(path).expect("few steps").map_or_else(String::new, |answer| {
            format!("{} {} {}", answer.status.as_u16(), answer.content_type.to_str().expect("text"), answer.body)
        })
    };
    for (path, expect) in [
        ("/fallback/user", "503 application/json {\"code\":503}"),
        ("/fallback", "200 text/plain;charset=UTF-8 all"),
        ("/fallback/order", "200 text/plain;charset=UTF-8 all"),
        ("/list", "404 application/json []"),
        ("/other", ""),
    ] {
        assert_eq!(shown(path), expect, "{path}");
    }
}

/// An answer that takes too long to find is not passed over for another one, or for a route.
#[test]
fn what_takes_too_many_steps_is_not_known() {
    let (table, problems) = read(
        r"gray.spring.fallbacks: { '/f/{x:(?!ok)(?:a+)+b}': { status: 403 }, '/f/**': { status: 200 }, /f/known: { body: x } }",
    );
    assert_eq!(problems, Vec::<String>::new());
    let status = |path: &str| table.fallback(path).map(|answer| answer.map(|answer| answer.status.as_u16()));
    let expensive = format!("/f/{}", "a".repeat(60));
    for (path, expect) in [
        ("/f/aab", Some(Some(403))),
        ("/f/x", Some(Some(200))),
        ("/f/known", Some(Some(503))),
        (&*expensive, None),
        ("/g", Some(None)),
    ] {
        assert_eq!(status(path).ok(), expect, "{path}");
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_said() {
    let long = format!("{{ body: '{}' }}", "x".repeat(65_537));
    for (answer, expect) in [
        ("text", "expected an answer"),
        ("{ status: 99 }", "from 200 to 599"),
        ("{ status: 101 }", "from 200 to 599"),
        ("{ contentType: \"a\\r\\nb: c\" }", "expected a type"),
        ("{ status: 503, text: x }", "unknown key"),
        (&*long, "at most 65536"),
    ] {
        let (_, problems) = read(&format!("gray.spring.fallbacks: {{ /f: {answer} }}"));
        assert!(
            problems.iter().any(|problem| problem.starts_with("Error g.yaml:1") && problem.contains(expect)),
            "{expect}: {problems:#?}"
        );
    }
    let (_, problems) = read("gray.spring.fallbacks: { f: { status: 503 } }");
    assert!(problems[0].contains("must begin with `/`"), "{problems:#?}");
    let many: String = (0..300).map(|place| format!("  /f{place}: {{ status: 503 }}\n")).collect();
    let (_, problems) = read(&format!("gray.spring.fallbacks:\n{many}"));
    assert!(problems[0].contains("at most 256"), "{problems:#?}");
}

/// A controller would come before a route that takes every path.
#[test]
fn what_a_route_for_everything_takes_is_said() {
    let problems = routes("", &[("a", "'Path=/a'", "/fallback"), ("web", "'Path=/**'", "")]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("Warning") && problems[0].contains("go to route `web`"), "{problems:#?}");
    assert_eq!(
        routes("", &[("f", "'Path=/fallback'", ""), ("a", "'Path=/a'", "/fallback"), ("web", "'Path=/**'", "")]),
        Vec::<String>::new()
    );
}

/// Routes of these paths, each with its fallback.
fn routes(settings: &str, routes: &[(&str, &str, &str)]) -> Vec<String> {
    let routes = routes.iter().map(|(id, predicates, fallback)| {
        let filter = if fallback.is_empty() {
            String::new()
        } else {
            format!("{{ name: CircuitBreaker, args: {{ name: {id}, fallbackUri: 'forward:{fallback}' }} }}")
        };
        format!("- {{ id: {id}, uri: 'lb://a', predicates: [{predicates}], filters: [{filter}] }}\n")
    });
    read(&format!("{settings}\nspring.cloud.gateway.routes:\n{}", routes.collect::<String>())).1
}

#[test]
fn circles_are_errors() {
    for (list, circle) in [
        (&[("a", "'Path=/a/**'", "/a/fallback")][..], "a"),
        (&[("a", "'Path=/**'", "/fallback")], "a"),
        (&[("a", "'Path=/a'", "/b"), ("b", "'Path=/b'", "/a")], "a"),
        (&[("a", "'Path=/a'", "/b"), ("b", "'Path=/b'", "/c"), ("c", "'Path=/c'", "/b")], "b"),
        (&[("a", "'Path=/a/**', 'Host=a'", "/a/f")], "a"),
    ] {
        let problems = routes("", list);
        let errors: Vec<_> = problems.iter().filter(|problem| problem.starts_with("Error")).collect();
        assert_eq!(errors.len(), 1, "once: {list:?} {problems:#?}");
        assert!(errors[0].contains("leads back") && errors[0].contains(&format!("to route `{circle}`")), "{errors:#?}");
        // An answer ends it.
        let answers = "gray.spring.fallbacks: { '/**': { status: 503 } }";
        assert_eq!(routes(answers, list), Vec::<String>::new(), "{list:?}");
    }
    for list in [
        &[("a", "'Path=/a'", "/b"), ("b", "'Path=/b'", "")][..],
        &[("a", "'Path=/a'", "/b"), ("b", "'Path=/b'", "/c"), ("c", "'Path=/c'", "")],
        // Another route takes it first.
        &[("f", "'Path=/fallback'", ""), ("a", "'Path=/**'", "/fallback")],
        // Perhaps this one does not take what comes from there.
        &[("a", "'Path=/a'", "/b"), ("b", "'Path=/b', 'Method=GET'", "/a")],
    ] {
        let problems = routes("", list);
        assert!(!problems.iter().any(|problem| problem.starts_with("Error")), "{list:?}: {problems:#?}");
    }
}

#[test]
fn what_a_controller_answers_is_asked_for_once() {
    let list = [("a", "'Path=/a'", "/fallback"), ("b", "'Path=/b'", "/fallback"), ("c", "'Path=/c'", "/a")];
    let problems = routes("", &list);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with("Warning")
            && problems[0].contains("Java controller behind fallbackUri forward:/fallback")
    );
    assert!(
        problems[0].contains("get 503") && problems[0].contains("gray.spring.fallbacks: { \"/fallback\": {"),
        "{problems:#?}"
    );
}
