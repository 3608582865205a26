//! Drained, forbidden, new and far-away instances, as a caller's [`ServiceView`] has them.

use std::time::Duration;

use gray_core::{
    balance::{Draw, Strategy},
    lane::Choice,
};
use gray_document::check;
use gray_registry::MemoryRegistry;
use tokio::time::timeout;

use super::*;
use crate::{ServiceView, SettingsState, ViewSnapshot};

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn there_is_news_when_the_registry_says_something() {
    let registry = MemoryRegistry::new();
    registry.set("user-app", vec![user(1, "V1")]);
    let elsewhere = "staging".parse::<Space>().expect("a space");
    let mut settings = GraySettings::default();
    let mut follower = ServiceFollower::new(registry.clone(), Caller::default(), "user-app", Arc::default());
    assert!(follower.has_news(), "the first time");
    for namespaces in [Vec::new(), vec![elsewhere.clone()]] {
        settings.mesh.namespaces = namespaces.into_iter().collect();
        follower.update(&settings);
        assert!(!follower.has_news(), "all was taken in");
    }
    registry.set("user-app", vec![user(2, "V1")]);
    assert!(follower.has_news() && follower.update(&settings) && !follower.has_news());
    registry.set("other-app", vec![user(3, "V1")]);
    assert!(!follower.has_news(), "of another service");
    registry.space(&elsewhere).set("user-app", vec![user(4, "V1")]);
    assert!(follower.has_news() && follower.update(&settings) && !follower.has_news());
    assert_eq!(follower.set().known().len(), 2);
}

/// A caller, what it follows, and who changes it.
struct World {
    registry: Arc<MemoryRegistry>,
    settings: watch::Sender<SettingsState<GraySettings>>,
    view: ServiceView,
}

impl World {
    /// order-app@V2, that calls user-app.
    fn new() -> Self {
        let registry = MemoryRegistry::new();
        let (settings, receiver) = watch::channel(SettingsState::default());
        let caller = Caller { service: "order-app".into(), version: Some("V2".into()), cluster: None };
        let view = ServiceView::follow(registry.clone(), caller, "user-app", receiver);
        Self { registry, settings, view }
    }

    fn set(&self, instances: &[(u16, &str)]) {
        self.registry.set("user-app", instances.iter().map(|(port, version)| user(*port, version)).collect());
    }

    fn publish(&self, mesh: &str) {
        let text = format!("kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}{mesh} }}");
        let read = |documents: &gray_document::Documents| GraySettings::read(&documents.root(), "kerwin.tool.gray");
        let settings = check(&[("a.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}")).0;
        self.settings.send_replace(SettingsState::of(settings, 1));
    }

    /// Ports that a choice leads to: `None` when no instance may answer.
    fn ports(&self, choice: &str) -> Option<Vec<u16>> {
        ports(&self.view.load(), choice)
    }

    async fn becomes(&self, choice: &str, expect: Option<&[u16]>) {
        let reached = timeout(LIMIT, async {
            while self.ports(choice).as_deref() != expect {
                tokio::task::yield_now().await;
            }
        });
        assert!(reached.await.is_ok(), "{choice}: {:?} instead of {expect:?}", self.ports(choice));
    }
}

fn user(port: u16, version: &str) -> Instance {
    Instance::new("10.0.0.7", port).with_version(version)
}

fn ports(snapshot: &ViewSnapshot, choice: &str) -> Option<Vec<u16>> {
    let choice: Choice = choice.parse().expect("a choice");
    let subset = choice.iter().find_map(|selector| snapshot.instances.select(selector))?;
    Some(subset.endpoints().iter().map(|endpoint| endpoint.instance().port).collect())
}

#[tokio::test]
async fn drained_instances_get_nothing_and_come_back() {
    let world = World::new();
    world.set(&[(1, "V1"), (2, "V1"), (3, "V2")]);
    world.publish("");
    world.becomes("version:V1", Some(&[1, 2])).await;
    world.publish(", drain: ['10.0.0.7:1']");
    world.becomes("version:V1", Some(&[2])).await;
    assert_eq!(world.ports("*"), Some(vec![2, 3]));
    // Drained before it is there.
    world.publish(", drain: ['10.0.0.7:1', '10.0.0.7:4']");
    world.set(&[(1, "V1"), (2, "V1"), (3, "V2"), (4, "V2"), (5, "V2")]);
    world.becomes("version:V2", Some(&[3, 5])).await;
    world.publish(", drain: [10.0.0.7]");
    world.becomes("*", None).await;
    assert!(world.view.load().known, "nobody may answer, which is not the same as not knowing");
    world.publish(", drain: [10.0.0.70]");
    world.becomes("*", Some(&[1, 2, 3, 4, 5])).await;
}

#[tokio::test]
async fn edges_say_who_may_call_whom() {
    let world = World::new();
    world.set(&[(1, "V1"), (2, "V2"), (3, "V3")]);
    world.registry.register("user-app", &Instance::new("10.0.0.7", 4)).await.expect("registered");
    world.publish("");
    world.becomes("*", Some(&[1, 2, 3, 4])).await;
    for (edges, expect) in [
        ("{ from: order-app, to: user-app, allow: [V1] }", &[1][..]),
        ("{ from: order-app@V2, to: user-app, allow: [V1, V3] }", &[1, 3]),
        ("{ from: order-app@V1, to: user-app, allow: [V1] }", &[1, 2, 3, 4]),
        ("{ from: pay-app, to: user-app, allow: [V1] }", &[1, 2, 3, 4]),
        ("{ from: order-app, to: pay-app, allow: [V1] }", &[1, 2, 3, 4]),
        // Both must allow.
        (
            "{ from: order-app, to: user-app, allow: [V1, V2] }, { from: order-app@V2, to: user-app, allow: [V2, V3] }",
            &[2],
        ),
    ] {
        world.publish(&format!(", edges: [{edges}]"));
        world.becomes("*", Some(expect)).await;
    }
    world.publish(", edges: [{ from: order-app, to: user-app, allow: [V9] }]");
    world.becomes("version:V2|version:V1|*", None).await;
}

/// The part of many picks that falls on a port at a time.
fn share(view: &ServiceView, port: u16, now_ms: u64) -> f64 {
    let snapshot = view.load();
    let mut random = fastrand::Rng::with_seed(7);
    let hits = (0..10_000).filter(|turn| {
        let draw = Draw { turn: *turn, random: random.u64(..), now_ms, key: None };
        let picked = Strategy::RoundRobin.pick(snapshot.instances.all(), draw).expect("somebody");
        picked.instance().port == port
    });
    hits.count() as f64 / 10_000.0
}

fn since(view: &ServiceView, port: u16) -> u64 {
    let snapshot = view.load();
    let endpoint = snapshot.instances.all().endpoints().iter().find(|one| one.instance().port == port);
    endpoint.expect("known").load().since_ms()
}

#[tokio::test]
async fn a_new_instance_starts_slowly_and_those_that_were_there_do_not() {
    let world = World::new();
    world.publish(", slowStart: 60s");
    world.set(&[(1, "V1"), (2, "V1")]);
    world.becomes("*", Some(&[1, 2])).await;
    assert!(!world.view.load().instances.all().is_warming(), "the first ones are all there is");
    assert!((0.49..0.51).contains(&share(&world.view, 1, 0)));

    // The clock begins at 0, which is "always there"; on a fresh process it may stand there still.
    timeout(LIMIT, async {
        while uptime_ms() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("time goes on");
    world.set(&[(1, "V1"), (2, "V1"), (3, "V1")]);
    world.becomes("*", Some(&[1, 2, 3])).await;
    let begun = since(&world.view, 3);
    let shares: Vec<f64> = [0, 30_000, 60_000].iter().map(|after| share(&world.view, 3, begun + after)).collect();
    assert!((0.01..0.1).contains(&shares[0]), "few at first, but some: {shares:?}");
    assert!(shares[0] < shares[1] && shares[1] < shares[2], "more and more: {shares:?}");
    assert!((0.32..0.35).contains(&shares[2]), "a third at last: {shares:?}");

    // Something else changes: the warming goes on where it was.
    world.set(&[(1, "V1"), (2, "V1"), (3, "V1"), (4, "V2")]);
    world.becomes("*", Some(&[1, 2, 3, 4])).await;
    assert_eq!(since(&world.view, 3), begun);
    assert_eq!(since(&world.view, 1), 0);

    world.publish("");
    timeout(LIMIT, async {
        while world.view.load().instances.all().is_warming() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("without slow start everybody is warm");
}

#[tokio::test]
async fn instances_of_other_spaces_are_for_lanes_that_name_them() {
    let world = World::new();
    let space = |text: &str| world.registry.space(&text.parse().expect("a space"));
    world.set(&[(1, "V1"), (2, "V2")]);
    space("gray-ns").set("user-app", vec![user(11, "V1"), user(12, "V2")]);
    space("other-ns").set("user-app", vec![user(21, "V1")]);
    world.publish(", namespaces: [gray-ns]");
    world.becomes("gray-ns/*", Some(&[11, 12])).await;
    for (choice, expect) in [
        ("*", Some(vec![1, 2])),
        ("version:V1", Some(vec![1])),
        ("!gray-tag", Some(vec![1, 2])),
        ("gray-ns/version:V2", Some(vec![12])),
        ("gray-ns/version:V3", None),
        ("gray-ns/version:V3|version:V1", Some(vec![1])),
        ("gray-ns@group/*", None),
        // Not in the settings, so it is not followed.
        ("other-ns/*", None),
        ("other-ns/*|*", Some(vec![1, 2])),
    ] {
        assert_eq!(world.ports(choice), expect, "{choice}");
    }

    // The baseline never goes there, not even when it has no instance left.
    world.set(&[]);
    world.becomes("*", None).await;
    assert_eq!(world.ports("version:V1|!gray-tag|*"), None);
    assert_eq!(world.ports("gray-ns/*"), Some(vec![11, 12]));
    // Live, and drained like any other.
    space("gray-ns").set("user-app", vec![user(13, "V1"), user(14, "V1")]);
    world.becomes("gray-ns/*", Some(&[13, 14])).await;
    world.publish(", namespaces: [gray-ns, other-ns], drain: ['10.0.0.7:13']");
    world.becomes("other-ns/*", Some(&[21])).await;
    assert_eq!(world.ports("gray-ns/*"), Some(vec![14]));
    world.publish("");
    world.becomes("gray-ns/*", None).await;
}

/// Two of one name, each in its place, at the same time: what is said of the name holds for both.
#[tokio::test]
async fn a_key_leads_to_one_space_whatever_the_settings_say_of_the_name() {
    let registry = MemoryRegistry::new();
    let space = |text: &str| registry.space(&text.parse().expect("a space"));
    registry.set("user-app", vec![user(1, "V1")]);
    space("@A").set("user-app", vec![user(11, "V1"), user(12, "V2")]);
    space("@B").set("user-app", vec![user(21, "V1")]);
    space("lane-ns").set("user-app", vec![user(31, "V1")]);
    let text = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, spaces: { user-app: '@B' }, \
                namespaces: [lane-ns], edges: [{ from: order-app, to: user-app, allow: [V1] }] }\n\
                spring.cloud.discovery.client.simple.instances.user-app: [{ uri: 'http://10.0.0.7:41', metadata: { version: V1 } }]\n";
    let read = |documents: &gray_document::Documents| GraySettings::read(&documents.root(), "kerwin.tool.gray");
    let settings = check(&[("a.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}")).0;
    let caller = || Caller { service: "order-app".into(), version: None, cluster: None };
    let within = |text: &str| ServiceKey::within(&text.parse().expect("a space"), "user-app");
    for (key, expect) in [(ServiceKey::from("user-app"), &[21, 41][..]), (within("@A"), &[11]), (within("@B"), &[21])] {
        let mut follower = ServiceFollower::of(registry.clone(), caller(), key.clone(), Arc::default());
        follower.update(&settings);
        let found = |choice: &str| {
            let choice: Choice = choice.parse().expect("a choice");
            let subset = choice.iter().find_map(|selector| follower.set().select(selector));
            subset.map(|subset| subset.endpoints().iter().map(|endpoint| endpoint.instance().port).collect::<Vec<_>>())
        };
        assert_eq!(found("*").as_deref(), Some(expect), "{key}");
        assert_eq!(found("lane-ns/*"), Some(vec![31]), "{key}: lanes with a namespace look there as ever");
        assert!(follower.is_known() && follower.is_settled());
    }
}

/// A service that lives elsewhere is found there, for everybody; and here again, once the settings say so.
#[tokio::test]
async fn a_service_may_be_at_home_in_another_space() {
    let world = World::new();
    let space = |text: &str| world.registry.space(&text.parse().expect("a space"));
    world.set(&[(1, "V1")]);
    space("@PAY_GROUP").set("user-app", vec![user(11, "V1"), user(12, "V2")]);
    world.publish(", spaces: { user-app: '@PAY_GROUP', other-app: other-ns }");
    world.becomes("*", Some(&[11, 12])).await;
    assert_eq!(world.ports("version:V2"), Some(vec![12]));
    assert_eq!(world.ports("@PAY_GROUP/*"), None, "only for lanes where it is one of the `namespaces`");
    space("@PAY_GROUP").set("user-app", vec![user(13, "V1")]);
    world.becomes("*", Some(&[13])).await;
    world.publish("");
    world.becomes("*", Some(&[1])).await;
}
