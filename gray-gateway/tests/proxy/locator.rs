//! Routes that the locator makes for services of the registry, on real sockets.

use std::sync::Arc;

use gray_gateway::{route::Located, tally::Tallies};

use crate::support::{Backend, Gateway, HEAD, Setup, WITH_WARNINGS};

/// A gateway that knows these services, beside these written routes.
fn gateway(services: &[&str], routes: &str, backend: &Backend) -> Gateway {
    let text = format!(
        "{WITH_WARNINGS}{HEAD}spring.cloud.gateway:\n  discovery.locator.enabled: true\n  routes: [{routes}]\n"
    );
    let mut setup = Setup::with_documents(&text, &[backend.instance("V1")]);
    let services: Vec<_> = services.iter().map(|name| Located { name, instances: &[] }).collect();
    let table = setup.snapshot.routes.with_services(&services, "gateway-app").expect("few");
    setup.snapshot.limits = Tallies::new(1).limits(None, &table);
    setup.snapshot.routes = Arc::new(table);
    setup.start()
}

/// The status, and the line that the instance got, if it was asked.
async fn ask(gateway: &Gateway, backend: &Backend, path: &str) -> (u16, Option<String>) {
    let before = backend.seen().len();
    let status = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")).await.status;
    (status, backend.seen().get(before).map(|seen| seen.line().to_owned()))
}

/// What is below `/actuator` of an instance stays out in every spelling and on every way, unless a written route asks for it; so
/// does the gateway itself.
#[tokio::test]
async fn management_and_the_gateway_itself_stay_out() {
    let backend = Backend::named("v1").await;
    let routes = "{ id: health, order: -1, uri: 'lb://app', predicates: ['Path=/app/actuator/health'], filters: ['StripPrefix=1'] }, \
                  { id: from, order: -1, uri: 'forward:/app/actuator/env', predicates: ['Path=/from'] }";
    let gateway = gateway(&["app", "gateway-app", "Gateway-App"], routes, &backend);
    for (path, line) in [
        ("/app/order/1?x=1", "GET /order/1?x=1 HTTP/1.1"),
        ("/app", "GET / HTTP/1.1"),
        ("/app/order/actuator", "GET /order/actuator HTTP/1.1"),
        ("/app/actuator/health", "GET /actuator/health HTTP/1.1"),
    ] {
        assert_eq!(ask(&gateway, &backend, path).await, (200, Some(line.to_owned())), "{path}");
    }
    for path in [
        "/app/actuator",
        "/app/actuator/",
        "/app/actuator/env",
        "/app/ACTUATOR/env",
        "/app/%61ctuator/env",
        "/app/%2561ctuator/env",
        "/app/actuator;x=1/env",
        "/app/;x/actuator/env",
        "/app//actuator/env",
        "/app/%2factuator/env",
        "/app%2factuator/env",
        "/app/actuator%2fenv",
        "/app/x/%2e%2e/actuator/env",
        "/app/\\actuator/env",
        "/from",
        "/gateway-app/x",
        "/Gateway-App/x",
    ] {
        let (status, seen) = ask(&gateway, &backend, path).await;
        assert!(matches!(status, 400 | 404) && seen.is_none(), "{path}: {status} {seen:?}");
    }
}

/// A service that is named like a pattern, a path or an expression takes nothing.
#[tokio::test]
async fn names_take_their_own_path_and_no_other() {
    let backend = Backend::named("v1").await;
    let guarded = "{ id: admin, uri: 'no://op', predicates: ['Path=/admin/**'], filters: ['SetStatus=403'] }";
    let gateway =
        gateway(&["app", "**", "{x}", "*", "admin/x", "ad?in", ".", "..", "%61dmin", "a.p"], guarded, &backend);
    for (path, status) in
        [("/app/x", 200), ("/admin/x", 403), ("/other/x", 404), ("/x", 404), ("/", 404), ("/a-p/x", 404)]
    {
        assert_eq!(ask(&gateway, &backend, path).await.0, status, "{path}");
    }
}
