use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{
    Json, Router,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

fn serve(listener: TcpListener, app: Router) {
    #[expect(clippy::disallowed_methods, reason = "a server of the test")]
    tokio::spawn(async move { drop(axum::serve(listener, app).await) });
}

fn ours() -> Instance {
    Instance::new("10.0.0.1", 80)
}

#[tokio::test]
async fn a_silent_server_leaves_time_for_the_next() {
    // The kernel accepts for the first, and that is all.
    let ((_silent, first), (talking, second)) = (bound().await, bound().await);
    let options = NacosOptions::new(format!("{first},{second}"));
    serve(talking, Router::new().route("/nacos/v1/ns/instance", get(async || StatusCode::OK)));
    assert!(is_registered(&Dialer::new(options), "user-app", &ours()).await);
}

/// A 3.x that answers these two questions so.
async fn v3(detail: (u16, Value), list: (u16, Value)) -> (Dialer, Arc<AtomicUsize>) {
    let lists = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lists);
    let respond = |(status, body): (u16, Value)| -> Response {
        (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
    };
    let ready = async || Json(json!({ "code": 0, "message": "success", "data": "ok" }));
    let detail = async move |Query(query): Query<Vec<(String, String)>>| {
        assert!(query.contains(&("groupName".into(), "blue".into())), "{query:?}");
        assert!(query.contains(&("namespaceId".into(), "public".into())), "{query:?}");
        respond(detail)
    };
    let list = async move || {
        count.fetch_add(1, Relaxed);
        respond(list)
    };
    let app = Router::new()
        .route("/v3/admin/core/state/readiness", get(ready))
        .route("/v3/admin/ns/instance", get(detail))
        .route("/v3/admin/ns/instance/list", get(list));
    let (listener, address) = bound().await;
    serve(listener, app);
    let options = NacosOptions { context: String::new(), group: "blue".into(), ..NacosOptions::new(address) };
    (Dialer::new(options), lists)
}

#[tokio::test]
async fn v3_tells_disabled_from_gone_with_the_right_to_read_alone() {
    let envelope = |data: Value| json!({ "code": 0, "message": "success", "data": data });
    let error = |code: u16| json!({ "code": code, "message": "resource not found", "data": "no matched ip found!" });
    let denied =
        json!({ "status": 403, "error": "Forbidden", "message": "Code: 403, Message: authorization failed!." });
    let listed = envelope(json!([{ "ip": "10.0.0.1", "port": 80, "enabled": false }]));
    for (detail, list, is_known, lists) in [
        ((200, envelope(json!({ "enabled": false }))), (500, Value::Null), true, 0),
        ((404, error(20_004)), (500, Value::Null), false, 0),
        ((403, denied.clone()), (200, listed), true, 1),
        ((403, denied.clone()), (200, envelope(json!([]))), false, 1),
        ((403, denied.clone()), (404, error(30_000)), false, 1),
        ((403, denied.clone()), (403, denied), false, 1),
    ] {
        let what = format!("{detail:?} {list:?}");
        let (dialer, count) = v3(detail, list).await;
        let known = registered(&dialer, dialer.options(), "user-app", vec![ours()]).await;
        assert_eq!((!known.is_empty(), count.load(Relaxed)), (is_known, lists), "{what}");
    }
}
