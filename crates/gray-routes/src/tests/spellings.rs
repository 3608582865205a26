//! No spelling of a path reaches through an open route what a guarded one covers.

use gray_rules::RequestFacts;
use http::HeaderMap;

use super::table;
use crate::{ResolveError, RouteTable, SendError, check_path};

#[path = "../../tests/spellings/mod.rs"]
mod servers;

use servers::{ROUTES, SERVERS, Speller, is_guarded};

/// The route and the path that is sent; or why nothing is.
fn send(table: &RouteTable, path: &str) -> Result<Option<(String, String)>, &'static str> {
    let headers = HeaderMap::new();
    let request = RequestFacts { path, random: 7, ..RequestFacts::new(&headers) };
    let resolved = table.resolve(&request, check_path(path)?).map_err(|error| match error {
        ResolveError::Ambiguous(reason) => reason,
        ResolveError::StepLimit(error) => panic!("{path}: {error}"),
    })?;
    let Some(route) = resolved.route else { return Ok(None) };
    let sent = resolved.send(route, path).map_err(|error| match error {
        SendError::Ambiguous(reason) => reason,
        SendError::Edit(error) => panic!("{path}: {error}"),
    })?;
    Ok(Some((route.id.to_string(), sent.path.into_owned())))
}

fn routes(text: &str) -> RouteTable {
    table(&format!("spring.cloud.gateway.routes:{text}"))
}

fn guarded() -> RouteTable {
    routes(&ROUTES.replace("{uri}", "lb://a").replace("{guard}", "'AddRequestHeader=guarded,yes'"))
}

/// What a server would give away of what the guarded routes cover, when the request came through an open one.
fn leak(table: &RouteTable, path: &str) -> Option<String> {
    let (route, sent) = send(table, path).ok()??;
    let reads = |server: &&servers::Server| (server.1)(&sent).is_some_and(|segments| is_guarded(&segments));
    let (server, _) = SERVERS.iter().find(reads).filter(|_| route.ends_with("-open"))?;
    Some(format!("{path} was sent by {route} as {sent}; {server} reads what is guarded"))
}

#[test]
fn no_spelling_walks_around_a_guarded_route() {
    let table = guarded();
    for seed in 0..20 {
        let mut speller = Speller::new(seed);
        let (mut open, mut guarded, mut refused, mut leaks) = (0, 0, 0, Vec::new());
        for _ in 0..5_000 {
            let path = speller.path();
            leaks.extend(leak(&table, &path));
            match send(&table, &path) {
                Ok(Some((route, _))) if route.ends_with("-open") => open += 1,
                Ok(_) => guarded += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(leaks.is_empty(), "seed {seed}, {}: {:#?}", leaks.len(), &leaks[..leaks.len().min(12)]);
        // All three happen, so the test can fail.
        assert!(open > 500 && guarded > 300 && refused > 500, "{open} open, {guarded} guarded, {refused} refused");
    }
}

/// The open route of `/echo` with every kind of filter of the path that leaves what is below it as it is.
#[test]
fn no_filter_of_the_path_opens_a_way() {
    const OPEN: &str = "predicates: ['Path=/echo/**'], filters: ['StripPrefix=1'] }";
    assert!(ROUTES.contains(OPEN));
    for (pattern, filters) in [
        ("/echo/{*rest}", "'SetPath=/r{rest}', 'StripPrefix=1'"),
        ("/echo/{*rest}", "'SetPath=//{rest}'"),
        ("/echo/{*rest}", "'PrefixPath=/x{rest}', 'RewritePath=/x(?<a>.*)/echo.*, $\\{a}'"),
        ("/echo/**", "'PrefixPath=/x', 'StripPrefix=2'"),
        ("/echo/**", "'StripPrefix=1', 'RewritePath=^/(.*), //$1'"),
        ("/echo/**", "'RewritePath=/echo/?(?<a>.*), /$\\{a}', 'StripPrefix=0'"),
        ("/echo/**", "'RewritePath=/echo(?<a>/?.*), /$\\{a}//'"),
        ("/echo/**", "'StripPrefix=1', 'RewritePath=/+$, /'"),
    ] {
        let text = ROUTES.replace(OPEN, &format!("predicates: ['Path={pattern}'], filters: [{filters}] }}"));
        let table = routes(&text.replace("{uri}", "lb://a").replace("{guard}", "'AddRequestHeader=guarded,yes'"));
        let (mut speller, mut open, mut leaks) = (Speller::new(11), 0, Vec::new());
        for _ in 0..5_000 {
            let path = speller.path();
            leaks.extend(leak(&table, &path));
            open += usize::from(matches!(send(&table, &path), Ok(Some((route, _))) if route == "echo-open"));
        }
        assert!(leaks.is_empty(), "{filters}, {}: {:#?}", leaks.len(), &leaks[..leaks.len().min(12)]);
        // It happens, so the test can fail.
        assert!(open > 100, "{filters}: {open} open");
    }
}

#[test]
fn examples_of_spellings() {
    let table = guarded();
    let sent = |route: &str, path: &str| Ok(Some((route.to_owned(), path.to_owned())));
    for (path, expect) in [
        ("/echo/admin/x", sent("echo-admin", "/admin/x")),
        ("/echo/%61dmin/x", sent("echo-admin", "/%61dmin/x")),
        ("/echo/admin;v=1/x", sent("echo-admin", "/admin;v=1/x")),
        ("/echo/open//x", sent("echo-open", "/open/x")),
        ("/echo/open%2fx", sent("echo-open", "/open%2fx")),
        ("/echo/a%20b/100%25", sent("echo-open", "/a%20b/100%25")),
        ("/re/a//b;c", sent("re-open", "/a/b;c")),
        ("/open//x", sent("root-open", "/open/x")),
    ] {
        assert_eq!(send(&table, path), expect, "{path}");
    }
    for path in [
        "/echo//admin/x",
        "/echo/;/admin/x",
        "/echo\\admin/x",
        "/echo/%5cadmin",
        "/echo%2fadmin/x",
        "/echo%252fadmin/x",
        "/echo/admin%20/x",
        "/echo/admin%3bx",
        "/echo/%2561dmin/x",
        "/echo/items//%3b/secret",
        "/echo/items/;/secret",
        "//admin",
        "/odd//admin",
        "/re//admin",
        "/echo/%252e%252e/admin",
        "/echo/%252525252561",
    ] {
        assert!(send(&table, path).is_err(), "{path}: {:?}", send(&table, path));
    }
}

#[test]
fn what_filters_make_is_read_in_one_way() {
    let table = routes(
        "
- { id: double, uri: 'lb://a', predicates: ['Path=/double/**'], filters: ['RewritePath=/double(?<rest>.*), /$\\{rest}'] }
- { id: deep, uri: 'lb://a', predicates: ['Path=/deep/**'], filters: ['RewritePath=/deep/(?<a>.*), /%25$\\{a}'] }
- { id: cut, uri: 'lb://a', predicates: ['Path=/cut/**'], filters: ['RewritePath=/cut/[^/]+/(?<rest>.*), /$\\{rest}'] }",
    );
    let sent = |path: &str| send(&table, path).map(|found| found.map(|(_, sent)| sent));
    // Empty segments are gone, whether the client or a filter made them.
    assert_eq!(sent("/double/x"), Ok(Some("/x".to_owned())));
    assert_eq!(sent("/double//x"), Ok(Some("/x".to_owned())));
    for path in ["/deep/2e%2e", "/cut/a%2fb/c"] {
        assert!(sent(path).is_err(), "{path}: {:?}", sent(path));
    }
    assert_eq!(sent("/cut/%2fa/b"), Ok(Some("/b".to_owned())));
    assert_eq!(sent("/cut/a/b%2fc"), Ok(Some("/b%2fc".to_owned())));
}

#[test]
fn an_encoded_slash_may_be_a_character_of_a_variable() {
    let table = |pass: &str| {
        routes(&format!(
            "
- {{ id: one, uri: 'lb://a', predicates: ['Path=/files/{{name}}'], metadata: {{ {pass} }} }}
- {{ id: two, uri: 'lb://a', predicates: ['Path=/files/{{dir}}/{{name}}'] }}
- {{ id: three, uri: 'lb://a', predicates: ['Path=/deep/admin/**'] }}
- {{ id: four, uri: 'lb://a', predicates: ['Path=/deep/**'], metadata: {{ {pass} }} }}"
        ))
    };
    let (passing, strict) = (table("encoded-slash: pass"), table(""));
    let found = |table: &RouteTable, path: &str| send(table, path).map(|found| found.map(|(route, _)| route));
    assert!(found(&strict, "/files/a%2fb").is_err());
    assert_eq!(found(&passing, "/files/a%2fb"), Ok(Some("one".to_owned())));
    assert_eq!(found(&passing, "/files/a%2Fb%2fc"), Ok(Some("one".to_owned())));
    // Not what is twice encoded, not beside another ambiguity, not behind `**`, and no dots.
    for path in ["/files/a%252fb", "/files/a%2fb;x", "/files//a%2fb", "/deep/admin%2fx", "/files/..%2fb"] {
        assert!(found(&passing, path).is_err(), "{path}: {:?}", found(&passing, path));
    }
}

#[test]
fn the_same_draw_for_every_form() {
    // Two halves of one weight group: another form of the path stays in its half.
    let table = routes(
        "
- { id: a, uri: 'lb://a', predicates: ['Path=/w/**', 'Weight=g,50'] }
- { id: b, uri: 'lb://a', predicates: ['Path=/w/**', 'Weight=g,50'] }",
    );
    let headers = HeaderMap::new();
    let mut taken = std::collections::BTreeSet::new();
    for random in (0..64).map(|step: u64| step << 58) {
        let path = "/w//x%2fy";
        let request = RequestFacts { path, random, ..RequestFacts::new(&headers) };
        let resolved = table.resolve(&request, check_path(path).expect("a path")).expect("the same half");
        taken.insert(resolved.route.expect("a route").id.to_string());
    }
    assert_eq!(taken.len(), 2);
}

#[test]
fn lint_names_the_routes_for_which_it_matters() {
    let text = "
- { id: guarded, uri: 'lb://a', predicates: ['Path=/echo/admin/**'], filters: [{ name: JsonWebToken, args: { key: a secret of 16 bytes, algorithm: HS256 } }] }
- { id: rated, uri: 'lb://a', predicates: ['Path=/echo/{id}/rated'], filters: ['RequestRateLimiter=1'] }
- { id: open, uri: 'lb://a', predicates: ['Path=/echo/**'] }
- { id: alone, uri: 'lb://a', predicates: ['Path=/alone/**'], filters: [{ name: JsonWebToken, args: { key: a secret of 16 bytes, algorithm: HS256 } }] }
- { id: upper, uri: 'lb://a', predicates: ['Path=/ECHO/**'] }";
    let found: Vec<_> = routes(text).lint().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    let starts = [
        "note[route-spellings] route `guarded`: other spellings of its paths (`//`, `%2f`, `;`) would be taken by route `open`, \
         which has no JsonWebToken",
        "note[route-spellings] route `rated`: other spellings of its paths (`//`, `%2f`, `;`) would be taken by route `open`, \
         which has no RequestRateLimiter",
        "warning[routes-differ-by-case] route `open`: its path and route `upper` differ only by case",
    ];
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
    assert_eq!(
        routes(" [{ id: a, uri: 'lb://a', predicates: ['Path=/**'], filters: [{ name: JsonWebToken, args: { key: a secret of 16 bytes, algorithm: HS256 } }] }]")
            .lint(),
        []
    );
}

#[test]
fn lint_warns_of_a_slash_that_is_let_through() {
    let found = |open: &str| {
        let text = format!(
            "
- {{ id: guarded, uri: 'lb://a', predicates: ['Path=/es/admin/**'], filters: [{{ name: JsonWebToken, args: {{ key: a secret of 16 bytes, algorithm: HS256 }} }}] }}
- {{ id: es, uri: 'lb://a', {open} }}"
        );
        let table = routes(&text);
        let passed = send(&table, "/es/admin%2fx").is_ok_and(|found| found.is_some_and(|(route, _)| route == "es"));
        (passed, table.lint().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (passed, findings) = found("predicates: ['Path=/es/{name}'], metadata: { encoded-slash: pass }");
    assert!(passed);
    let start = "warning[route-spellings] route `guarded`: `/es/admin%2fx` is let through to route `es`, which has no \
                 JsonWebToken, because that has `encoded-slash: pass`";
    assert!(findings.len() == 1 && findings[0].starts_with(start), "{findings:#?}");
    let token = "filters: [{ name: JsonWebToken, args: { key: a secret of 16 bytes, algorithm: HS256 } }]";
    for (open, notes) in [
        ("predicates: ['Path=/es/{name}']", 1),
        ("predicates: ['Path=/es/**'], metadata: { encoded-slash: pass }", 1),
        (&*format!("predicates: ['Path=/es/{{name}}'], metadata: {{ encoded-slash: pass }}, {token}"), 0),
    ] {
        let (passed, findings) = found(open);
        assert!(!passed || notes == 0, "{open}");
        assert_eq!(findings.len(), notes, "{open}: {findings:#?}");
        assert!(findings.iter().all(|finding| finding.starts_with("note[route-spellings]")), "{open}: {findings:#?}");
    }
}
