//! What the adapters of brokers take from a service.

use super::*;

async fn service(registry: Arc<dyn Registry>, config: &Arc<MemoryConfigSource>) -> GrayService {
    let control = ControlPlane { registry, config: Arc::clone(config) as _, disk: None };
    GrayService::start_on(control, "hello-app", 1, &args(&["--service-version", "V1"])).await.expect("starts")
}

/// Polls until it says so.
async fn says(expect: bool, is_deployed: &impl Fn() -> bool) {
    let seen = timeout(LIMIT, async {
        while is_deployed() != expect {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(seen.await.is_ok(), "{expect} expected");
}

#[tokio::test]
async fn the_registry_says_whether_the_gray_version_is_deployed() {
    let (registry, config) = (MemoryRegistry::new(), in_order());
    registry.forget("hello-app");
    let service = service(Arc::clone(&registry) as _, &config).await;
    service.settings().ready(LIMIT).await.expect("settings");
    let is_deployed = service.gray_deployed();
    assert!(is_deployed(), "the registry has not answered");

    let one = |port, version| Instance::new("127.0.0.1", port).with_version(version);
    registry.set("hello-app", vec![one(1, "V1")]);
    says(false, &is_deployed).await;
    registry.set("hello-app", vec![one(1, "V1"), Instance { healthy: false, ..one(2, "V2") }]);
    says(true, &is_deployed).await;
    // It goes by the settings as they are.
    config.set(SHARED_DOCUMENT, &SETTINGS.replace("V2", "V3"));
    says(false, &is_deployed).await;
    config.set(SHARED_DOCUMENT, SETTINGS);
    says(true, &is_deployed).await;
    registry.set("hello-app", vec![one(1, "V1")]);
    says(false, &is_deployed).await;
    registry.set("hello-app", vec![]);
    says(true, &is_deployed).await;
    // It was no service that is called: nothing waits for it.
    assert!(service.views.is_empty());
}

#[tokio::test]
async fn without_a_registry_the_gray_version_counts_as_deployed() {
    let service = service(NoRegistry::new() as _, &in_order()).await;
    service.settings().ready(LIMIT).await.expect("settings");
    assert!(service.gray_deployed()());
}

#[tokio::test]
async fn the_rules_of_messages_are_made_once_for_each_settings() {
    let config = in_order();
    let service = service(NoRegistry::new() as _, &config).await;
    let rules = service.messages();
    service.settings().ready(LIMIT).await.expect("settings");
    let (first, again) = (rules().expect("known"), rules.clone()().expect("known"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!((first.policy.prod.as_str(), first.policy.gray.as_str()), ("V1", "V2"));
    config.set(SHARED_DOCUMENT, &SETTINGS.replace("V2", "V3"));
    let seen = timeout(LIMIT, async {
        while rules().expect("known").policy.gray != "V3" {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(seen.await.is_ok(), "the new settings");
}
