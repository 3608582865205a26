//! One module per resource.

pub(crate) mod audits;

use axum::{Json, http::StatusCode};
use gray_common::api::ApiResult;

/// Answers for every path that no route has.
pub(crate) async fn not_found() -> (StatusCode, Json<ApiResult<()>>) {
    (StatusCode::NOT_FOUND, Json(ApiResult::error(404, "no such route")))
}
