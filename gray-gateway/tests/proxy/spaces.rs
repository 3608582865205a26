//! Routes to services of one name in different groups and namespaces, on real sockets.

use std::sync::Arc;

use gray_core::ServiceKey;
use gray_document::{Documents, check};
use gray_gateway::{config::GatewayConfig, control::ControlLoop, geo::CitySource};
use gray_live::SettingsState;
use gray_registry::{MemoryRegistry, Registry as _};
use tokio::sync::watch;

use crate::support::{Backend, Gateway, HEAD, Setup, WITH_WARNINGS, spawn, until};

const ROUTES: &str = "spring.cloud.gateway.routes:
- { id: own, uri: 'lb://pay', predicates: ['Path=/own/**'] }
- { id: group, uri: 'lb://pay', predicates: ['Path=/group/**'], metadata: { space: '@PAY' } }
- { id: namespace, uri: 'lb://pay', predicates: ['Path=/far/**'], metadata: { space: ns@PAY } }
gray: { lanes: { one: { services: { pay: { select: V1, fallback: fail } } } },
        rules: [{ name: one, when: { header.x: '1' }, lane: one, trace: true }] }
";

async fn ask(gateway: &Gateway, path: &str, headers: &str) -> (u16, String, Option<String>) {
    let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n")).await;
    let told = answer.header("gray-path").map(str::to_owned);
    (answer.status, answer.body, told)
}

#[tokio::test]
async fn a_name_leads_to_another_place_by_each_route() {
    let (own, group, gray, far) = (
        Backend::named("own").await,
        Backend::named("group").await,
        Backend::named("gray").await,
        Backend::named("far").await,
    );
    let registry = MemoryRegistry::new();
    let space = |text: &str| registry.space(&text.parse().expect("a space"));
    registry.set("pay", vec![own.instance("V1")]);
    space("@PAY").set("pay", vec![group.instance("V1"), gray.instance("V2")]);
    space("ns@PAY").set("pay", vec![far.instance("V2")]);
    let text = format!("{WITH_WARNINGS}{HEAD}{ROUTES}");
    let gateway = Setup::with_documents(&text, &[]).start();
    let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
    let (config, _) = check(&[("test.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}"));
    let (settings, receiver) = watch::channel(SettingsState::of(config, 1));
    let shared = Arc::clone(&gateway.shared);
    spawn(ControlLoop::new(receiver, registry.clone(), shared, CitySource::default(), "V1").run());
    let candidates = |key: &str| gateway.shared.load().services.get(key).map_or(0, |known| known.set.all().len());
    until("all are known", || [candidates("pay"), candidates("@PAY/pay"), candidates("ns@PAY/pay")] == [1, 2, 1]).await;

    // Rules speak of the name, wherever it is.
    const GRAY: &str = "gray: gray-996\r\n";
    for (path, headers, expect) in [
        ("/own/x", "", (200, "own")),
        ("/group/x", "", (200, "group")),
        ("/group/x", GRAY, (200, "gray")),
        ("/far/x", GRAY, (200, "far")),
        ("/far/x", "", (503, "")),
        ("/far/x", "x: 1\r\n", (503, "")),
    ] {
        let (status, body, _) = ask(&gateway, path, headers).await;
        assert_eq!((status, if status == 200 { &*body } else { "" }), expect, "{path} {headers}: {body}");
        // Which groups there are is none of the client's business.
        assert!(!body.contains("PAY") && (status == 200 || body.contains("no instance of pay ")), "{body}");
    }
    let (_, body, told) = ask(&gateway, "/group/x", "x: 1\r\n").await;
    assert_eq!((&*body, told.as_deref()), ("group", Some("pay@V1")));

    // One that goes has no stand-in elsewhere, and its group comes back as it is.
    space("@PAY").set("pay", vec![]);
    until("it has gone", || candidates("@PAY/pay") == 0).await;
    assert_eq!(ask(&gateway, "/group/x", "").await.0, 503);
    assert_eq!(ask(&gateway, "/own/x", "").await.1, "own");
    let found = || gateway.shared.load().findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    until("it is told", || found().iter().any(|finding| finding.contains("no instance of pay in `@PAY`"))).await;
    assert!(!found().iter().any(|finding| finding.contains("`ns@PAY`")), "{:?}", found());
    space("@PAY").register("pay", &group.instance("V1")).await.expect("registered");
    until("it is back", || candidates("@PAY/pay") == 1).await;
    assert_eq!(ask(&gateway, "/group/x", "").await.1, "group");

    // Routes that are gone are followed no longer.
    let text = text.replace(", metadata: { space: '@PAY' }", "");
    let (config, _) = check(&[("test.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}"));
    settings.send_replace(SettingsState::of(config, 2));
    until("the route has changed", || gateway.shared.load().revision == 2).await;
    assert_eq!(ask(&gateway, "/group/x", "").await.1, "own");
    assert!(
        !gateway.shared.load().services.contains_key(&ServiceKey::within(&"@PAY".parse().expect("a space"), "pay"))
    );
}
