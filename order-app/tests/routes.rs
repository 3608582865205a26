//! The contract of order-app, route by route, with user-app in every state.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{Request, StatusCode},
    response::IntoResponse,
    routing::get,
};
use gray_common::{
    GrayStatus, Instance, ReleaseContext,
    api::{ApiResult, Code},
    client::{GrayClient, ServiceView, Strategy, VersionPolicy},
};
use http_body_util::BodyExt;
use order_app::{
    app::{State, app},
    events::{Events, Publish},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use user_client::UserClient;

async fn call(instances: &[Instance], path: &str) -> (StatusCode, Value) {
    call_telling(instances, path, Events::default()).await
}

async fn call_telling(instances: &[Instance], path: &str, events: Events) -> (StatusCode, Value) {
    let view = ServiceView::fixed("user-app", instances, VersionPolicy::default(), Strategy::RoundRobin);
    let client = GrayClient::builder(view).timeout(Duration::from_millis(300)).build().expect("builds");
    let state = State { port: 7101, version: "V1".into(), users: UserClient::new(client), events };
    let request = Request::builder().uri(path).body(Body::empty()).expect("valid");
    let response = app(state).oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("collects").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn user_app(handler: axum::routing::MethodRouter) -> Instance {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    gray_common::spawn(async move { axum::serve(listener, Router::new().route("/user/{no}", handler)).await });
    Instance::new("127.0.0.1", port)
}

#[tokio::test]
async fn orders() {
    let users = user_app(get(|| async { Json(ApiResult::success("用户1号 - port=7201 - mateVersion=V1")) })).await;
    for (order_no, goods, user_no) in [("N0001", "商品-G0001", "U0001"), ("N0002", "商品-G0002", "U0002")] {
        let (status, body) = call(std::slice::from_ref(&users), &format!("/order/{order_no}")).await;
        assert_eq!(status, StatusCode::OK);
        let data = json!({
            "orderNo": order_no, "goodsName": goods, "userNo": user_no, "port": "7101", "metaVersion": "V1",
            "userName": "用户1号 - port=7201 - mateVersion=V1",
        });
        assert_eq!(body, json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false }));
    }
}

#[tokio::test]
async fn unknown_order_needs_no_user() {
    let (status, body) = call(&[], "/order/N9999").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body, json!({ "code": 3404, "msg": "订单不存在！", "data": null, "success": false, "fail": true }));
}

#[tokio::test]
async fn every_failure_of_user_app_has_its_status() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        Instance::new("127.0.0.1", listener.local_addr().expect("bound").port())
    };
    let slow = user_app(get(|| async { std::future::pending::<&'static str>().await })).await;
    let wrong = user_app(get(|| async { "not JSON" })).await;
    let failing = user_app(get(|| async { StatusCode::INTERNAL_SERVER_ERROR })).await;
    let unknown = user_app(get(|| async {
        (StatusCode::NOT_FOUND, Json(ApiResult::<()>::failure(Code::UserNotFound))).into_response()
    }))
    .await;
    for (instances, status, code) in [
        (vec![], 503, 503),
        (vec![closed], 502, 502),
        (vec![slow], 504, 504),
        (vec![wrong], 502, 502),
        (vec![failing], 502, 502),
        (vec![unknown], 404, 1404),
    ] {
        let (seen, body) = call(&instances, "/order/N0001").await;
        assert_eq!((seen.as_u16(), body["code"].clone()), (status, json!(code)), "{body}");
        assert_eq!((body["success"].clone(), body["data"].clone()), (json!(false), Value::Null), "{body}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_or_no_route() {
    for (path, expect) in [("/order/%ff", 400), ("/orders", 404), ("/order/", 404)] {
        let (status, body) = call(&[], path).await;
        assert_eq!((status.as_u16(), body["code"].clone()), (expect, json!(expect)), "{path}");
    }
}

/// The number of an order, and the tag within which it was told.
type View = (String, Option<GrayStatus>);

#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<View>>>);

impl Publish for Told {
    fn order_viewed(&self, order_no: &str) {
        self.0.lock().expect("lock").push((order_no.to_owned(), ReleaseContext::current().tag));
    }
}

#[tokio::test]
async fn an_order_that_was_shown_is_told_of_within_the_request() {
    let users = [user_app(get(|| async { Json(ApiResult::success("x")) })).await];
    let told = Told::default();
    let gray = ReleaseContext::tagged(Some(GrayStatus::Gray));
    for path in ["/order/N0001", "/order/N0009", "/nothing"] {
        gray.clone().scope(call_telling(&users, path, Events::to(told.clone()))).await;
    }
    assert_eq!(*told.0.lock().expect("lock"), [("N0001".to_owned(), Some(GrayStatus::Gray))]);
}
