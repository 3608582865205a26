use gray_document::Documents;

use super::*;
use crate::{RouteTable, Upstream};

/// Reads routes and a mapping, with problems as they are shown.
fn read(routes: &str, spring: &str) -> (RouteTable, Vec<String>) {
    let (routes, rules) = (format!("spring.cloud.gateway.routes:\n{routes}"), format!("gray.spring:\n{spring}"));
    let documents = Documents::parse(&[("g.yaml", &routes), ("gray-rules.yaml", &rules)], &|_| None);
    let documents = documents.unwrap_or_else(|problems| panic!("{problems}\n{routes}\n{rules}"));
    let table = RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    (table, problems.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect())
}

/// A route with these filters.
fn with(filters: &str) -> String {
    format!("- {{ id: one, uri: 'lb://s', predicates: [Path=/a/**], filters: [ {filters} ] }}\n")
}

/// Of two texts, the one problem: this severity, and these words in it.
fn check(routes: &str, spring: &str, severity: &str, words: &[&str]) {
    let (_, problems) = read(routes, spring);
    let [problem] = &*problems else { panic!("expected one problem, found {problems:#?}\n{routes}\n{spring}") };
    assert!(problem.starts_with(severity), "{problem}");
    for word in words {
        assert!(problem.contains(word), "expected `{word}` in {problem}\n{spring}");
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/gray-rules.schema.json")).expect("JSON");
    let properties = schema["$defs"]["Spring"]["properties"].as_object().expect("properties");
    let mut keys = ALL_KEYS;
    keys.sort_unstable();
    assert_eq!(properties.keys().map(String::as_str).collect::<Vec<_>>(), keys);
}

#[test]
fn a_filter_of_ours_stands_in_the_place_of_an_own_one() {
    let spring = "  filters: { Auth: { use: JsonWebToken, args: { key: 0123456789abcdef, algorithm: HS256 } } }";
    let (table, problems) = read(&with("'Auth=a,b', StripPrefix=1"), spring);
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(table.routes()[0].filters.token.is_some());

    // Several keep the place of the one: the prefix is stripped before and after what they do.
    let spring = "  filters: { Own: { use: [ 'PrefixPath=/x', { name: SetPath, args: { template: '/y/{rest}' } } ] } }";
    let routes = "- { id: one, uri: 'lb://s', predicates: ['Path=/a/{rest}/**'], filters: [ Own, StripPrefix=1 ] }\n";
    let (table, problems) = read(routes, spring);
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(table.routes()[0].filters.ask_variables());

    // In the short form, and on all routes.
    let routes = format!("{}spring.cloud.gateway.default-filters: [ Log ]\n", with("StripPrefix=1"));
    let (table, problems) = read(&routes, "  filters: { Log: { use: 'PrefixPath=/logged' } }");
    assert!(problems.is_empty(), "{problems:#?}");
    let sent = table.routes()[0].filters.rewrite("/a/b", &Default::default()).expect("short");
    assert_eq!(sent.path, "/a/b", "the common one comes first");
}

#[test]
fn a_variable_that_the_route_lacks_is_found_in_what_stands_for_a_filter_too() {
    let spring = "  filters: { Own: { use: 'SetPath=/x/{segment}' } }";
    check(&with("Own"), spring, "Error g.yaml:2", &["`{segment}` is not a variable"]);
}

#[test]
fn refused_filters_close_their_routes_and_no_others() {
    let routes = [
        with("Auth, 'AddResponseHeader=X, 1'"),
        "- { id: two, uri: 'lb://t', predicates: [Path=/b/**], metadata: { lanes: { gray: 'lb://u' } }, filters: [ Auth ] }\n"
            .into(),
        "- { id: three, uri: 'lb://v', predicates: [Path=/c/**] }\n".into(),
    ]
    .concat();
    let (table, problems) = read(&routes, "  filters: { Auth: refuse }");
    let expect = "Note gray-rules.yaml:2: gray.spring.filters.Auth: routes with this filter answer every request 403 (in 2 \
                  places)";
    assert_eq!(problems, [expect]);
    for route in &table.routes()[..2] {
        assert_eq!(route.targets().map(|target| &target.upstream).collect::<Vec<_>>(), [&Upstream::Nowhere]);
        assert_eq!(route.filters.status(200).0, 403);
    }
    assert_eq!(table.routes()[2].filters.status(200).0, 200);
    assert_eq!(table.services().into_iter().collect::<Vec<_>>(), ["v".into()]);
    // As a filter of all routes, and behind a redirection.
    let common =
        format!("{}spring.cloud.gateway.default-filters: [ Auth ]\n", with("'RedirectTo=302, https://h.example'"));
    let (table, _) = read(&common, "  filters: { Auth: refuse }");
    assert_eq!(table.routes()[0].filters.status(200).0, 403);
    assert!(table.routes()[0].filters.redirect.is_none());
}

#[test]
fn dropped_filters_are_listed_with_their_reason() {
    let (table, problems) = read(
        &with("'Log=1', LocalResponseCache=30s"),
        "  filters: { Log: { drop: the access log does it }, LocalResponseCache: { drop: answers are small } }",
    );
    assert_eq!(table.routes().len(), 1);
    let [cache, log] = &*problems else { panic!("{problems:#?}") };
    assert!(
        cache.starts_with("Note") && cache.ends_with("LocalResponseCache: dropped in 1 place: answers are small"),
        "{cache}"
    );
    assert!(log.ends_with("Log: dropped in 1 place: the access log does it"), "{log}");
}

#[test]
fn bad_mappings_of_filters() {
    let long = format!("{{ Own: {{ drop: {} }} }}", "x".repeat(301));
    for (filters, words) in [
        (
            "{ Own: close }",
            &["expected `{ use: FILTER, args: { ... } }`, `refuse` or `{ drop: \"why\" }`, found `close`"][..],
        ),
        ("{ Own: }", &["expected `{ use", "found nothing"]),
        ("{ Own: {} }", &["expected `{ use"]),
        ("{ Own: { args: {} } }", &["expected `{ use"]),
        ("{ Own: { drop: '' } }", &["expected a reason, for those who come later"]),
        ("{ Own: { drop: } }", &["expected a reason, for those who come later, found nothing"]),
        ("{ Own: { drop: a, args: { a: b } } }", &["`args` belong to `use`"]),
        ("{ Own: { drop: a, use: StripPrefix } }", &["`use` and `drop` are two things"]),
        ("{ Own: { use: [] } }", &["expected 1 to 16 filters"]),
        ("{ Own: { use: [StripPrefix], args: { parts: 1 } } }", &["`args` go with one name"]),
        (
            "{ Own: { use: StripPrefx } }",
            &["`StripPrefx` is not a filter of Spring Cloud Gateway", "did you mean `StripPrefix`?"],
        ),
        ("{ Own: { use: 'StripPrefix=x' } }", &["expected a number of segments, found `x`"]),
        ("{ Own: { use: StripPrefix, args: { parts: x } } }", &["expected a number of segments, found `x`"]),
        ("{ Own: { use: StripPrefix, args: { prats: 1 } } }", &["StripPrefix has no argument `prats`"]),
        (&*long, &["a reason has at most 300 characters"]),
    ] {
        // With the filter on a route: what is wrong is said once.
        check(&with("Own"), &format!("  filters: {filters}"), "Error gray-rules.yaml:2", words);
    }
    let (_, problems) = read(&with("Own"), "  filters: { Own: { drop: a, why: b } }");
    assert!(problems.iter().any(|problem| problem.contains("filters.Own.why: unknown key")), "{problems:#?}");
    let taken = &["filters.StripPrefix: `StripPrefix` is a filter of this gateway", "remove the entry"];
    check(&with("StripPrefix=1"), "  filters: { StripPrefix: refuse }", "Error gray-rules.yaml:2", taken);
    let cache = "  filters: { LocalResponseCache: { use: StripPrefix } }";
    check(
        &with("LocalResponseCache"),
        cache,
        "Error gray-rules.yaml:2",
        &["no filter of this gateway stands for", "Cache-Control"],
    );
}

#[test]
fn entries_that_no_route_asks_for_are_told_of() {
    for (spring, words) in [
        ("  filters: { Own: refuse }", &["Warning", "filters.Own: no route has a filter `Own`; the entry can go"][..]),
        ("  keyResolvers: { ipKey: client }", &["Warning", "keyResolvers.ipKey: no route has this key resolver"]),
        ("  schemes: { grayLb: lb }", &["Warning", "schemes.grayLb", "no route has this scheme"]),
    ] {
        check(&with(""), spring, "Warning gray-rules.yaml:2", words);
    }
    let (_, problems) = read(&with("Auth"), "  filters: { Auth: refuse, auth2: refuse }");
    assert!(problems.iter().any(|problem| problem.ends_with("did you mean `Auth`?")), "{problems:#?}");
}

fn limiter(key: &str) -> String {
    with(&format!(
        "{{ name: RequestRateLimiter, args: {{ redis-rate-limiter.replenishRate: 1, key-resolver: {key} }} }}"
    ))
}

#[test]
fn a_bean_counts_as_it_is_said() {
    for (key, means, expect) in [
        ("'#{@ipKey}'", "client", RateKey::Client),
        ("'#{ @ipKey }'", "user", RateKey::User),
        ("\"#{@'ipKey'}\"", "route", RateKey::Route),
        ("'#{@ipKey}'", "header.X-Api-Key", RateKey::Header(http::HeaderName::from_static("x-api-key"))),
    ] {
        let (table, problems) = read(&limiter(key), &format!("  keyResolvers: {{ ipKey: {means} }}"));
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(table.routes()[0].filters.rates[0].key, expect, "{key}");
    }
    let (table, problems) = read(&with("'RequestRateLimiter=1, 2, 1, #{@ipKey}'"), "  keyResolvers: { ipKey: route }");
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(table.routes()[0].filters.rates[0].key, RateKey::Route);
}

#[test]
fn a_bean_of_which_nothing_is_said_counts_by_address_with_a_warning() {
    let (table, problems) = read(&limiter("'#{@ipKey}'"), "  keyResolvers: {}");
    assert_eq!(table.routes()[0].filters.rates[0].key, RateKey::Client);
    let [problem] = &*problems else { panic!("{problems:#?}") };
    for word in
        ["Warning g.yaml:2", "bean `ipKey`", "counted by the client's address", "`gray.spring.keyResolvers.ipKey`"]
    {
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn other_expressions_are_errors() {
    for key in ["'#{ipKey}'", "'#{T(java.lang.Runtime).getRuntime()}'", "'#{@a.b()}'", "'#{@}'", "'#{@a b}'", "'#{'"] {
        check(
            &limiter(key),
            "  {}",
            "Error g.yaml:2",
            &["only the name of a bean is taken", "client, user, route or header.NAME"],
        );
    }
    let elsewhere = with("{ name: RequestRateLimiter, args: { redis-rate-limiter.replenishRate: '#{@rate}' } }");
    check(&elsewhere, "  {}", "Error g.yaml:2", &["expressions are not supported"]);
    check(&with("'AddRequestHeader=X-A, #{@b}'"), "  {}", "Error g.yaml:2", &["expressions are not supported"]);
}

#[test]
fn bad_mappings_of_beans_and_schemes() {
    for (spring, words) in [
        (
            "  keyResolvers: { ipKey: ip }",
            &["keyResolvers.ipKey: expected one of client, user, route, header.NAME, found `ip`"][..],
        ),
        ("  keyResolvers: { ipKey: [client] }", &["expected client, user, route or header.NAME, found a list"]),
        ("  keyResolvers: { ipKey: }", &["found nothing"]),
    ] {
        check(&limiter("'#{@ipKey}'"), spring, "Error gray-rules.yaml:2", words);
    }
    for (spring, words) in [
        ("  keyResolvers: [ipKey]", &["expected a map"][..]),
        ("  schemes: { lb: lb }", &["`lb://` is known here"]),
        ("  schemes: { HTTP: lb }", &["`http://` is known here"]),
        ("  schemes: { grayLb: http }", &["expected lb or lb:https, found `http`"]),
        ("  schemes: { 1a: lb }", &["not a scheme of a URI"]),
        ("  filtres: {}", &["filtres: unknown key; did you mean `filters`?"]),
    ] {
        check(&with(""), spring, "Error gray-rules.yaml:2", words);
    }
}

#[test]
fn a_scheme_means_what_is_said() {
    let routes = "- { id: one, uri: 'grayLb://svc', predicates: [Path=/a/**], metadata: { lanes: { gray: 'packlb://other' } } }\n";
    let (table, problems) = read(routes, "  schemes: { grayLb: lb, packlb: lb:https }");
    assert!(problems.is_empty(), "{problems:#?}");
    let upstreams: Vec<_> =
        table.routes()[0].targets().map(|target| format!("{} {:?}", target.scheme, target.upstream)).collect();
    assert_eq!(upstreams, ["https Service(\"other\")", "http Service(\"svc\")"]);
    let (_, problems) = read(routes, "  schemes: { packlb: lb }");
    assert!(
        problems[0].contains("unknown scheme") && problems[0].contains("`gray.spring.schemes: { grayLb: lb }`"),
        "{problems:#?}"
    );
}

#[test]
fn entries_are_bounded() {
    let many: String = (0..300).map(|number| format!("    own{number}: refuse\n")).collect();
    let (_, problems) = read(&with(""), &format!("  filters:\n{many}"));
    assert!(problems.len() == 1 && problems[0].contains("at most 256 entries"), "{problems:#?}");
    // What stands for a filter is paid for wherever it stands.
    let filters = "    a: { use: [".to_owned() + &"'RequestRateLimiter=1', ".repeat(16) + "] }\n";
    let routes: String = (0..300)
        .map(|id| format!("- {{ id: r{id}, uri: 'lb://s', predicates: [Path=/a], filters: [{}] }}\n", "a,".repeat(60)))
        .collect();
    let (_, problems) = read(&routes, &format!("  filters:\n{filters}"));
    assert!(problems.iter().any(|problem| problem.starts_with("Error") && problem.contains("MiB")), "{problems:#?}");
}
