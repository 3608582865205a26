//! `/order/{orderNo}`

use std::time::Duration;

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::Serialize;

use crate::ApiResult;

/// What the handlers share.
#[derive(Clone, Debug)]
struct Shared {
    port: u16,
    /// HOST:PORT of the user service.
    user: String,
    http: reqwest::Client,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    order_no: &'static str,
    goods_name: String,
    user_no: &'static str,
    port: String,
    meta_version: String,
    user_name: String,
}

pub(crate) fn app(port: u16, user: String) -> Result<Router> {
    // As gray-common's client has it.
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(20))
        .build()?;
    Ok(Router::new().route("/order/{order_no}", get(show)).with_state(Shared { port, user, http }))
}

async fn show(
    State(shared): State<Shared>,
    Path(order_no): Path<String>,
) -> Result<Json<ApiResult<OrderView>>, StatusCode> {
    let (order_no, goods_no, user_no) = match order_no.as_str() {
        "N0001" => ("N0001", "G0001", "U0001"),
        "N0002" => ("N0002", "G0002", "U0002"),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    let user_name = user(&shared, user_no).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Json(ApiResult::success(OrderView {
        order_no,
        goods_name: format!("商品-{goods_no}"),
        user_no,
        port: shared.port.to_string(),
        meta_version: "V1".to_owned(),
        user_name: user_name.ok_or(StatusCode::BAD_GATEWAY)?,
    })))
}

async fn user(shared: &Shared, user_no: &str) -> reqwest::Result<Option<String>> {
    let url = format!("http://{}/user/{user_no}", shared.user);
    let answer = shared.http.get(url).timeout(Duration::from_secs(3)).send().await?.error_for_status()?;
    Ok(answer.json::<ApiResult<String>>().await?.data)
}
