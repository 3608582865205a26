//! The contract of user-app, route by route.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use user_app::app::{Identity, app};

async fn call(method: Method, path: &str) -> (StatusCode, Option<String>, Vec<u8>) {
    call_of(false, method, path).await
}

async fn call_of(java_answers: bool, method: Method, path: &str) -> (StatusCode, Option<String>, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("valid");
    let response =
        app(Identity { port: 7201, version: "V1".into(), java_answers }).oneshot(request).await.expect("infallible");
    let allow = response.headers().get("allow").map(|value| value.to_str().expect("ASCII").to_owned());
    let status = response.status();
    (status, allow, response.into_body().collect().await.expect("collects").to_bytes().to_vec())
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

#[tokio::test]
async fn users() {
    for (user_no, name) in [("U0001", "用户1号"), ("U0002", "用户2号"), ("U0003", "用户3号")] {
        let (status, _, body) = call(Method::GET, &format!("/user/{user_no}")).await;
        assert_eq!(status, StatusCode::OK);
        let data = format!("{name} - port=7201 - mateVersion=V1");
        let expect = json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false });
        assert_eq!(json_of(&body), expect);
    }
}

#[tokio::test]
async fn unknown_user() {
    let (status, _, body) = call(Method::GET, "/user/U9999").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        json_of(&body),
        json!({ "code": 1404, "msg": "用户不存在！", "data": null, "success": false, "fail": true })
    );
}

#[tokio::test]
async fn unknown_user_as_in_java() {
    let (status, _, body) = call_of(true, Method::GET, "/user/U9999").await;
    let data = "null - port=7201 - mateVersion=V1";
    let expect = json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false });
    assert_eq!((status, json_of(&body)), (StatusCode::OK, expect));
}

#[tokio::test]
async fn unknown_route_and_wrong_method() {
    let (status, _, body) = call(Method::GET, "/nothing").await;
    assert_eq!((status, json_of(&body)["code"].clone()), (StatusCode::NOT_FOUND, json!(404)));
    let (status, allow, _) = call(Method::POST, "/user/U0001").await;
    assert_eq!((status, allow.as_deref()), (StatusCode::METHOD_NOT_ALLOWED, Some("GET,HEAD")));
    let (status, _, body) = call(Method::HEAD, "/user/U0001").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn a_path_that_is_no_text() {
    let (status, _, body) = call(Method::GET, "/user/%ff").await;
    assert_eq!((status, json_of(&body)["code"].clone()), (StatusCode::BAD_REQUEST, json!(400)));
}
