use gray_core::instance::Metadata;
use gray_document::Documents;
use gray_rules::RequestFacts;
use http::HeaderMap;

use super::*;
use crate::{RouteTable, Upstream};

fn read(text: &str) -> (RouteTable, Vec<String>) {
    let documents = Documents::parse(&[("gateway-app.yaml", text)], &|_| None).expect("well formed");
    let table = RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    (table, problems.iter().map(ToString::to_string).collect())
}

fn with(settings: &str) -> RouteTable {
    let (table, problems) =
        read(&format!("spring.cloud.gateway:\n  routes: []\n  discovery.locator: {{ enabled: true{settings} }}\n"));
    let unexpected: Vec<_> = problems.iter().filter(|problem| !problem.contains("empty: every request")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    table
}

/// `service path`, where a request goes; or `-`.
fn goes(table: &RouteTable, path: &str) -> String {
    let headers = HeaderMap::new();
    let head = RequestFacts { path, ..RequestFacts::new(&headers) };
    let Some(route) = table.find(&head).expect("few steps") else { return "-".into() };
    let Upstream::Service(service) = &route.target.upstream else { return "elsewhere".into() };
    format!("{service} {}", route.filters.rewrite(path, &Default::default()).expect("short").path)
}

fn located(table: &RouteTable, names: &[&str]) -> RouteTable {
    let services: Vec<_> = names.iter().map(|name| Located { name, instances: &[] }).collect();
    table.with_services(&services, "gateway-app").expect("few")
}

#[test]
fn every_service_gets_a_route_without_its_name() {
    let table = located(&with(""), &["order-app", "USER_APP", "a.b", "gateway-app", "GATEWAY-APP"]);
    for (path, expect) in [
        ("/order-app/order/1", "order-app /order/1"),
        ("/order-app", "order-app /"),
        ("/order-app/", "order-app /"),
        ("/USER_APP/x", "USER_APP /x"),
        ("/user_app/x", "-"),
        ("/a.b/c", "a.b /c"),
        ("/axb/c", "-"),
        ("/gateway-app/x", "-"),
        ("/GATEWAY-APP/x", "-"),
        ("/none/x", "-"),
    ] {
        assert_eq!(goes(&table, path), expect, "{path}");
    }
    assert_eq!(&*table.routes()[0].id, "ReactiveCompositeDiscoveryClient_order-app");
    assert!(table.routes().iter().all(|route| route.is_located));
    assert!(table.is_stated());
}

#[test]
fn settings_count() {
    let lower = located(&with(", lower-case-service-id: true, routeIdPrefix: 'svc-'"), &["ORDER"]);
    assert_eq!(goes(&lower, "/order/1"), "ORDER /1");
    assert_eq!(&*lower.routes()[0].id, "svc-ORDER");
    let included =
        located(&with(", include-expression: \"serviceId.startsWith('order')\""), &["order-app", "user-app"]);
    assert_eq!((goes(&included, "/order-app/1"), goes(&included, "/user-app/1")), ("order-app /1".into(), "-".into()));
    let own = with(
        ", predicates: [{ name: Path, args: { pattern: \"'/services/'+serviceId.toLowerCase()+'/**'\" } }], filters: [{ name: \
         StripPrefix, args: { parts: 2 } }]",
    );
    assert_eq!(goes(&located(&own, &["Order"]), "/services/order/1"), "Order /1");
    let short = with(", predicates: [\"Path='/'+serviceId+'/**'\"], filters: ['StripPrefix=1']");
    assert_eq!(goes(&located(&short, &["order"]), "/order/1"), "order /1");
    let (off, _) = read("spring.cloud.gateway: { routes: [], discovery.locator: { enabled: false } }");
    assert!(off.locator().is_none());
}

#[test]
fn metadata_decide_and_never_become_metadata_of_the_route() {
    let table = with(", include-expression: \"metadata['edge']=='true'\"");
    assert!(table.locator().expect("on").needs_metadata());
    let edge: Metadata = [("edge", "true"), ("response-timeout", "1")].into_iter().collect();
    let inner: Metadata = [("edge", "false")].into_iter().collect();
    let services = [
        Located { name: "a", instances: &[inner.clone(), edge] },
        Located { name: "b", instances: &[inner] },
        Located { name: "c", instances: &[] },
    ];
    let table = table.with_services(&services, "").expect("few");
    assert_eq!([goes(&table, "/a/1"), goes(&table, "/b/1"), goes(&table, "/c/1")], ["a /1", "-", "-"]);
    assert_eq!(table.routes()[0].metadata.response_timeout, None);
}

#[test]
fn names_are_literals() {
    let hostile = [
        "{x}", "**", "a*", "a/b", "a b", "..", ".", "", "a%2fb", "a'b", "${PATH}", "服务", "a,b", "a\"b", "$1", "a\\b",
    ];
    let table = located(&with(""), &hostile);
    assert!(table.routes().is_empty(), "{table:?}");
    assert!(hostile.iter().all(|name| !Locator::takes_name(name)));
    assert!(!Locator::takes_name(&"a".repeat(LONGEST_NAME + 1)));
}

#[test]
fn located_routes_come_before_written_ones_of_the_same_order_and_lint_says_so() {
    let (table, _) = read(
        "spring.cloud.gateway:
  discovery.locator.enabled: true
  routes:
    - { id: guarded, uri: 'lb://order-app', predicates: ['Path=/order-app/**'] }
    - { id: first, uri: 'lb://first', order: -1, predicates: ['Path=/user-app/**'] }
    - { id: other, uri: 'lb://other', predicates: ['Path=/other/**'] }
",
    );
    let table = located(&table, &["order-app", "user-app"]);
    assert_eq!(goes(&table, "/order-app/1"), "order-app /1");
    assert_eq!(goes(&table, "/user-app/1"), "first /user-app/1");
    assert_eq!(goes(&table, "/other/1"), "other /other/1");
    let findings = table.lint();
    let hidden: Vec<_> = findings.iter().filter(|finding| finding.code == "route-hidden-by-locator").collect();
    assert_eq!(hidden.len(), 1, "{findings:?}");
    assert_eq!(&*hidden[0].name, "guarded");
    // A service that comes or goes changes nothing of what is written.
    let table = located(&table, &[]);
    assert_eq!(goes(&table, "/order-app/1"), "order-app /order-app/1");
}

#[test]
fn what_is_not_understood_is_an_error() {
    for (settings, message) in [
        ("include-expression: \"T(java.lang.Runtime).getRuntime()\"", "cannot be used as an expression"),
        ("include-expression: \"host == 'a'\"", "`host` is not known"),
        ("url-expression: \"'http://'+serviceId\"", "only the usual one is supported"),
        ("predicates: [{ name: Path, args: { pattern: \"'/' + port\" } }]", "`port` is not known"),
        ("predicates: [{ name: Pth, args: { pattern: \"'/'\" } }]", "no route can be made for a service"),
        ("predicates: [{ name: Path, args: { pattern: \"serviceId\" } }]", "no route can be made for a service"),
        ("filter: []", "unknown key"),
    ] {
        let (_, problems) = read(&format!(
            "spring.cloud.gateway:\n  routes: []\n  discovery.locator: {{ enabled: true, {settings} }}\n"
        ));
        assert!(problems.iter().any(|problem| problem.contains(message)), "{settings}: {problems:?}");
    }
}

#[test]
fn management_endpoints_are_hidden_in_every_spelling() {
    let table = located(&with(""), &["order-app"]);
    let route = &table.routes()[0];
    for sent in [
        "/actuator",
        "/actuator/env",
        "//actuator/env",
        "/%61ctuator",
        "/%2561ctuator/x",
        "/ACTUATOR",
        "/;a/actuator",
        "/actuator;x=1/env",
        "/%2factuator",
        "\\actuator",
    ] {
        assert!(route.hides(sent), "{sent}");
    }
    for sent in ["/", "", "/order/actuator", "/actuators", "/order"] {
        assert!(!route.hides(sent), "{sent}");
    }
    let (written, _) = read("spring.cloud.gateway.routes: [{ id: a, uri: 'lb://a', predicates: ['Path=/**'] }]");
    assert!(!written.routes()[0].hides("/actuator/health"), "a written route is meant");
}
