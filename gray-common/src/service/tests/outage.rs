//! What `/readyz` says while registry and settings are away.

use super::*;

#[tokio::test]
async fn an_outage_takes_no_serving_process_out_of_rotation() {
    let (registry, config) = (Watchful::new(), in_order());
    registry.inner.set("user-app", vec![]);
    let control = ControlPlane { registry: Arc::clone(&registry) as _, config: Arc::clone(&config) as _, disk: None };
    let mut gray = GrayService::start_on(control, "outage-app", 1, &args(&[])).await.expect("starts");
    gray.client("user-app").expect("builds");
    let service = serve(gray, Router::new());
    until(service.port, 200, r#""degraded":[]"#).await;

    registry.inner.set_health(Health::Down("no route to host".into()));
    until(service.port, 200, "registry: not heard from for").await;
    until(service.port, 200, "no route to host").await;
    config.set(SHARED_DOCUMENT, "kerwin: [");
    until(service.port, 200, "settings refused: ").await;
    registry.inner.forget("user-app");
    until(service.port, 200, r#""ready":true"#).await;
    let metrics = ask(service.port, "/metrics").await.1;
    assert!(metrics.contains("gray_service_ready{service=\"outage-app\"} 1"), "{metrics}");
    for of in ["registry", "settings"] {
        let line = format!("gray_service_source_age_seconds{{service=\"outage-app\",of=\"{of}\"}}");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }

    registry.inner.set_health(Health::Up);
    config.set(SHARED_DOCUMENT, SETTINGS);
    until(service.port, 200, r#""degraded":[]"#).await;
    service.stop().await;
}

#[tokio::test]
async fn who_was_never_registered_is_not_ready_and_says_what_else_is_wrong() {
    let (registry, config) = (Watchful::new(), in_order());
    registry.away.store(true, Relaxed);
    registry.inner.set_health(Health::Down("no route to host".into()));
    let service = start(&registry, &config, &args(&[]), Router::new()).await;
    until(service.port, 503, "the dog ate the wire").await;
    until(service.port, 503, "no route to host").await;
    registry.inner.set_health(Health::Up);
    registry.away.store(false, Relaxed);
    until(service.port, 200, r#""degraded":[]"#).await;
    service.stop().await;
}
