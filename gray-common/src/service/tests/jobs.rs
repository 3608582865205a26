//! What an executor of scheduled jobs is told.

use gray_core::{Side, lane::LaneTag};

use super::*;

#[tokio::test]
async fn jobs_follow_the_settings() {
    let config = MemoryConfigSource::with(&[(SHARED_DOCUMENT, "kerwin: [")]);
    let control = ControlPlane { registry: NoRegistry::new() as _, config: Arc::clone(&config) as _, disk: None };
    let service =
        GrayService::start_on(control, "hello-app", 1, &args(&["--service-version", "V2"])).await.expect("starts");
    let mut rules = service.jobs();
    assert_eq!(*rules.borrow(), None, "nothing is known: nothing is to run");

    let gray =
        |more: &str| format!("kerwin.tool.gray: {{load: true, version: {{prodVersion: V1, grayVersion: V2}}{more}}}");
    config.set(
        SHARED_DOCUMENT,
        &gray(", fallback: fail, baggage: false, signing: {key: a secret of the chain, ttl: 40s}"),
    );
    timeout(LIMIT, rules.wait_for(Option::is_some)).await.expect("in time").expect("lives");
    let known = rules.borrow_and_update().clone().expect("rules");
    assert_eq!(known.policy.side_of(Some(service.version())), Some(Side::Gray));
    let signing = known.signing.as_ref().expect("signed");
    assert_eq!((signing.ttl, known.baggage), (Duration::from_secs(40), false));
    let lane = known.context(Side::Gray).lane().map(LaneTag::as_header).cloned();
    assert_eq!(lane.expect("a lane"), "jobs;gray;-;*=version:V2");
    let current = service.settings().current().expect("settings");
    assert_eq!(signing.keys, current.mesh.signing.as_ref().expect("signed").keys);

    // A change that does not concern jobs, and one that does: a promotion.
    let mut settings = service.settings().subscribe();
    let next = async |settings: &mut watch::Receiver<gray_live::SettingsState<GraySettings>>, text: &str| {
        let before = settings.borrow_and_update().revision;
        config.set(SHARED_DOCUMENT, text);
        timeout(LIMIT, settings.wait_for(|state| state.revision > before)).await.expect("in time").expect("lives");
        // What else waits for the settings runs on this thread as well.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    };
    let same = ", fallback: fail, baggage: false, signing: {key: a secret of the chain, ttl: 40s}, propagate: [x-own]";
    next(&mut settings, &gray(same)).await;
    assert!(!rules.has_changed().expect("lives"));
    next(&mut settings, &SETTINGS.replace("V2", "V3").replace("V1", "V2")).await;
    assert!(rules.has_changed().expect("lives"));
    let known = rules.borrow_and_update().clone().expect("rules");
    assert_eq!(
        (known.policy.side_of(Some(service.version())), known.signing, known.baggage),
        (Some(Side::Baseline), None, true)
    );

    // What is bad changes nothing, and the last rules outlive the service.
    config.set(SHARED_DOCUMENT, "kerwin: [");
    drop((service, settings));
    assert!(rules.borrow().is_some());
}
