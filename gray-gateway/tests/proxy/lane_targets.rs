//! Where lanes lead: other upstreams and directories, no instance, and instances that are drained or forbidden.

use std::{collections::BTreeSet, fs, sync::Arc};

use gray_document::{Documents, check};
use gray_gateway::{config::GatewayConfig, control::ControlLoop, geo::CitySource};
use gray_live::SettingsState;
use gray_registry::MemoryRegistry;
use tokio::sync::watch;

use crate::support::{Backend, Gateway, Setup, spawn, until};

/// Lane `v2` for `x: 2`.
const RULES: &str =
    "{ lanes: { v2: { select: V2 } }, rules: [{ name: two, when: { header.x: '2' }, lane: v2 }], cookie: release }";

const ON: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";

fn document(mesh: &str, gateway: &str) -> String {
    format!(
        "kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, gateway: {{ enabled: true }}{mesh} }}\n\
         spring.cloud.gateway: {{ {gateway} routes: [{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }}] }}\n\
         gray: {RULES}\n"
    )
}

#[tokio::test]
async fn nobody_there_is_503_or_404_as_the_settings_say() {
    let v2 = Backend::named("v2").await;
    let instances = [v2.instance("V2")];
    for (settings, status) in
        [("", 503), ("loadbalancer: { use404: false },", 503), ("loadbalancer: { use404: true },", 404)]
    {
        let gateway = Setup::with_documents(&document("", settings), &instances).start();
        let answer = gateway.get("").await;
        assert_eq!(answer.status, status, "{settings}");
        assert!(answer.body.contains(&format!("\"code\":{status}")), "{}", answer.body);
        assert_eq!(gateway.get("x: 2\r\n").await.body, "v2", "{settings}");
    }
    assert_eq!(v2.seen().len(), 3, "and nobody else got a request");
}

#[tokio::test]
async fn the_cookie_tells_the_lane_until_the_browser_says_it() {
    let (v1, v2) = (Backend::named("v1").await, Backend::named("v2").await);
    let instances = [v1.instance("V1"), v2.instance("V2")];
    let gateway = Setup::with_documents(&document("", ""), &instances).start();
    let set = |lane: &str| Some(format!("release={lane}; Path=/; SameSite=Lax"));
    for (headers, told) in [
        ("", None),
        ("Cookie: a=b\r\n", None),
        ("x: 2\r\n", set("v2")),
        ("x: 2\r\nCookie: a=b; release=v2\r\n", None),
        ("x: 2\r\nCookie: release=baseline\r\n", set("v2")),
        ("x: 2\r\nCookie: release=\r\n", set("v2")),
        // It decides nothing, and is corrected.
        ("Cookie: release=v2\r\n", set("baseline")),
        ("Cookie: release=baseline\r\n", None),
    ] {
        let answer = gateway.get(headers).await;
        assert_eq!(answer.body, if headers.contains("x: 2") { "v2" } else { "v1" }, "{headers:?}");
        assert_eq!(answer.header("set-cookie").map(str::to_owned), told, "{headers:?}");
    }
}

#[tokio::test]
async fn a_lane_can_have_another_upstream_or_directory() {
    let (v1, other) = (Backend::named("v1").await, Backend::named("other").await);
    let dir = tempfile::tempdir().expect("directory");
    for (lane, page) in [("one", "<one>"), ("two", "<two>")] {
        fs::create_dir(dir.path().join(lane)).expect("created");
        fs::write(dir.path().join(lane).join("index.html"), page).expect("written");
    }
    let root = dir.path().display();
    let routes = format!(
        "
- {{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], metadata: {{ lanes: {{ v2: 'http://{}' }} }} }}
- {{ id: web, uri: 'file://{root}/one', predicates: ['Path=/web/**'], filters: ['StripPrefix=1'], metadata: {{ lanes: {{ v2: 'file://{root}/two' }} }} }}",
        other.address
    );
    let text = format!("{ON}spring.cloud.gateway.routes: {routes}\ngray: {RULES}\n");
    let gateway = Setup::with_documents(&text, &[v1.instance("V1")]).start();
    for (header, backend, page, etag_of) in [("", "v1", "<one>", "one"), ("x: 2\r\n", "other", "<two>", "two")] {
        assert_eq!(gateway.get(header).await.body, backend);
        let asked = format!("GET /web/ HTTP/1.1\r\nHost: shop\r\n{header}\r\n");
        let answer = gateway.ask(&asked).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, page), "{etag_of}");
        assert_eq!(answer.header("set-cookie").is_some(), header == "x: 2\r\n", "files tell the lane as well");
    }
    assert!(other.last().one("gray-lane").contains(";v2;-;"), "it is told its lane: {}", other.last().head);
}

/// A gateway that the control loop feeds.
struct Live {
    gateway: Gateway,
    settings: watch::Sender<SettingsState<GatewayConfig>>,
    registry: Arc<MemoryRegistry>,
    revision: u64,
}

impl Live {
    fn new() -> Self {
        let registry = MemoryRegistry::new();
        let (settings, receiver) = watch::channel(SettingsState::default());
        let gateway = Setup::with_documents(&document("", ""), &[]).start();
        let shared = Arc::clone(&gateway.shared);
        let control = ControlLoop::new(receiver, registry.clone(), shared, CitySource::default(), "V7");
        spawn(control.run());
        Self { gateway, settings, registry, revision: 0 }
    }

    /// Puts settings into effect.
    async fn apply(&mut self, mesh: &str) {
        let text = document(mesh, "");
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, _) = check(&[("test.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        self.revision += 1;
        let revision = self.revision;
        self.settings.send_replace(SettingsState::of(config, revision));
        until("the settings are in effect", || self.gateway.shared.load().revision == revision).await;
    }

    /// Waits until so many instances are candidates.
    async fn candidates(&self, count: usize) {
        let seen = || self.gateway.shared.load().services.get("app").map_or(0, |service| service.set.all().len());
        until("the candidates are these", || seen() == count).await;
    }
}

#[tokio::test]
async fn a_drained_instance_gets_nothing_new_and_comes_back() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut live = Live::new();
    live.registry.set("app", vec![one.instance("V1"), two.instance("V1")]);
    live.apply("").await;
    live.candidates(2).await;
    for (drained, answers) in [(&one, "two"), (&two, "one")] {
        live.apply(&format!(", drain: ['{}']", drained.address)).await;
        live.candidates(1).await;
        let before = drained.seen().len();
        for _ in 0..6 {
            assert_eq!(live.gateway.get("").await.body, answers);
        }
        assert_eq!(drained.seen().len(), before);
    }
    // A whole host: none is left.
    live.apply(", drain: [127.0.0.1]").await;
    assert_eq!(live.gateway.get("").await.status, 503);
    live.apply("").await;
    // Each of the two workers takes turns for itself: of three requests two are with one worker.
    let mut answers = BTreeSet::new();
    for _ in 0..3 {
        answers.insert(live.gateway.get("").await.body);
    }
    assert!(answers.iter().eq(["one", "two"]), "{answers:?}");
}

#[tokio::test]
async fn an_edge_forbids_versions_to_this_gateway() {
    let (v1, v2) = (Backend::named("v1").await, Backend::named("v2").await);
    let mut live = Live::new();
    live.registry.set("app", vec![v1.instance("V1"), v2.instance("V2")]);
    live.apply("").await;
    live.candidates(2).await;
    assert_eq!(live.gateway.get("x: 2\r\n").await.body, "v2");
    for (edge, gray) in [
        ("{ from: gateway-app, to: app, allow: [V1] }", "v1"),
        ("{ from: gateway-app@V7, to: app, allow: [V1] }", "v1"),
        ("{ from: gateway-app@V8, to: app, allow: [V1] }", "v2"),
        ("{ from: order-app, to: app, allow: [V1] }", "v2"),
        ("{ from: gateway-app, to: pay, allow: [V1] }", "v2"),
        ("{ from: gateway-app, to: app, allow: [V1, V2] }", "v2"),
    ] {
        live.apply(&format!(", edges: [{edge}]")).await;
        // The lane's fallback is the baseline; ordinary requests do not care.
        assert_eq!(live.gateway.get("x: 2\r\n").await.body, gray, "{edge}");
        assert_eq!(live.gateway.get("").await.body, "v1", "{edge}");
        assert_eq!(v1.last().one("gray-caller"), "gateway-app@V7");
    }
    live.apply(", edges: [{ from: gateway-app, to: app, allow: [V2] }]").await;
    assert_eq!(live.gateway.get("").await.status, 503, "ordinary traffic does not move to gray for it");
}
