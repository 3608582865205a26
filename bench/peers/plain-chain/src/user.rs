//! `/user/{userNo}`

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};

use crate::ApiResult;

pub(crate) fn app(port: u16) -> Router {
    Router::new().route("/user/{user_no}", get(show)).with_state(port)
}

async fn show(State(port): State<u16>, Path(user_no): Path<String>) -> Result<Json<ApiResult<String>>, StatusCode> {
    let name = match user_no.as_str() {
        "U0001" => "用户1号",
        "U0002" => "用户2号",
        _ => return Err(StatusCode::NOT_FOUND),
    };
    Ok(Json(ApiResult::success(format!("{name} - port={port} - mateVersion=V1"))))
}
