//! Servers of the own zone are asked first, and again when they are back.

use super::*;

fn in_zone(urls: &str, return_after: Duration) -> Arc<EurekaRegistry> {
    let mut options = EurekaOptions::new(urls, EurekaTls::default()).expect(urls).in_zone(Some("a".into()));
    options.fetch_interval = Duration::from_millis(50);
    options.request_timeout = Duration::from_secs(2);
    options.return_after = return_after;
    EurekaRegistry::connect(options)
}

#[tokio::test]
async fn the_own_zone_comes_first_and_again_when_it_is_back() {
    let (far, near) = (Fake::start().await, Fake::start().await);
    far.lists(&[1]);
    near.lists(&[1, 2]);
    let answers = |status| {
        let mut script = lock(&near.script);
        (script.full_status, script.delta_status) = (status, status);
    };
    answers(503);
    let urls = format!("b={},a={}", far.url(), near.url());
    let registry = in_zone(&urls, Duration::from_millis(200));
    let mut users = registry.watch("user-app");
    near.is_asked("GET apps", 1).await;
    ports_become(&mut users, &[1]).await;
    // Again and again, and not each time.
    near.is_asked("GET", 3).await;
    let (to_far, to_near) = (lock(&far.script).asked.len(), lock(&near.script).asked.len());
    assert!(to_far > to_near, "{to_far} questions to the one that answers, {to_near} to the other");
    answers(200);
    ports_become(&mut users, &[1, 2]).await;
    let before = lock(&near.script).asked.len();
    near.is_asked("GET", before + 5).await;
    let late = lock(&far.script).asked.len();
    near.is_asked("GET", before + 10).await;
    assert_eq!(lock(&far.script).asked.len(), late, "the one of the other zone is left alone");
}

#[tokio::test]
async fn an_instance_is_announced_with_the_zone_of_its_program() {
    let fake = Fake::start().await;
    let registry = in_zone(&fake.url(), Duration::from_secs(300));
    let own = Instance::new("10.0.0.1", 7201);
    let other = Instance::new("10.0.0.1", 7202).with_metadata("zone", "z");
    for (instance, zone) in [(own, "a"), (other, "z")] {
        registry.register("user-app", &instance).await.expect("registered");
        let sent = lock(&fake.script).body.clone();
        let sent: serde_json::Value = serde_json::from_str(&sent).expect("JSON");
        assert_eq!(sent["instance"]["metadata"]["zone"], zone, "{sent}");
    }
}
