use std::time::Duration;

use axum::{Json, Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get};
use gray_common::{
    Instance,
    api::{ApiResult, Code},
    client::{ClientError, GrayClient, ServiceView, Strategy, VersionPolicy},
};

use super::*;

async fn client_of(instances: &[Instance]) -> UserClient {
    let view = ServiceView::fixed(SERVICE, instances, VersionPolicy::default(), Strategy::RoundRobin);
    let client = GrayClient::builder(view).timeout(Duration::from_millis(300)).build().expect("builds");
    UserClient::new(client)
}

async fn user(Path(user_no): Path<String>) -> axum::response::Response {
    match user_no.as_str() {
        "U0001" => Json(ApiResult::success("用户1号")).into_response(),
        "a/b" => Json(ApiResult::success("slash")).into_response(),
        "gone" => (StatusCode::NOT_FOUND, Json(ApiResult::<()>::failure(Code::UserNotFound))).into_response(),
        "alien404" => (StatusCode::NOT_FOUND, "nothing here").into_response(),
        "busy" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "java" => Json(ApiResult::<()>::failure(Code::ServerError)).into_response(),
        "broken" => "{".into_response(),
        "slow" => std::future::pending().await,
        _ => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

async fn stub() -> Instance {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    gray_common::spawn(async move { axum::serve(listener, Router::new().route("/user/{no}", get(user))).await });
    Instance::new("127.0.0.1", port)
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let client = client_of(&[stub().await]).await;
    assert_eq!(client.user("U0001").await.expect("known"), "用户1号");
    assert_eq!(client.user("a/b").await.expect("the slash is no separator"), "slash");
    type Check = fn(&UserClientError) -> bool;
    let cases: [(&str, Check, bool); 7] = [
        ("gone", |e| matches!(e, UserClientError::NotFound { .. }), false),
        ("alien404", |e| matches!(e, UserClientError::Status { .. }), false),
        ("busy", |e| matches!(e, UserClientError::Status { .. }), true),
        ("teapot", |e| matches!(e, UserClientError::Status { .. }), false),
        ("java", |e| matches!(e, UserClientError::Answer { code: 500, .. }), false),
        ("broken", |e| matches!(e, UserClientError::Call(ClientError::Decode { .. })), false),
        ("slow", |e| matches!(e, UserClientError::Call(ClientError::Timeout { .. })), false),
    ];
    for (user_no, expected, retryable) in cases {
        let error = client.user(user_no).await.expect_err(user_no);
        assert!(expected(&error), "{user_no}: {error:?}");
        if user_no != "slow" {
            assert_eq!(error.is_retryable(), retryable, "{user_no}");
        }
    }
}

#[tokio::test]
async fn without_instances_it_says_so() {
    let error = client_of(&[]).await.user("U0001").await.expect_err("nobody there");
    assert!(matches!(error, UserClientError::Call(ClientError::NoInstance { .. })), "{error:?}");
}

#[tokio::test]
async fn what_no_path_can_name_is_not_asked_for() {
    let client = client_of(&[]).await;
    for user_no in ["", ".", ".."] {
        let error = client.user(user_no).await.expect_err(user_no);
        assert!(matches!(error, UserClientError::NotFound { .. }), "{user_no:?}: {error:?}");
    }
}

#[test]
fn no_user_number_changes_the_path() {
    for (text, expect) in
        [("U0001", "U0001"), ("a.b", "a.b"), ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"), ("号", "%E5%8F%B7")]
    {
        assert_eq!(path_segment(text), expect);
    }
}
