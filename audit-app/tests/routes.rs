//! The contract of audit-app.

use audit_app::{
    app::{State, app},
    audit::{Audit, Audits},
    messages::Consuming,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn call(audits: &Audits, path: &str) -> (StatusCode, Value) {
    let state = State { port: 7401, version: "V1".into(), audits: audits.clone(), consuming: Consuming::default() };
    let request = Request::builder().uri(path).body(Body::empty()).expect("valid");
    let response = app(state).oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("collects").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn what_was_handled() {
    let audits = Audits::default();
    audits.keep(Audit { id: "a".into(), order_no: "N0001".into(), gray: Some("GRAY") });
    let (status, body) = call(&audits, "/audits").await;
    assert_eq!(status, StatusCode::OK);
    let audits_view = json!([{ "id": "a", "orderNo": "N0001", "gray": "GRAY" }]);
    assert_eq!(body["data"], json!({ "port": 7401, "metaVersion": "V1", "consumer": "off", "audits": audits_view }));
    assert_eq!(call(&audits, "/nothing").await.0, StatusCode::NOT_FOUND);
}
