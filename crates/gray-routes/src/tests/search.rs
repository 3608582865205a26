//! The index finds exactly what trying every route in order finds, and does not try them all.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{super::RouteTable, Request, table, taken};

/// The definition that the index must agree with.
fn linear<'t>(table: &'t RouteTable, request: &Request) -> &'t str {
    let facts = request.facts();
    let found = (0..table.routes.len()).find(|&position| table.holds(position, facts.path, &facts));
    found.map_or("-", |position| &table.routes[position].id)
}

/// A document with one route for each list of path patterns, order, and whether it asks for a header.
fn document(routes: &[(Vec<String>, i32, bool)]) -> String {
    let mut text = String::from("spring.cloud.gateway.routes:\n");
    for (number, (patterns, order, header)) in routes.iter().enumerate() {
        let mut predicates = vec!["'Method=GET'".to_owned()];
        if !patterns.is_empty() {
            predicates.push(format!("'Path={}'", patterns.join(",")));
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
    let segment = prop::sample::select(vec!["a", "b", "c", "*", "{x}", "a?", "{x:[ab]}", ""]);
    let end = prop::sample::select(vec!["", "", "/**", "/{*rest}", "/"]);
    (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let text: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        let text = text + end;
        if text.is_empty() { "/".to_owned() } else { text }
    })
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
        routes in prop::collection::vec((prop::collection::vec(pattern(), 0..3), -2..2_i32, any::<bool>()), 0..25),
        paths in prop::collection::vec((path(), any::<bool>()), 20),
    ) {
        let table = table(&document(&routes));
        prop_assert_eq!(table.routes().len(), routes.len());
        for (path, header) in paths {
            let request = Request::get(&path);
            let request = if header { request.header("x-test", "1") } else { request };
            prop_assert_eq!(taken(&table, &request), linear(&table, &request), "{}", path);
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
        if let Some(route) = table.find(&request.facts()) {
            let path = request.facts().path;
            if let Ok(sent) = route.filters.rewrite(path, &table.variables(route, path, None)) {
                prop_assert!(sent.path.starts_with('/'));
                let _prefix = sent.prefix(path);
            }
        }
    }
}

#[test]
fn the_first_in_order_wins_wherever_it_stands_in_the_index() {
    let routes = [("/a/b/**", 2), ("/a/**", 1), ("/**", 3), ("/a/{x}", 1), ("/a/b/c", 0)];
    let table = table(&document(&routes.map(|(pattern, order)| (vec![pattern.to_owned()], order, false))));
    for (path, expect) in [("/a/b/c", "r4"), ("/a/b/d", "r1"), ("/a/x", "r1"), ("/x", "r2")] {
        assert_eq!(taken(&table, &Request::get(path)), expect, "{path}");
    }
}

#[test]
fn ten_thousand_routes_are_not_tried_one_by_one() {
    let route = |n| format!("- {{ uri: 'lb://s', predicates: Path=/api-{n}/v1/** }}\n");
    let routes: String = (0..10_000).map(route).collect();
    let table = table(&format!("spring.cloud.gateway.routes:\n{routes}"));
    for n in [0, 5_000, 9_999] {
        let path = format!("/api-{n}/v1/x");
        let mut tried = 0;
        table.trie.walk(&path, |candidates| tried += candidates.len());
        assert_eq!(tried, 1, "{path}");
        assert_eq!(taken(&table, &Request::get(&path)), format!("route-{}", n + 1));
    }
    let mut tried = 0;
    table.trie.walk("/unknown", |candidates| tried += candidates.len());
    assert_eq!(tried, 0);
}
