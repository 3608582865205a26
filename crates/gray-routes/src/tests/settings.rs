//! Routes as a whole: order, names, upstreams, time limits, and where they may be written.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{
    super::{FileOptions, Target, Upstream},
    Request, read, table, taken,
};
use crate::scheme::{Protocol, Scheme};

const SHIPPED: &str = include_str!("../../../../deploy/nacos/gateway-app.yaml");

#[test]
fn the_shipped_document_gives_its_two_routes() {
    let table = table(SHIPPED);
    let ids: Vec<_> = table.routes().iter().map(|route| &*route.id).collect();
    assert_eq!(ids, ["order-app", "user-app"]);
    assert_eq!(table.services(), BTreeSet::from(["order-app".into(), "user-app".into()]));
    let request = Request::get("/order-api/order/N0001");
    let route = table.find(&request.facts()).expect("few steps").expect("a route");
    assert_eq!(route.target.upstream, Upstream::Service("order-app".into()));
    for (path, expect) in [("/order-api/order/N0001", "/order/N0001"), ("/order-api", "/")] {
        assert_eq!(route.filters.rewrite(path, &Default::default()).expect("short").path, expect);
    }
    assert_eq!(taken(&table, &Request::get("/user-api/user/U0001")), "user-app");
    assert_eq!(taken(&table, &Request::get("/order-apis/x")), "-");
    assert_eq!(taken(&table, &Request::get("/")), "-");
}

#[test]
fn no_document_is_an_empty_table() {
    let table = table("");
    assert!(table.routes().is_empty() && table.services().is_empty());
    assert_eq!(taken(&table, &Request::get("/")), "-");
}

#[test]
fn the_newer_key_does_just_as_well_and_wins() {
    let newer = SHIPPED.replace("    gateway:\n      routes:", "    gateway.server.webflux:\n      routes:");
    assert_ne!(newer, SHIPPED);
    assert_eq!(table(&newer).routes().len(), 2);

    let (table, problems) = read(
        "spring.cloud.gateway:
  routes:
  - { id: old, uri: 'lb://old', predicates: [Path=/**] }
  server.webflux.routes:
  - { id: new, uri: 'lb://new', predicates: [Path=/**] }",
    );
    assert_eq!(taken(&table, &Request::get("/")), "new");
    let [problem] = &*problems else { panic!("{problems:#?}") };
    assert!(problem.starts_with("Warning g.yaml:2: spring.cloud.gateway.routes: ignored, because"), "{problem}");
}

#[test]
fn order_decides_then_the_place() {
    let route = |id: &str, order: &str| format!("- {{ id: {id}, uri: 'lb://s', predicates: [Path=/**]{order} }}\n");
    let text = [
        "spring.cloud.gateway.routes:\n".to_owned(),
        route("a", ""),
        route("b", ", order: -1"),
        route("c", ", order: 0"),
        route("d", ", order: '-1'"),
    ];
    let table = table(&text.concat());
    let ids: Vec<_> = table.routes().iter().map(|route| &*route.id).collect();
    assert_eq!(ids, ["b", "d", "a", "c"]);
    assert_eq!(taken(&table, &Request::get("/")), "b");
}

#[test]
fn routes_without_a_name_get_one_that_is_free() {
    let table = table(
        "spring.cloud.gateway.routes:
- { uri: 'lb://a', predicates: [Path=/a] }
- { id: route-2, uri: 'lb://b', predicates: [Path=/b] }
- { id: '', uri: 'lb://c', predicates: [Path=/c] }
- { id: off, uri: 'lb://d', predicates: [Path=/d], enabled: false }",
    );
    let ids: Vec<_> = table.routes().iter().map(|route| &*route.id).collect();
    assert_eq!(ids, ["route-1", "route-2", "route-3"]);
    assert_eq!(taken(&table, &Request::get("/d")), "-");
    assert!(!table.services().contains("d"));
}

#[test]
fn a_route_names_the_space_of_its_services() {
    let text = "spring.cloud.gateway.routes:
  - { id: own, uri: 'lb://pay', predicates: [Path=/**] }
  - { id: group, uri: 'lb:https://pay', predicates: [Path=/**], metadata: { space: '@PAY', lanes: { x: 'lb://pay-x', y: 'http://h' } } }
  - { id: relaxed, uri: 'lb://pay', predicates: [Path=/**], metadata.SPACE: ns }";
    let table = table(text);
    let services: Vec<_> = table.services().iter().map(ToString::to_string).collect();
    assert_eq!(services, ["@PAY/pay", "@PAY/pay-x", "ns/pay", "pay"]);
    let Upstream::Service(service) = &table.routes()[1].target.upstream else { panic!("a service") };
    assert_eq!((service.name(), service.space().map(ToString::to_string)), ("pay", Some("@PAY".to_owned())));
}

#[test]
fn upstreams() {
    let fixed =
        |authority: &str, host: &str, port| Upstream::Fixed { authority: authority.into(), host: host.into(), port };
    let directory = |path: &str| Upstream::Directory(Path::new(path).into());
    for (uri, scheme, expect) in [
        ("lb://order-app", Scheme::Http, Upstream::Service("order-app".into())),
        ("lb://Order_App.v1/", Scheme::Http, Upstream::Service("Order_App.v1".into())),
        ("lb:https://order-app", Scheme::Https, Upstream::Service("order-app".into())),
        ("lb:http://order-app", Scheme::Http, Upstream::Service("order-app".into())),
        ("lb:ws://order-app", Scheme::Http, Upstream::Service("order-app".into())),
        ("lb:wss://order-app", Scheme::Https, Upstream::Service("order-app".into())),
        ("ws://example.org", Scheme::Http, fixed("example.org", "example.org", 80)),
        ("wss://example.org", Scheme::Https, fixed("example.org", "example.org", 443)),
        ("no://op", Scheme::Http, Upstream::Nowhere),
        ("NO://anything", Scheme::Http, Upstream::Nowhere),
        ("http://example.org", Scheme::Http, fixed("example.org", "example.org", 80)),
        ("https://example.org", Scheme::Https, fixed("example.org", "example.org", 443)),
        ("HTTP://127.0.0.1:8081/", Scheme::Http, fixed("127.0.0.1:8081", "127.0.0.1", 8081)),
        ("HTTPS://[::1]:8443", Scheme::Https, fixed("[::1]:8443", "::1", 8443)),
        ("http://[::1]:9000", Scheme::Http, fixed("[::1]:9000", "::1", 9000)),
        ("http://[::1]", Scheme::Http, fixed("[::1]", "::1", 80)),
        ("file:///srv/web/v1", Scheme::Http, directory("/srv/web/v1")),
        ("FILE:///srv/web/v1/", Scheme::Http, directory("/srv/web/v1")),
        ("file:///srv/my%20web%3F", Scheme::Http, directory("/srv/my web?")),
    ] {
        let text = format!("spring.cloud.gateway.routes:\n- {{ id: a, uri: '{uri}', predicates: [Path=/**] }}");
        let table = table(&text);
        assert_eq!(table.routes()[0].target, Target { scheme, upstream: expect }, "{uri}");
    }
}

#[test]
fn time_limits() {
    let table = table(
        "spring.cloud.gateway:
  httpclient: { connect-timeout: 1000, responseTimeout: 5s }
  routes:
  - { id: common, uri: 'lb://s', predicates: [Path=/**] }
  - { id: own, uri: 'lb://s', predicates: [Path=/**], metadata: { connect-timeout: 200, response-timeout: '300' } }
  - { id: lifted, uri: 'lb://s', predicates: [Path=/**], metadata: { response-timeout: -1, pauseTimeout: 0 } }",
    );
    let pauses: Vec<_> = table.routes().iter().map(|route| route.metadata.pause_timeout).collect();
    assert_eq!(pauses, [None, None, Some(Duration::ZERO)]);
    let limits: Vec<_> =
        table.routes().iter().map(|route| (route.metadata.connect_timeout, route.metadata.response_timeout)).collect();
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(limits, [(millis(1000), millis(5000)), (millis(200), millis(300)), (millis(1000), Some(Duration::MAX))]);
}

#[test]
fn what_instances_are_spoken_to() {
    let table = table(
        "spring.cloud.gateway.routes:
- { id: usual, uri: 'lb://s', predicates: [Path=/**] }
- { id: same, uri: 'lb://s', predicates: [Path=/**], metadata: { protocol: http1 } }
- { id: grpc, uri: 'lb:https://s', predicates: [Path=/**], metadata: { protocol: H2 } }",
    );
    let protocols: Vec<_> = table.routes().iter().map(|route| route.metadata.protocol).collect();
    assert_eq!(protocols, [Protocol::Http1, Protocol::Http1, Protocol::Http2]);
}

#[test]
fn how_files_are_answered() {
    let table = table(
        "spring.cloud.gateway.routes:
- { id: plain, uri: 'file:///srv/web', predicates: [Path=/**] }
- { id: page, uri: 'file:///srv/web', predicates: [Path=/**], metadata: { fallback: /app/index.html, maxAge: '3600' } }",
    );
    let files: Vec<_> = table.routes().iter().map(|route| route.metadata.files.clone()).collect();
    let page = FileOptions { fallback: Some("app/index.html".into()), max_age: 3600, ..FileOptions::default() };
    assert_eq!(files, [FileOptions::default(), page]);
    assert!(table.services().is_empty());
}

#[test]
fn names_that_change_with_their_content_are_looked_for_in_all_directories() {
    let table = table(
        "spring.cloud.gateway.routes:
- { id: web, uri: 'file:///srv/1', predicates: [Path=/**], metadata: { versioned: '/assets/, /main.', lanes: { gray: 'file:///srv/2', any: 'file:///srv/1' } } }
- { id: api, uri: 'lb://s', predicates: [Path=/**], metadata: { vary-by-lane: true } }",
    );
    let [web, api] = table.routes() else { panic!("two routes") };
    let versioned = web.metadata.files.versioned.as_deref().expect("versioned");
    for (path, is_versioned) in
        [("/assets/a.js", true), ("/main.3f.js", true), ("/assets", false), ("/a/assets/a.js", false), ("/", false)]
    {
        assert_eq!(versioned.has(path), is_versioned, "{path}");
    }
    let others = |own: &str| versioned.others(std::path::Path::new(own)).collect::<Vec<_>>();
    assert_eq!(others("/srv/1"), [std::path::Path::new("/srv/2")]);
    assert_eq!(others("/srv/2"), [std::path::Path::new("/srv/1")]);
    assert!(api.metadata.vary_by_lane && api.depends_on_lane() && !web.metadata.vary_by_lane);
}
