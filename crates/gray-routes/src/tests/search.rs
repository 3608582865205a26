//! The index finds exactly what trying every route in order finds, and does not try them all.

use std::{fmt::Write as _, sync::Arc};

use proptest::prelude::*;

use gray_expression::Steps;

use super::{super::RouteTable, Request, table, taken};

/// The definition that the index must agree with.
fn linear<'t>(table: &'t RouteTable, request: &Request) -> &'t str {
    let facts = request.facts();
    let found = (0..table.routes.len())
        .find(|&position| table.holds(position, facts.path, &facts, &Steps::default()) == Ok(true));
    found.map_or("-", |position| &table.routes[position].id)
}

/// A route: its path patterns, those of a second `Path`, its host patterns, its order, and whether it asks for a header.
type Drawn = (Vec<String>, Vec<String>, Vec<String>, i32, bool);

/// A document with these routes.
fn document(routes: &[Drawn]) -> String {
    let mut text = String::from("spring.cloud.gateway.routes:\n");
    for (number, (paths, others, hosts, order, header)) in routes.iter().enumerate() {
        let mut predicates = vec!["'Method=GET'".to_owned()];
        for (name, patterns) in [("Path", paths), ("Path", others), ("Host", hosts)] {
            if !patterns.is_empty() {
                predicates.push(format!("'{name}={}'", patterns.join(",")));
            }
        }
        if *header {
            predicates.push("'Header=X-Test'".to_owned());
        }
        let predicates = predicates.join(", ");
        writeln!(text, "- {{ id: r{number}, uri: 'lb://s', order: {order}, predicates: [ {predicates} ] }}")
            .expect("text");
    }
    text
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "c", "*", "{N}", "a?", "{N:[ab]}", ""]);
    let end = prop::sample::select(vec!["", "", "/**", "/{*rest}", "/"]);
    (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let named = |(place, segment): (usize, &&str)| format!("/{}", segment.replace('N', &format!("x{place}")));
        let text: String = segments.iter().enumerate().map(named).collect();
        let text = text + end;
        if text.is_empty() { "/".to_owned() } else { text }
    })
}

fn host_pattern() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "B", "c", "*", "{x}", "a?", "**", "org", "org"]);
    prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."))
}

fn host() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "A", "b", "c", "ab", "org", "ORG", "x"]);
    prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."))
}

fn route() -> impl Strategy<Value = Drawn> {
    let (paths, hosts) =
        (|most| prop::collection::vec(pattern(), 0..most), prop::collection::vec(host_pattern(), 0..5));
    (paths(5), paths(2), hosts, -2..2_i32, any::<bool>())
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "c", "ab", "%61", "a;v=1", "", "x"]);
    prop::collection::vec(segment, 1..5)
        .prop_map(|segments| segments.iter().map(|segment| format!("/{segment}")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_index_agrees_with_trying_every_route(
        routes in prop::collection::vec(route(), 0..25),
        requests in prop::collection::vec((path(), prop::option::weighted(0.9, host()), any::<bool>()), 20),
    ) {
        let table = table(&document(&routes));
        prop_assert_eq!(table.routes().len(), routes.len());
        for (path, host, header) in requests {
            let request = Request::get(&path).host(host.as_deref());
            let request = if header { request.header("x-test", "1") } else { request };
            prop_assert_eq!(taken(&table, &request), linear(&table, &request), "{} {:?}", path, host);
        }
    }

    #[test]
    fn the_index_of_cors_settings_agrees_with_trying_all(
        patterns in prop::collection::hash_set(pattern(), 1..15),
        paths in prop::collection::vec(path(), 20),
    ) {
        let mut text = String::from("spring.cloud.gateway:\n  routes: []\n  globalcors.cors-configurations:\n");
        for (number, pattern) in patterns.iter().enumerate() {
            writeln!(text, "    '[{pattern}]': {{ max-age: {number} }}").expect("text");
        }
        let (table, _) = super::read(&text);
        for path in paths {
            let found = table.cors().find(&path).expect("known");
            let linear = table.cors().find_in_turn(&path);
            prop_assert_eq!(found.map(Arc::as_ptr), linear.map(Arc::as_ptr), "{}", path);
        }
    }

    #[test]
    fn nothing_from_outside_panics(
        predicate in "(Path|Header|Query|Cookie|Host|RemoteAddr|Weight|Method)=[/a-z{}*?:.,\\\\()\\[\\]$%0-9]{0,20}",
        filter in "(StripPrefix|RewritePath|AddRequestHeader)=[/a-z{}*?:.,\\\\()\\[\\]$%0-9]{0,20}",
        target in "[/a-z%;?&=.*0-9]{0,20}",
    ) {
        let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
        // `${` is the document's business.
        let text = super::document(&quoted(predicate), &quoted(filter)).replace("${", "{");
        let (table, problems) = super::read(&text);
        prop_assert!(table.routes().len() == 1 || !problems.is_empty());
        let request = Request::get(&target).header("cookie", "a=b");
        if let Ok(Some(route)) = table.find(&request.facts()) {
            let path = request.facts().path;
            if let Ok(sent) = route.filters.rewrite(path, &table.variables(route, path, None, &Steps::default()).unwrap_or_default()) {
                prop_assert!(sent.path.starts_with('/'));
                let _prefix = sent.prefix(path);
            }
        }
    }
}

#[test]
fn the_first_in_order_wins_wherever_it_stands_in_the_index() {
    let routes = [("/a/b/**", 2), ("/a/**", 1), ("/**", 3), ("/a/{x}", 1), ("/a/b/c", 0)];
    let drawn = |(pattern, order): (&str, i32)| (vec![pattern.to_owned()], vec![], vec![], order, false);
    let table = table(&document(&routes.map(drawn)));
    for (path, expect) in [("/a/b/c", "r4"), ("/a/b/d", "r1"), ("/a/x", "r1"), ("/x", "r2")] {
        assert_eq!(taken(&table, &Request::get(path)), expect, "{path}");
    }
}

/// How many routes a request may have to try.
fn tried(table: &RouteTable, request: &Request) -> usize {
    let (facts, mut tried) = (request.facts(), 0);
    table.index.walk(facts.path, facts.host, |candidates| tried += candidates.len());
    tried
}

/// What it is called, the predicates of the n-th route, and the path and host of a request that it takes.
type Shape = (&'static str, fn(usize) -> String, fn(usize) -> (String, String));

#[test]
fn ten_thousand_routes_are_not_tried_one_by_one() {
    const COUNT: usize = 10_000;
    let shapes: [Shape; 8] = [
        ("a literal path", |n| format!("Path=/api-{n}/v1"), |n| (format!("/api-{n}/v1"), "h".into())),
        ("as the locator", |n| format!("Path=/svc-{n}/**"), |n| (format!("/svc-{n}/a/b"), "h".into())),
        ("one beginning", |n| format!("Path=/api/v1/r{n}/**"), |n| (format!("/api/v1/r{n}/x"), "h".into())),
        (
            "a variable first",
            |n| format!("Path=/{{tenant}}/orders-{n}/**"),
            |n| (format!("/t/orders-{n}/1"), "h".into()),
        ),
        ("variables between", |n| format!("Path=/{{a}}/{{b:.+}}/r{n}/*"), |n| (format!("/1/2/r{n}/4"), "h".into())),
        ("a host", |n| format!("Host=Api-{n}.example.com"), |n| ("/x".into(), format!("api-{n}.Example.com"))),
        ("hosts below one", |n| format!("Host=*.t{n}.example.com"), |n| ("/".into(), format!("www.t{n}.example.com"))),
        (
            "a path of a host",
            |n| format!("Path=/api/**', 'Host=**.t{n}.org"),
            |n| ("/api/x".into(), format!("t{n}.org")),
        ),
    ];
    for (name, predicates, request) in shapes {
        let mut text = String::from("spring.cloud.gateway.routes:\n");
        for n in 0..COUNT {
            writeln!(text, "- {{ uri: 'lb://s', predicates: ['{}'] }}", predicates(n)).expect("text");
        }
        let table = table(&text);
        for n in [0, COUNT / 2, COUNT - 1] {
            let (path, host) = request(n);
            let request = Request::get(&path).host(Some(&host));
            assert_eq!(taken(&table, &request), format!("route-{}", n + 1), "{name}");
            assert!(tried(&table, &request) <= 8, "{name}: {}", tried(&table, &request));
        }
        assert_eq!(tried(&table, &Request::get("/unknown")), 0, "{name}");
        assert!(table.lint().iter().all(|finding| finding.code != "routes-tried-in-turn"), "{name}");
    }
}

#[test]
fn routes_that_only_trying_finds_are_named() {
    for (predicates, count, expect) in [
        ("Header=X-T, N", 64, None),
        (
            "Header=X-T, N",
            65,
            Some("65 routes have to be tried one after the other for every request: this one, `r1`, `r2`"),
        ),
        ("Path=/{x:aN}/**", 65, Some("for every request:")),
        ("Host=N.**", 65, Some("for every request:")),
        ("Path=/api/**', 'Header=X-T, N", 65, Some("for every request of `/api`:")),
        ("Path=/{x}/api/**', 'Header=X-T, N", 65, Some("for every request of `/*/api`:")),
        ("Path=/api/**', 'Host=*.a.org', 'Cookie=c, N", 65, Some("for every request of `a.org/api`:")),
    ] {
        let mut text = String::from("spring.cloud.gateway.routes:\n");
        for n in 0..count {
            let predicates = predicates.replace('N', &n.to_string());
            writeln!(text, "- {{ id: r{n}, uri: 'lb://s', predicates: ['{predicates}'] }}").expect("text");
        }
        let findings = table(&text).lint();
        let found = findings.iter().find(|finding| finding.code == "routes-tried-in-turn");
        match (found, expect) {
            (None, None) => {}
            (Some(found), Some(part)) => assert!(found.message.contains(part), "{predicates}: {}", found.message),
            (found, _) => panic!("{predicates}: {found:?}"),
        }
    }
}

/// A route with many paths and hosts does not get a place for each pair.
#[test]
fn pairs_of_paths_and_hosts_are_bounded() {
    let list = |each: fn(usize) -> String| (0..200).map(each).collect::<Vec<_>>().join(",");
    let (paths, hosts) = (list(|n| format!("/p{n}")), list(|n| format!("h{n}.org")));
    let text = format!(
        "spring.cloud.gateway.routes:\n- {{ id: a, uri: 'lb://s', predicates: ['Path={paths}', 'Host={hosts}'] }}\n\
         - {{ id: b, uri: 'lb://s', predicates: ['Path=/{{x}},{paths}', 'Host={hosts}'] }}\n"
    );
    let table = table(&text);
    assert!(table.index.len() < 2000, "{}", table.index.len());
    for (path, host, expect) in [("/p7", "h150.org", "a"), ("/q", "h1.org", "b"), ("/q", "x.org", "-")] {
        assert_eq!(taken(&table, &Request::get(path).host(Some(host))), expect, "{path} {host}");
    }
}
